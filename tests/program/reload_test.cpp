#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/program/setup.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

// With the line's beginning: the help, too, has the name and a 1.
const std::string refused = "\nsluice_config_last_reload_successful 0";
const std::string taken = "\nsluice_config_last_reload_successful 1";
const std::string second_pipeline = "  second: {source: meta, sink: warehouse, streams: {ads: {}}}\n";

nlohmann::json limits(const Setup& setup) {
  const auto answer = fetch(setup.port, "/api/v1/limits");
  return nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n")));
}

}  // namespace

TEST_CASE("a bad file at SIGHUP keeps the old one running; a good one is taken") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  setup.write(api.url(), "{every: nonsense}");
  daemon.signal(SIGHUP);
  fetch_until(setup.port, "/metrics", refused);
  CHECK_THAT(fetch(setup.port, "/api/v1/pipelines"), Contains("by hand"));
  setup.write(api.url(), "{every: 2s}");
  daemon.signal(SIGHUP);
  fetch_until(setup.port, "/metrics", taken);
  fetch_until(setup.port, "/metrics", R"(outcome="succeeded",pipeline="facebook",trigger="schedule"} 1)");
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.err(), Contains("the old configuration stays in force") && Contains("nonsense") &&
                               Contains("configuration reloaded"));
}

TEST_CASE("a reload that cannot be carried out changes nothing, and is said until one is") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz?verbose", "[+] configuration: ok");
  const std::filesystem::path in_the_way = setup.folder / "locks/second.lock";
  REQUIRE(std::filesystem::create_directories(in_the_way));
  setup.write(api.url(), "", second_pipeline);
  daemon.signal(SIGHUP);
  fetch_until(setup.port, "/metrics", refused);
  CHECK_THAT(fetch(setup.port, "/readyz?verbose"),
             Contains("200 OK") && Contains("[+] configuration: the old one; the file as it was at") &&
                 Contains("is refused: see the log, or sluice check"));
  CHECK_THAT(fetch(setup.port, "/api/v1/pipelines"), !Contains("second"));
  auto first = setup.start({"trigger", "facebook"});
  CHECK(first.wait() == 0);

  std::filesystem::remove(in_the_way);
  daemon.signal(SIGHUP);
  fetch_until(setup.port, "/metrics", taken);
  CHECK_THAT(fetch(setup.port, "/readyz?verbose"), Contains("[+] configuration: ok"));
  CHECK_THAT(fetch(setup.port, "/api/v1/pipelines"), Contains("second"));
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.err(), Contains("the old configuration stays in force: the lock") && Contains("second.lock"));
}

TEST_CASE("a reload takes new limits at once, and says what waits for the next start") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  CHECK(limits(setup)["concurrent_runs"] == 8);
  setup.write(api.url(), "", "limits: {concurrent_runs: 3, memory: 64MiB}\n");
  CHECK_THAT(exchange(setup.port, "POST", "/api/v1/reload", ""), Contains("configuration reloaded: 1 pipelines\""));
  CHECK(limits(setup)["concurrent_runs"] == 3);
  CHECK(limits(setup)["memory"] == 64 << 20);
  setup.write(api.url(), "{every: nonsense}");
  CHECK_THAT(exchange(setup.port, "POST", "/api/v1/reload", ""), Contains("422") && Contains("nonsense"));
  // The state is opened by a start: until then the old one is kept, and the locks beside it.
  setup.state = "{env: ANOTHER_STATE}";
  setup.write(api.url());
  CHECK_THAT(exchange(setup.port, "POST", "/api/v1/reload", ""), Contains("state take effect at the next start"));
  auto trigger = exchange(setup.port, "POST", "/api/v1/pipelines/facebook/trigger", "");
  CHECK_THAT(trigger, Contains("begins"));
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.err(), Contains("configuration reloaded: 1 pipelines") && Contains("nonsense"));
  auto check = setup.start({"check"});
  CHECK(check.wait() == 0);
  CHECK_THAT(check.err() + check.out(), Contains("ANOTHER_STATE"));
}

TEST_CASE("a disabled pipeline is free to be run by hand beside the daemon") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  CHECK(setup.start({"run", "facebook"}).wait() == 75);
  setup.options = "    enabled: false\n";
  setup.write(api.url());
  daemon.signal(SIGHUP);
  fetch_until(setup.port, "/api/v1/pipelines", R"("enabled": false)");
  CHECK(setup.start({"run", "facebook"}).wait() == 0);
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}
