#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/program/setup.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/http_server.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

// What the engineer on call relies on.

namespace {

// A command that knows no configuration, but where the daemon is.
struct Elsewhere {
  std::string url;
  std::map<std::string, std::string> environment;

  Program ask(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--server", url});
    return Program("sluice", std::move(arguments), environment);
  }
  // How it ended, and all that it said.
  std::pair<int, std::string> said(std::vector<std::string> arguments) const {
    auto program = ask(std::move(arguments));
    const int code = program.wait();
    return {code, program.out() + program.err()};
  }
};

}  // namespace

TEST_CASE("serve forgets what is older than `retention`, in its state and in every sink, and nothing else") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url(), "", "retention: 30d\n");
  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  const auto state = setup.folder / "state.db";
  const auto count = [&](const std::string& what) { return query(setup.warehouse, "SELECT count(*) FROM " + what); };
  const auto kept = count("_sluice_loads"), rows = count("meta_insights");
  {
    sqlite::Database runs(state), warehouse(setup.warehouse);
    runs.exec(
        "INSERT INTO runs SELECT 'old', pipeline, trigger, planned, started - 31 * 86400000000, ended - 31 * "
        "86400000000, outcome, message, read, inserted, updated, unchanged, duplicate, quarantined, filtered, "
        "deleted, slices_published, slices_failed, attempt, passing FROM runs");
    warehouse.exec(
        "INSERT INTO _sluice_loads SELECT * FROM _sluice_loads; UPDATE _sluice_loads SET started_at = "
        "'2026-01-01T00:00:00.000000Z', committed_at = '2020-01-01T00:00:00.000000Z' WHERE rowid > " +
        kept +
        "; INSERT INTO _sluice_quarantine VALUES ('1', 'facebook', 'insights', 's', '', '', 'type', '{}', 'r', "
        "'2020-01-01T00:00:00.000000Z', '2020-01-01T00:00:00.000000Z')");
  }
  auto daemon = setup.start({"serve"});
  wait_until("the old books are gone", [&] {
    return query(state, "SELECT count(*) FROM runs") == "1" && count("_sluice_loads") == kept &&
           count("_sluice_quarantine") == "0";
  });
  CHECK(count("meta_insights") == rows);
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.err(), !Contains("warning"));
}

TEST_CASE("logs prints what a run said, from the daemon and without it") {
  SandboxProgram api(with_token({"--fault", "invalid_token"}));
  Setup setup;
  setup.write(api.url());
  CHECK(setup.start({"logs", "facebook"}).wait() == 2);
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  REQUIRE(setup.start({"trigger", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(outcome="failed",pipeline="facebook",trigger="manual"} 1)");
  const auto id = query(setup.folder / "state.db", "SELECT id FROM runs");

  const auto check_what_it_says = [](const std::string& text) {
    CHECK_THAT(text, Contains("run of facebook started: manual") && Contains("error   failed in") &&
                         Contains("create a new access token") && !Contains(canary_token));
  };
  std::string with_daemon;
  for (const auto& name : {id, id.substr(0, 10), std::string("facebook")}) {
    auto logs = setup.start({"logs", name});
    CHECK(logs.wait() == 0);
    check_what_it_says(logs.out());
    with_daemon = logs.out();
  }
  auto unknown = setup.start({"logs", "nope"});
  CHECK(unknown.wait() == 2);
  CHECK_THAT(unknown.err(), Contains("there is no run nope"));

  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  auto alone = setup.start({"logs", id});
  CHECK(alone.wait() == 0);
  CHECK(alone.out() == with_daemon);
  auto json = setup.start({"logs", id, "-o", "json"});
  CHECK(json.wait() == 0);
  const auto logs = nlohmann::json::parse(json.out());
  CHECK(logs["run"]["id"] == id);
  CHECK(logs["dropped"] == 0);
  CHECK(logs["lines"].front()["level"] == "info");
  CHECK(logs["lines"].back()["level"] == "error");
  CHECK(setup.start({"logs", "nope"}).wait() == 2);
}

TEST_CASE("a run in the foreground keeps what it said, too") {
  SandboxProgram api(with_token({"--fault", "http500"}));
  Setup setup;
  setup.write(api.url());
  CHECK(setup.start({"run", "facebook"}).wait() == 1);
  auto logs = setup.start({"logs", "facebook"});
  CHECK(logs.wait() == 0);
  CHECK_THAT(logs.out(), Contains("warning") && Contains("source=meta"));
}

TEST_CASE("a daemon elsewhere is asked over TLS, by token, and says which role is missing") {
  SandboxProgram api(with_token());
  Setup setup;
  Authority authority(setup.folder.path().string());
  const auto issued = authority.issue("server", "IP:127.0.0.1");
  setup.server = fmt::format(
      ", tls: {{certificate: {}, key: {}}}, tokens: [{{name: eve, role: viewer, token: {{env: VIEWER}}}}, {{name: ops, "
      "role: operator, token: {{env: OPERATOR}}}}]",
      issued.certificate, issued.key);
  setup.environment["VIEWER"] = "token-of-eve";
  setup.environment["OPERATOR"] = "token-of-ops";
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  wait_until("the daemon is up", [&] { return daemon.err().find("started:") != std::string::npos; });

  Elsewhere there{fmt::format("https://127.0.0.1:{}", setup.port), {}};
  const auto [untrusted, why] = there.said({"status"});
  CHECK(untrusted == 1);
  CHECK_THAT(why, Contains("the certificate of 127.0.0.1:") && Contains("SSL_CERT_FILE"));

  there.environment["SSL_CERT_FILE"] = authority.ca_file();
  const auto [nobody, asks] = there.said({"status"});
  CHECK(nobody == 1);
  CHECK_THAT(asks, Contains("asks for a token: set SLUICE_TOKEN"));
  there.environment["SLUICE_TOKEN"] = "made-up-token";
  const auto [stranger, unknown] = there.said({"runs"});
  CHECK(stranger == 1);
  CHECK_THAT(unknown, Contains("does not know the token in SLUICE_TOKEN") && !Contains("made-up"));

  there.environment["SLUICE_TOKEN"] = "token-of-eve";
  CHECK(there.said({"status"}).first == 0);
  CHECK(there.said({"runs", "facebook"}).first == 0);
  const auto [viewer, refused] = there.said({"trigger", "facebook"});
  CHECK(viewer == 1);
  CHECK_THAT(refused, Contains("the token eve has the role viewer, and this needs operator"));

  there.environment["SLUICE_TOKEN"] = "token-of-ops";
  CHECK(there.said({"trigger", "facebook"}).first == 0);
  wait_until("a run has ended", [&] { return there.said({"runs"}).second.find("succeeded") != std::string::npos; });
  CHECK_THAT(there.said({"logs", "facebook"}).second, Contains("succeeded in"));
  CHECK(there.said({"logs", "nope"}).first == 2);
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}

TEST_CASE("a daemon whose certificate is for another name is not taken for none") {
  SandboxProgram api(with_token());
  Setup setup;
  Authority authority(setup.folder.path().string());
  const auto serve = [&](const std::string& subject_name) {
    const auto issued = authority.issue("server", subject_name);
    setup.server = fmt::format(", tls: {{certificate: {}, key: {}}}", issued.certificate, issued.key);
    setup.write(api.url());
    const std::vector<std::string> command{"serve", "-c", setup.config};
    auto daemon = std::make_unique<Program>("sluice", command, setup.environment);
    wait_until("the daemon is up", [&] { return daemon->err().find("started:") != std::string::npos; });
    return daemon;
  };
  auto daemon = serve("DNS:localhost");
  const auto day = format_day(today() - 40);
  for (const auto& command : std::vector<std::vector<std::string>>{
           {"status"}, {"runs"}, {"trigger", "facebook"}, {"backfill", "facebook", "--from", day, "--to", day}}) {
    auto asked = setup.start(command);
    CHECK(asked.wait() == 1);
    CHECK_THAT(asked.err(),
               Contains(fmt::format("the certificate of 127.0.0.1:{} is refused: IP address mismatch", setup.port)) &&
                   Contains(fmt::format("give --server https://NAME:{}", setup.port)) && !Contains("no daemon"));
  }
  CHECK(query(setup.folder / "state.db", "SELECT count(*) FROM runs") == "0");
  const Elsewhere by_name{fmt::format("https://localhost:{}", setup.port), {{"SSL_CERT_FILE", authority.ca_file()}}};
  CHECK(by_name.said({"status"}).first == 0);
  daemon->signal(SIGTERM);
  CHECK(daemon->wait() == 0);

  daemon = serve("IP:127.0.0.1");
  auto status = setup.start({"status"});
  CHECK(status.wait() == 0);
  CHECK(status.err() == "");
  daemon->signal(SIGTERM);
  CHECK(daemon->wait() == 0);
}

TEST_CASE("a token that crosses the network in the clear is warned about") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  const auto asked = [&](const std::string& host, std::map<std::string, std::string> environment) {
    const Elsewhere there{fmt::format("http://{}:{}", host, setup.port), std::move(environment)};
    const auto [code, text] = there.said({"status"});
    CHECK(code == 0);
    CHECK_THAT(text, !Contains("token-of-ops"));
    return text.find("warning: the token in SLUICE_TOKEN crosses the network to ") != text.npos;
  };
  const std::map<std::string, std::string> token{{"SLUICE_TOKEN", "token-of-ops"}};
  CHECK(asked("0.0.0.0", token));  // reaches this machine, and is not known to
  CHECK_FALSE(asked("0.0.0.0", {}));
  CHECK_FALSE(asked("127.0.0.1", token));
  CHECK_FALSE(asked("localhost", token));
}

TEST_CASE("a daemon behind a proxy is asked under the proxy's path") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  const std::string prefix = "/ops/sluice";
  HttpServer proxy([&](Wire& wire) {
    const auto request = wire.read_request();
    const auto method = request.substr(0, request.find(' '));
    const auto at = method.size() + 1;
    const auto path = request.substr(at, request.find(' ', at) - at);
    if (path.starts_with("/moved"))
      wire.reply(301, "", "Location: https://elsewhere.example/login?token=x\r\n");
    else if (path.starts_with("/down"))
      wire.reply(502, "<html>bad gateway</html>");
    else if (!path.starts_with(prefix + "/"))
      wire.reply(404, "<html>not here</html>");
    else
      wire.write(exchange(setup.port, method, path.substr(prefix.size()), ""));
    wire.close();
  });
  const auto at = [&](const std::string& path) { return Elsewhere{proxy.url(path), {}}; };
  for (const auto& path : {prefix, prefix + "/"}) {
    CHECK_THAT(at(path).said({"status"}).second, Contains("facebook"));
    CHECK(at(path).said({"pause", "facebook"}).first == 0);
  }
  const auto [missing, not_here] = at("/other").said({"status"});
  CHECK(missing == 2);
  CHECK_THAT(not_here, Contains("there is no sluice at http://127.0.0.1:"));
  const auto [moved, elsewhere] = at("/moved").said({"status"});
  CHECK(moved == 1);
  CHECK_THAT(elsewhere, Contains("points to https://elsewhere.example/login:") && !Contains("token=x"));
  const auto [down, unreached] = at("/down").said({"status"});
  CHECK(down == 75);
  CHECK_THAT(unreached, Contains("the proxy at") && Contains("does not reach sluice (status 502)"));
  CHECK(at("/x?y=1").said({"status"}).first == 2);
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}

TEST_CASE("a server that is not there, or takes the question and says nothing, is a message in time") {
  const Elsewhere closed{fmt::format("http://127.0.0.1:{}", unused_port()), {}};
  const auto [refused, nobody] = closed.said({"status"});
  CHECK(refused == 75);
  CHECK_THAT(nobody, Contains("cannot connect to 127.0.0.1:"));
  HttpServer silent([](Wire& wire) {
    wire.read_request();
    wire.read_request();  // until the other side has given up
  });
  const Elsewhere mute{silent.url(""), {}};
  const auto [gave_up, timed_out] = mute.said({"runs"});
  CHECK(gave_up == 75);
  CHECK_THAT(timed_out, Contains("timed out while waiting for the answer of 127.0.0.1:"));
}

TEST_CASE("check --connect looks at the clock and the certificate of an API") {
  Setup setup;
  Authority authority(setup.folder.path().string());
  const HttpServer::Tls tls(authority.issue("api", "IP:127.0.0.1", -1, 10));
  HttpServer api(
      [](Wire& wire) {
        while (!wire.read_request().empty()) wire.reply(200, "{}", "Date: Mon, 02 Mar 2020 12:00:00 GMT\r\n");
      },
      tls);
  setup.write(api.url(""));
  std::ifstream in(setup.config);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::string mark = "type: facebook_ads, ";
  text.replace(text.find(mark), mark.size(), mark + "ca_file: " + authority.ca_file() + ", ");
  std::ofstream(setup.config) << text;
  auto check = setup.start({"check", "--connect"});
  check.wait();
  CHECK_THAT(check.out(), Contains("ahead of that of 127.0.0.1") && Contains("127.0.0.1's certificate ends on"));
}

TEST_CASE("check --connect looks at sluice's own certificate") {
  SandboxProgram api(with_token());
  Setup setup;
  Authority authority(setup.folder.path().string());
  const auto check = [&](const std::string& certificate) {
    setup.server = fmt::format(", tls: {{certificate: {}, key: {}}}", certificate, setup.folder / "key");
    setup.write(api.url());
    auto program = setup.start({"check", "--connect"});
    const auto code = program.wait();
    return std::pair(code, program.out());
  };
  const auto issued = [&](int to_days) {
    return authority.issue("own", "DNS:sluice.example", -60, to_days).certificate;
  };
  const auto [good, nothing] = check(issued(60));
  CHECK(good == 0);
  CHECK_THAT(nothing, !Contains("certificate"));
  const auto [soon, ends] = check(issued(10));
  CHECK(soon == 0);
  CHECK_THAT(ends, Contains("sluice's own certificate ends on"));
  const auto [late, ended] = check(issued(-1));
  CHECK(late == 1);
  CHECK_THAT(ended, Contains("sluice's own certificate ended on"));
  const auto [text, not_pem] = check(setup.config);
  CHECK(text == 1);
  CHECK_THAT(not_pem, Contains("server.tls.certificate: cannot use " + setup.config));
  const auto [missing, not_there] = check(setup.folder / "nowhere.pem");
  CHECK(missing == 1);
  CHECK_THAT(not_there, Contains("nowhere.pem: No such file or directory"));
}

TEST_CASE("readyz says so when the state hangs, without waiting for it, and when it is back") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  {
    sqlite::Database backup(setup.folder / "state.db");
    backup.exec("BEGIN IMMEDIATE");
    fetch_until(setup.port, "/readyz?verbose", "[-] state: the state store does not answer");
    const auto asked = std::chrono::steady_clock::now();
    CHECK_THAT(fetch(setup.port, "/readyz"), Contains("503"));
    CHECK(std::chrono::steady_clock::now() - asked < std::chrono::seconds(2));
    CHECK_THAT(fetch(setup.port, "/livez"), Contains("200 OK"));
    backup.exec("ROLLBACK");
  }
  fetch_until(setup.port, "/readyz", "200 OK");
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}
