#include <catch2/catch.hpp>
#include <csignal>
#include <regex>

#include "tests/program/setup.hpp"

using namespace sluice::test;

// What `sluice status` says under STATE.

namespace {

std::string state_of_facebook(const Setup& setup) {
  auto status = setup.start({"status"});
  REQUIRE(status.wait() == 0);
  const auto table = status.out();
  const auto from = table.find("STATE"), to = table.find("LAST RUN"), row = table.find("\nfacebook ") + 1;
  REQUIRE((from < to && to < row));
  auto state = table.substr(row + from, to - from);
  return state.substr(0, state.find_last_not_of(' ') + 1);
}

}  // namespace

TEST_CASE("status says for how long a run goes on, and how many backfills beside it") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  const auto state = [&] { return state_of_facebook(setup); };
  const auto day = sluice::format_day(today() - 40);
  const std::vector<std::string> backfill{"backfill", "facebook", "--from", day, "--to", day};
  {
    auto alone = setup.start(backfill);
    wait_until("the state tells of the backfill without a daemon", [&] { return state() == "1 backfill"; });
    alone.signal(SIGINT);
    CHECK(alone.wait() == 130);
    CHECK(state() == "idle");
  }
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  CHECK(state() == "idle");
  REQUIRE(setup.start({"pause", "facebook"}).wait() == 0);
  REQUIRE(setup.start(backfill).wait() == 0);
  CHECK(state() == "paused, 1 backfill");
  REQUIRE(setup.start({"resume", "facebook"}).wait() == 0);
  REQUIRE(setup.start({"trigger", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(sluice_pipeline_running{pipeline="facebook"} 2)");
  CHECK(std::regex_match(state(), std::regex("running [0-9]+(ms|[.][0-9]s|m[0-9]{2}s), 1 backfill")));
}

TEST_CASE("status says that another process holds a pipeline, and when a failed run is tried again") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  const auto state = [&] { return state_of_facebook(setup); };
  auto elsewhere = setup.start({"run", "facebook"});
  wait_until("a run is recorded", [&] { return state().starts_with("running "); });
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  CHECK(state() == "held elsewhere");
  elsewhere.signal(SIGINT);
  CHECK(elsewhere.wait() == 130);
  api.fault("http500");
  wait_until("the daemon takes it over", [&] { return setup.start({"trigger", "facebook"}).wait() == 0; });
  wait_until("the run has failed", [&] { return state().starts_with("retry "); });
  CHECK(std::regex_match(state(), std::regex("retry at (20[0-9]{2}-[01][0-9]-[0-3][0-9]T)?[0-2][0-9]:[0-5][0-9]Z")));
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}
