#include "daemon/http_server.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "daemon/http_access.hpp"
#include "daemon/http_target.hpp"
#include "net/http.hpp"
#include "tests/daemon/http_fixture.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/folder.hpp"
#include "tests/support/real_loop.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

ServerOptions impatient() {
  ServerOptions options;
  options.limits.header_deadline = 300ms;
  options.limits.body_deadline = 300ms;
  options.limits.idle = 600ms;
  return options;
}

ServerOptions with_tokens() {
  ServerOptions options;
  options.tokens.push_back({"grafana", Role::viewer, Secret("viewer-token-0123456789")});
  options.tokens.push_back({"ops", Role::operate, Secret("operator-token-0123456789")});
  return options;
}

std::string bearer(const std::string& token) {
  return "Authorization: Bearer " + token + "\r\n";
}

double seconds_until_closed(RawClient& client) {
  const auto start = std::chrono::steady_clock::now();
  client.receive();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("an answer carries the security headers, HEAD carries no body") {
  RunningServer server;
  const auto get = ask(server, "GET /livez");
  CHECK(get.status == 200);
  CHECK(get.body == "ok\n");
  for (const auto* header : {"Content-Security-Policy: default-src 'none'", "X-Content-Type-Options: nosniff",
                             "Referrer-Policy: no-referrer", "Cache-Control: no-store",
                             "Cross-Origin-Opener-Policy: same-origin", "Cross-Origin-Resource-Policy: same-origin"})
    CHECK_THAT(get.head, Catch::Contains(header));
  CHECK_THAT(get.head, !Catch::Contains("Access-Control"));

  const auto head = ask(server, "HEAD /livez");
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  CHECK_THAT(head.head, Catch::Contains("Content-Length: 3"));
}

TEST_CASE("errors are problem+json") {
  RunningServer server;
  const auto answer = ask(server, "GET /nowhere");
  CHECK(answer.status == 404);
  CHECK_THAT(answer.head, Catch::Contains("application/problem+json"));
  const auto body = nlohmann::json::parse(answer.body);
  CHECK(body["status"] == 404);
  CHECK(body["title"] == "Not Found");
  CHECK(body["detail"] == "there is nothing at /nowhere");
}

TEST_CASE("malformed requests are refused and closed") {
  RunningServer server;
  for (const auto* bad :
       {"this is not HTTP\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"}) {
    RawClient client(server.port());
    client.send(bad);
    INFO(bad);
    CHECK(parse_exchange(client.receive()).status == 400);
  }
  CHECK(ask(server, "GET /livez").status == 200);
}

TEST_CASE("huge headers, too many headers and huge bodies are refused") {
  RunningServer server;
  CHECK(ask(server, "GET /livez", "X-Big: " + std::string(9000, 'x') + "\r\n").status == 431);
  std::string many;
  for (int i = 0; i < 70; ++i) many += fmt::format("X-{}: 1\r\n", i);
  CHECK(ask(server, "GET /livez", many).status == 431);
  const auto json_type = "Content-Type: application/json\r\n";
  CHECK(ask(server, "POST /api/v1/reload", json_type, std::string(70'000, ' ')).status == 413);
  CHECK(ask(server, "POST /api/v1/reload", json_type, std::string(60'000, ' ')).status == 200);
}

TEST_CASE("a slow loris is cut off: while sending its header, its body, and while idle") {
  RunningServer server(impatient());
  RawClient silent(server.port());
  CHECK(seconds_until_closed(silent) < 2);

  RawClient dripping(server.port());
  dripping.send("GET /livez HTTP/1.1\r\nHo");
  std::this_thread::sleep_for(150ms);
  dripping.send("st: localhost\r\n");
  CHECK(seconds_until_closed(dripping) < 2);

  RawClient half_body(server.port());
  half_body.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc");
  CHECK(seconds_until_closed(half_body) < 2);

  RawClient idle(server.port());
  idle.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  idle.receive("ok\n");
  const auto waited = seconds_until_closed(idle);
  CHECK(waited > 0.4);
  CHECK(waited < 3);
}

TEST_CASE("connections beyond the limit are turned away, and room comes back") {
  auto options = impatient();
  options.limits.connections = 4;
  RunningServer server(options);
  {
    std::vector<std::unique_ptr<RawClient>> hogs;
    for (int i = 0; i < 4; ++i) {
      hogs.push_back(std::make_unique<RawClient>(server.port()));
      hogs.back()->send("GET ");
    }
    std::this_thread::sleep_for(50ms);
    RawClient extra(server.port());
    const auto refused = parse_exchange(extra.receive());
    CHECK(refused.status == 503);
    CHECK(nlohmann::json::parse(refused.body)["detail"] == "too many connections are open");
    CHECK_THAT(refused.head, Catch::Contains("Retry-After: 1\r\n") && Catch::Contains("Connection: close\r\n"));
  }
  std::this_thread::sleep_for(500ms);
  CHECK(ask(server, "GET /livez").status == 200);
}

TEST_CASE("one address leaves room for others") {
  ServerOptions options;
  options.limits.connections_per_client = 3;
  RunningServer server(options);
  const std::string request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  std::vector<std::unique_ptr<RawClient>> hogs;
  for (int i = 0; i < 3; ++i) {
    hogs.push_back(std::make_unique<RawClient>(server.port(), "127.0.0.2"));
    hogs.back()->send("GET ");
  }
  RawClient fourth(server.port(), "127.0.0.2");
  CHECK(parse_exchange(fourth.receive()).status == 503);
  RawClient other(server.port(), "127.0.0.3");
  other.send(request);
  CHECK(parse_exchange(other.receive()).status == 200);

  hogs.pop_back();
  Exchange again;
  for (int tries = 0; tries < 100 && again.status != 200; ++tries) {
    std::this_thread::sleep_for(10ms);
    RawClient freed(server.port(), "127.0.0.2");
    freed.send(request);
    again = parse_exchange(freed.receive());
  }
  CHECK(again.status == 200);
}

TEST_CASE("pipelined requests are answered in order, and a connection ends after its share") {
  ServerOptions options;
  options.limits.requests_per_connection = 3;
  RunningServer server(options);
  RawClient client(server.port());
  std::string text;
  for (int i = 0; i < 5; ++i) text += fmt::format("GET /api/v1/runs/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
  client.send(text);
  const auto all = client.receive();
  const auto first = all.find(R"("id": "0")");
  const auto third = all.find(R"("id": "2")");
  CHECK(first != std::string::npos);
  CHECK(third != std::string::npos);
  CHECK(first < third);
  CHECK(all.find(R"("id": "3")") == std::string::npos);
}

TEST_CASE("only loopback names and addresses are answered to while there are no tokens") {
  RunningServer server;
  for (const auto* good : {"localhost", "localhost:8321", "127.0.0.1:1", "[::1]:8321", "10.1.2.3"})
    CHECK(ask(server, "GET /livez", fmt::format("Host: {}\r\n", good)).status == 200);
  for (const auto* bad :
       {"attacker.example", "localhost.attacker.example:8321", "", "a b", "[::1", "localhost:99999999"})
    CHECK(ask(server, "GET /livez", fmt::format("Host: {}\r\n", bad)).status == 421);
  CHECK(ask(server, "GET /livez", "Host: localhost\r\nHost: localhost\r\n").status == 400);
  RawClient old(server.port());
  old.send("GET /livez HTTP/1.0\r\n\r\n");
  CHECK(parse_exchange(old.receive()).status == 200);
}

TEST_CASE("a page of another site cannot change anything; a command line can") {
  RunningServer server;
  const std::string trigger = "POST /api/v1/pipelines/facebook/trigger";
  CHECK(ask(server, trigger, "Origin: https://attacker.example\r\n").status == 403);
  CHECK(ask(server, trigger, "Origin: null\r\n").status == 403);
  CHECK(ask(server, trigger, "Sec-Fetch-Site: cross-site\r\n").status == 403);
  CHECK(ask(server, trigger, "Content-Type: text/plain\r\n", "{}").status == 415);
  CHECK(server.control.asked.empty());
  CHECK(ask(server, trigger).status == 200);
  CHECK(ask(server, trigger, "Host: localhost:8321\r\nOrigin: http://localhost:8321\r\nSec-Fetch-Site: same-origin\r\n")
            .status == 200);
  CHECK(server.control.asked == std::vector<std::string>{"trigger facebook", "trigger facebook"});
}

TEST_CASE("tokens have roles; health and metrics need none") {
  RunningServer server(with_tokens());
  const std::string viewer = bearer("viewer-token-0123456789"), ops = bearer("operator-token-0123456789");
  CHECK(ask(server, "GET /livez").status == 200);
  CHECK(ask(server, "GET /readyz").status == 200);
  CHECK(ask(server, "GET /metrics").status == 200);

  const auto refused = ask(server, "GET /api/v1/pipelines");
  CHECK(refused.status == 401);
  CHECK_THAT(refused.head, Catch::Contains("WWW-Authenticate: Bearer"));
  CHECK(ask(server, "GET /api/v1/pipelines", bearer("viewer-token-012345678X")).status == 401);
  CHECK(ask(server, "GET /api/v1/pipelines", bearer("")).status == 401);
  CHECK(ask(server, "GET /api/v1/pipelines", viewer).status == 200);
  CHECK(ask(server, "POST /api/v1/pipelines/facebook/pause", viewer).status == 403);
  CHECK(ask(server, "POST /api/v1/pipelines/facebook/pause", ops).status == 200);
  CHECK(ask(server, "GET /livez", "Host: sluice.internal\r\n").status == 200);
}

TEST_CASE("what a proxy passes on may do nothing while there are no tokens") {
  const std::string pause = "POST /api/v1/pipelines/facebook/pause";
  const auto passed_on =
      GENERATE(as<std::string>(), "X-Forwarded-For: 198.51.100.7\r\n", "x-forwarded-proto: https\r\n",
               "Forwarded: for=198.51.100.7\r\n", "Via: 1.1 balancer\r\n", "X-Real-IP: 198.51.100.7\r\n");
  INFO(passed_on);
  RunningServer open;
  const auto refused = ask(open, pause, passed_on);
  CHECK(refused.status == 403);
  CHECK_THAT(refused.body, Catch::Contains("add server.tokens"));
  CHECK(ask(open, "GET /api/v1/pipelines", passed_on).status == 403);
  CHECK(open.control.asked.empty());
  CHECK(ask(open, "GET /readyz", passed_on).status == 200);
  CHECK(ask(open, pause).status == 200);

  RunningServer guarded(with_tokens());
  CHECK(ask(guarded, pause, passed_on + bearer("operator-token-0123456789")).status == 200);
}

TEST_CASE("protected metrics need a viewer") {
  RunningServer server(with_tokens(), true);
  CHECK(ask(server, "GET /metrics").status == 401);
  CHECK(ask(server, "GET /metrics", bearer("viewer-token-0123456789")).status == 200);
}

TEST_CASE("listening beyond loopback without tokens is refused, a taken address is named") {
  asio::io_context io;
  RealClock clock(io.get_executor());
  struct NoHandler final : Handler {
    Role needed(const ServerRequest&) const override { return Role::none; }
    task<ServerReply> answer(const ServerRequest&) override { co_return ServerReply(); }
    task<void> follow(const ServerRequest&, Following&) override { co_return; }
  } handler;
  ServerOptions open;
  open.address = "0.0.0.0";
  HttpServer server(io.get_executor(), clock, open, handler);
  CHECK_THROWS_WITH(server.listen(), Catch::Contains("there are no tokens"));

  RunningServer first;
  ServerOptions same;
  same.port = first.port();
  HttpServer second(io.get_executor(), clock, same, handler);
  CHECK_THROWS_WITH(second.listen(),
                    Catch::Contains(fmt::format("127.0.0.1:{}", first.port())) && Catch::Contains("in use"));
}

TEST_CASE("a request's target is decoded strictly") {
  ServerRequest request;
  REQUIRE(parse_target("/api/v1/runs/a%2Fb?pipeline=my+pipe&limit=%35", request));
  CHECK(request.path == std::vector<std::string>{"api", "v1", "runs", "a/b"});
  CHECK(request.query == std::map<std::string, std::string>{{"pipeline", "my pipe"}, {"limit", "5"}});
  for (const auto* bad : {"", "*", "http://localhost/livez", "/%", "/%4", "/%zz", "/a/../b", "/.", "//a", "/a%00",
                          "/a%0d%0a", "/?a=%1"}) {
    ServerRequest refused;
    INFO(bad);
    CHECK_FALSE(parse_target(bad, refused));
  }
}

TEST_CASE("with a certificate it speaks TLS and nothing else") {
  const Folder folder;
  Authority authority(folder.path());
  const auto issued = authority.issue("server", "IP:127.0.0.1");
  ServerOptions options;
  options.tls_certificate = issued.certificate;
  options.tls_key = issued.key;
  RunningServer server(options);
  HttpOptions trust;
  trust.ca_file = authority.ca_file();
  asio::io_context io;
  RealClock clock(io.get_executor());
  const auto client = make_http_client(io.get_executor(), clock, trust);
  HttpRequest request("GET", fmt::format("https://127.0.0.1:{}/livez", server.port()));
  CHECK(run_on(io, client->send(std::move(request))).body == "ok\n");
  CHECK(ask(server, "GET /livez").status == 0);

  options.tls_key = folder / "missing.pem";
  CHECK_THROWS_WITH(RunningServer(options), Catch::Contains("server.tls.key") && Catch::Contains("missing.pem"));
}
