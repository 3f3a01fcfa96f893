#include <boost/asio/local/datagram_protocol.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/task.hpp"
#include "core/time.hpp"
#include "tests/program/setup.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

const std::string succeeded =
    R"(sluice_pipeline_runs_total{outcome="succeeded",pipeline="facebook",trigger="schedule"} )";

std::int64_t scheduled_runs(const std::string& metrics) {
  const auto at = metrics.find(succeeded);
  return at == std::string::npos ? 0 : std::stoll(metrics.substr(at + succeeded.size()));
}

}  // namespace

TEST_CASE("serve fires on schedule, tells its metrics and health, and SIGTERM drains it with 0") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url(), "{every: 2s}");
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  fetch_until(setup.port, "/metrics", R"(trigger="schedule"} 2)");
  const auto metrics = fetch(setup.port, "/metrics");
  CHECK(scheduled_runs(metrics) >= 2);
  CHECK_THAT(metrics, Contains(R"(sluice_sink_up{sink="warehouse"} 1)") &&
                          Contains(R"(sluice_source_requests_total{code="200",source="meta"})") &&
                          Contains("sluice_stream_watermark_timestamp_seconds") && !Contains(canary_token));
  CHECK_THAT(fetch(setup.port, "/readyz?verbose"), Contains("[+] state: ok"));
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.err(), Contains("started: 1 pipelines") && Contains("succeeded in") && Contains("stopped") &&
                               !Contains(canary_token));
  CHECK(query(setup.folder / "state.db", "SELECT count(*) FROM runs WHERE ended IS NULL") == "0");
}

TEST_CASE("after a restart the watermark is there at once, though the source is gone") {
  Setup setup;
  const std::string name = R"(sluice_stream_watermark_timestamp_seconds{pipeline="facebook",stream="insights"})";
  const auto watermark = [&](const std::string& metrics) {
    const auto at = metrics.find(name);
    return at == std::string::npos ? std::string() : metrics.substr(at, metrics.find('\n', at) - at);
  };
  {
    SandboxProgram api(with_token());
    setup.write(api.url());
    REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  }
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  const auto before = watermark(fetch(setup.port, "/metrics"));
  CHECK_FALSE(before.empty());
  CHECK(setup.start({"trigger", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(outcome="failed",pipeline="facebook",trigger="manual"} 1)", 90);
  CHECK(watermark(fetch(setup.port, "/metrics")) == before);
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}

TEST_CASE("a pipeline that a daemon holds is not run by another: exit 75 and who has it") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  auto run = setup.start({"run", "facebook"});
  CHECK(run.wait() == 75);
  CHECK_THAT(run.err(), Contains("held by sluice serve, pid " + std::to_string(daemon.pid())) &&
                            Contains("sluice trigger facebook"));
  for (const auto& asked : {std::vector<std::string>{"--full-refresh"}, {"--stream", "campaigns"}}) {
    auto command = asked;
    command.insert(command.begin(), {"run", "facebook"});
    auto refused = setup.start(command);
    CHECK(refused.wait() == 75);
    CHECK_THAT(refused.err(), Contains("stop it, run this again, and start it") && !Contains("sluice trigger"));
  }
  auto second = setup.start({"serve"});
  CHECK(second.wait() == 75);
  CHECK_THAT(second.err(), Contains("cannot listen on 127.0.0.1:"));
  daemon.signal(SIGINT);
  CHECK(daemon.wait() == 0);
}

TEST_CASE("operators trigger, pause, resume and backfill through the command line") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  CHECK(setup.start({"trigger", "facebook"}).wait() == 75);
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  auto trigger = setup.start({"trigger", "facebook"});
  CHECK(trigger.wait() == 0);
  CHECK_THAT(trigger.out(), Contains("begins"));
  fetch_until(setup.port, "/metrics", R"(runs_total{outcome="succeeded",pipeline="facebook",trigger="manual"} 1)");
  CHECK(setup.start({"pause", "facebook"}).wait() == 0);
  auto status = setup.start({"status", "-o", "json"});
  CHECK(status.wait() == 0);
  CHECK(nlohmann::json::parse(status.out())[0]["paused"] == true);
  CHECK(setup.start({"resume", "facebook"}).wait() == 0);
  auto idle = setup.start({"cancel", "facebook"});
  CHECK(idle.wait() == 75);
  CHECK_THAT(idle.err(), Contains("facebook"));
  CHECK(setup.start({"trigger", "nope"}).wait() == 2);

  const auto today = day_of(std::chrono::floor<Duration>(std::chrono::system_clock::now()), utc());
  auto backfill =
      setup.start({"backfill", "facebook", "--from", format_day(today - 60), "--to", format_day(today - 59)});
  CHECK(backfill.wait() == 0);
  CHECK_THAT(backfill.out(), Contains("begins as run"));
  fetch_until(setup.port, "/metrics", R"(runs_total{outcome="succeeded",pipeline="facebook",trigger="backfill"} 1)");
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}

TEST_CASE("SIGTERM lets a backfill that goes on end") {
  SandboxProgram api(with_token({"--report-delay", "3s"}));
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  const auto day = format_day(today() - 40);
  REQUIRE(setup.start({"backfill", "facebook", "--from", day, "--to", day}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(sluice_pipeline_running{pipeline="facebook"} 1)");
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK(query(setup.folder / "state.db", "SELECT outcome FROM runs WHERE trigger = 'backfill'") == "succeeded");
}

TEST_CASE("of two backfills one is cancelled, and the other goes on") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  for (const auto days : {40, 50}) {
    const auto day = format_day(today() - days);
    REQUIRE(setup.start({"backfill", "facebook", "--from", day, "--to", day}).wait() == 0);
  }
  fetch_until(setup.port, "/metrics", R"(sluice_pipeline_running{pipeline="facebook"} 2)");
  auto status = setup.start({"status", "-o", "json"});
  CHECK(status.wait() == 0);
  const auto going_on = nlohmann::json::parse(status.out())[0]["backfills"];
  REQUIRE(going_on.size() == 2);
  const auto id = going_on[0].get<std::string>();
  auto cancelled = setup.start({"cancel", "facebook", "--run", id});
  CHECK(cancelled.wait() == 0);
  CHECK_THAT(cancelled.out(), Contains("backfill " + id + " cancelled"));
  fetch_until(setup.port, "/metrics", R"(sluice_pipeline_running{pipeline="facebook"} 1)");
  CHECK(query(setup.folder / "state.db", "SELECT message FROM runs WHERE id = '" + id + "'") == "cancelled by hand");
  auto again = setup.start({"cancel", "facebook", "--run", id});
  CHECK(again.wait() == 75);
  CHECK_THAT(again.err(), Contains("no backfill of facebook goes on as run " + id));
}

TEST_CASE("what cannot be done now is exit 75: try again later") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  const auto day = format_day(today() - 40);
  const std::vector<std::string> backfill{"backfill", "facebook", "--from", day, "--to", day};
  REQUIRE(setup.start(backfill).wait() == 0);
  auto twice = setup.start(backfill);
  CHECK(twice.wait() == 75);
  CHECK_THAT(twice.err(), Contains("goes on already"));
  REQUIRE(setup.start({"trigger", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(sluice_pipeline_running{pipeline="facebook"} 2)");
  auto running = setup.start({"trigger", "facebook"});
  INFO(running.out());
  CHECK(running.wait() == 75);
  daemon.signal(SIGTERM);
  fetch_until(setup.port, "/readyz", "503");
  auto draining = setup.start({"trigger", "facebook"});
  CHECK(draining.wait() == 75);
  CHECK_THAT(draining.err(), Contains("stopping"));
  daemon.signal(SIGTERM);
  daemon.wait(5);
}

TEST_CASE("killed at any moment and started again, nothing is lost and nothing is doubled") {
  SandboxProgram api(today_frozen());
  Setup calm, crashed;
  // Without a start, the lookback of a first load that was interrupted reaches before its first day.
  calm.insights = crashed.insights =
      fmt::format("level: ad, window: {{lookback: 2d, start: {}}}", format_day(today() - 28));
  calm.write(api.url());
  REQUIRE(calm.start({"run", "facebook"}).wait() == 0);
  crashed.write(api.url(), "{every: 1s}");
  for (const auto delay : {150ms, 400ms, 700ms, 1100ms, 1600ms}) {
    auto daemon = crashed.start({"serve"});
    std::this_thread::sleep_for(delay);
    daemon.signal(SIGKILL);
    CHECK(daemon.wait() == 128 + SIGKILL);
  }
  auto last = crashed.start({"run", "facebook"});
  INFO(last.err());
  REQUIRE(last.wait() == 0);
  CHECK(rows(crashed.warehouse, "meta_insights") == rows(calm.warehouse, "meta_insights"));
  CHECK(rows(crashed.warehouse, "meta_campaigns") == rows(calm.warehouse, "meta_campaigns"));
  CHECK(query(crashed.folder / "state.db", "SELECT count(*) FROM runs WHERE ended IS NULL") == "0");
}

TEST_CASE("systemd is told when it is ready, that it turns, and when it stops") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url(), R"({cron: "0 0 1 1 *"})");
  const std::chrono::year_month_day today(std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
  const auto status =
      fmt::format("STATUS=1 pipelines, 0 running, next facebook at {}-01-01T00:00:00Z", int(today.year()) + 1);
  asio::io_context io;
  const auto path = setup.folder / "notify";
  asio::local::datagram_protocol::socket systemd(io, path);
  const timeval patience{20, 0};
  ::setsockopt(systemd.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setup.environment["NOTIFY_SOCKET"] = path;
  setup.environment["WATCHDOG_USEC"] = "3000000";
  const auto hear = [&](const std::string& wanted) {
    std::string heard;
    std::array<char, 512> text{};
    while (heard.find(wanted) == std::string::npos) {
      const auto size = ::recv(systemd.native_handle(), text.data(), text.size(), 0);
      if (size <= 0) FAIL("never said " << wanted << ", but: " << heard);
      heard.append(text.data(), static_cast<std::size_t>(size));
      heard += '\n';
    }
  };
  auto daemon = setup.start({"serve"});
  hear("READY=1\n" + status);
  daemon.signal(SIGHUP);
  hear("RELOADING=1");
  hear("READY=1\n" + status);
  hear(status);
  REQUIRE(setup.start({"trigger", "facebook"}).wait() == 0);
  hear("1 running");
  CHECK_THAT(exchange(setup.port, "POST", "/api/v1/reload", ""), Contains("reloaded"));
  hear("RELOADING=1");
  hear("READY=1");
  hear("WATCHDOG=1");
  daemon.signal(SIGTERM);
  hear("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=50000000");  // its drain_timeout and half a minute
  hear("\nEXTEND_TIMEOUT_USEC=30000000");                             // and again while a run goes on
  daemon.signal(SIGTERM);
  CHECK(daemon.wait(5) == 143);
}

TEST_CASE("a second signal ends the daemon at once") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  REQUIRE(setup.start({"trigger", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(sluice_pipeline_running{pipeline="facebook"} 1)");
  daemon.signal(SIGTERM);
  fetch_until(setup.port, "/readyz", "503");
  daemon.signal(SIGTERM);
  CHECK(daemon.wait(5) == 143);
}

TEST_CASE("an interrupted run ends with 130 and leaves nothing open") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  auto run = setup.start({"run", "facebook"});
  for (int i = 0; i < 100 && run.err().empty() && !std::ifstream(setup.folder / "state.db"); ++i)
    std::this_thread::sleep_for(50ms);
  std::this_thread::sleep_for(500ms);
  run.signal(SIGINT);
  CHECK(run.wait(20) == 130);
  CHECK(query(setup.folder / "state.db", "SELECT outcome || ', ' || message FROM runs") ==
        "cancelled, stopped by SIGINT");
  CHECK_THAT(run.err(), Contains("stopped by SIGINT"));
}

TEST_CASE("a run whose process was killed is not shown as running") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  auto run = setup.start({"run", "facebook"});
  wait_until("a run is recorded", [&] {
    auto runs = setup.start({"runs"});
    return runs.wait() == 0 && runs.out().find("running") != std::string::npos;
  });
  auto status = setup.start({"status"});
  CHECK(status.wait() == 0);
  CHECK_THAT(status.out(), Contains("running") && !Contains("interrupted"));
  run.signal(SIGKILL);
  run.wait();
  for (const auto* command : {"runs", "status"}) {
    auto seen = setup.start({command});
    CHECK(seen.wait() == 0);
    CHECK_THAT(seen.out(), Contains("interrupted: the process ended") && !Contains("running"));
  }
}

TEST_CASE("who cancelled a run stands in its record") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  REQUIRE(setup.start({"trigger", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(sluice_pipeline_running{pipeline="facebook"} 1)");
  REQUIRE(setup.start({"cancel", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(outcome="cancelled",pipeline="facebook",trigger="manual"} 1)");
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.err(), Contains("cancelled in") && Contains("; cancelled by hand"));
  CHECK(query(setup.folder / "state.db", "SELECT message FROM runs") == "cancelled by hand");
}
