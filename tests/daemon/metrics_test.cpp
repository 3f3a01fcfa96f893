#include "daemon/metrics.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using namespace sluice;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

Inventory inventory() {
  return {{{"facebook", 3h, {"insights"}}}, {"meta"}, {"warehouse"}};
}

const Instant measured_at = *parse_instant("2026-03-02T12:00:00Z");

SliceEnded slice(SliceOutcome outcome) {
  SliceEnded e;
  e.pipeline = "facebook";
  e.stream = "insights";
  e.outcome = outcome;
  e.counts.read = 100;
  e.counts.inserted = 97;
  e.counts.quarantined = 3;
  return e;
}

void run(Metrics& metrics, const char* id, const char* trigger, Outcome outcome) {
  metrics.on(RunStarted{id, "facebook", trigger, measured_at, measured_at + 2s, 2s});
  RunEnded ended;
  ended.run = id;
  ended.pipeline = "facebook";
  ended.trigger = trigger;
  ended.outcome = outcome;
  ended.took = 42s;
  metrics.on(ended);
}

std::set<std::string> names(const std::string& text) {
  std::set<std::string> all;
  for (std::size_t at = 0; (at = text.find("# TYPE ", at)) != std::string::npos;) {
    at += 7;
    all.insert(text.substr(at, text.find('\n', at) - at));
  }
  return all;
}

}  // namespace

TEST_CASE("every metric has its fixed name and type once everything has happened") {
  Metrics metrics(inventory());
  metrics.configuration_loaded(true, measured_at);
  metrics.set_next_fire("facebook", measured_at + 1h);
  metrics.set_ready(true);
  run(metrics, "r1", "schedule", Outcome::succeeded);
  metrics.on(WatermarkMoved{"facebook", "insights", measured_at});
  metrics.on(QuarantineSize{"facebook", "insights", 3});
  metrics.on(BucketState{"meta", "app", 12.5, 0.4});
  metrics.on(BucketWaited{"meta", "app", 3s});
  for (int i = 0; i < 2; ++i) metrics.on(BudgetSpent{"meta", "operations", 1});
  metrics.on(SinkState{"warehouse", true, {}});
  CHECK_THAT(metrics.text(), Contains(R"(sluice_rate_limit_spent_total{bucket="operations",source="meta"} 2)"));
  CHECK(names(metrics.text()) == std::set<std::string>{"sluice_build_info gauge",
                                                       "sluice_ready gauge",
                                                       "sluice_config_last_reload_successful gauge",
                                                       "sluice_config_last_reload_success_timestamp_seconds gauge",
                                                       "sluice_pipeline_runs_total counter",
                                                       "sluice_pipeline_run_duration_seconds histogram",
                                                       "sluice_pipeline_running gauge",
                                                       "sluice_pipeline_paused gauge",
                                                       "sluice_pipeline_consecutive_failures gauge",
                                                       "sluice_pipeline_last_success_timestamp_seconds gauge",
                                                       "sluice_pipeline_next_fire_timestamp_seconds gauge",
                                                       "sluice_pipeline_start_delay_seconds histogram",
                                                       "sluice_pipeline_missed_fires_total counter",
                                                       "sluice_stream_rows_total counter",
                                                       "sluice_stream_slices_total counter",
                                                       "sluice_stream_watermark_timestamp_seconds gauge",
                                                       "sluice_stream_freshness_objective_seconds gauge",
                                                       "sluice_source_requests_total counter",
                                                       "sluice_source_request_duration_seconds histogram",
                                                       "sluice_source_received_bytes_total counter",
                                                       "sluice_source_retries_total counter",
                                                       "sluice_source_version_warnings_total counter",
                                                       "sluice_rate_limit_tokens gauge",
                                                       "sluice_rate_limit_wait_seconds_total counter",
                                                       "sluice_rate_limit_spent_total counter",
                                                       "sluice_rate_limit_throttled_total counter",
                                                       "sluice_rate_limit_upstream_utilization_ratio gauge",
                                                       "sluice_sink_up gauge",
                                                       "sluice_sink_commit_duration_seconds histogram",
                                                       "sluice_sink_transactions_total counter",
                                                       "sluice_quarantine_rows gauge",
                                                       "sluice_schema_changes_total counter",
                                                       "sluice_event_loop_lag_seconds histogram",
                                                       "sluice_log_lines_dropped gauge",
                                                       "process_resident_memory_bytes gauge",
                                                       "process_cpu_seconds_total counter",
                                                       "process_open_fds gauge",
                                                       "process_start_time_seconds gauge"});
}

TEST_CASE("series of what is configured exist from the start; what cannot be known is absent") {
  const auto text = Metrics(inventory()).text();
  for (const auto* line : {R"(sluice_pipeline_runs_total{outcome="failed",pipeline="facebook",trigger="schedule"} 0)",
                           R"(sluice_pipeline_consecutive_failures{pipeline="facebook"} 0)",
                           R"(sluice_stream_rows_total{pipeline="facebook",stage="inserted",stream="insights"} 0)",
                           R"(sluice_stream_freshness_objective_seconds{pipeline="facebook",stream="insights"} 10800)",
                           R"(sluice_source_retries_total{reason="throttled",source="meta"} 0)",
                           R"(sluice_sink_transactions_total{outcome="unknown",sink="warehouse"} 0)"})
    CHECK_THAT(text, Contains(line));
  for (const auto* absent : {"sluice_sink_up", "sluice_stream_watermark", "sluice_quarantine_rows",
                             "sluice_rate_limit_tokens", "sluice_pipeline_last_success", "sluice_pipeline_next_fire"})
    CHECK_THAT(text, !Contains(absent));
}

TEST_CASE("runs move the pipeline's series; backfills do not touch success and failures") {
  Metrics metrics(inventory());
  run(metrics, "r1", "schedule", Outcome::failed);
  run(metrics, "r2", "schedule", Outcome::partial);
  run(metrics, "b1", "backfill", Outcome::succeeded);
  CHECK_THAT(metrics.text(), Contains(R"(consecutive_failures{pipeline="facebook"} 2)") && !Contains("last_success"));
  CHECK_THAT(metrics.text(), Contains("sluice_pipeline_start_delay_seconds_sum 4\n"));
  run(metrics, "r3", "manual", Outcome::succeeded);
  const auto text = metrics.text();
  CHECK_THAT(text, Contains(R"(consecutive_failures{pipeline="facebook"} 0)"));
  CHECK_THAT(text, Contains(R"(last_success_timestamp_seconds{pipeline="facebook"} 1772452802)"));
  CHECK_THAT(text, Contains(R"(run_duration_seconds_count{pipeline="facebook"} 4)"));
  metrics.on(RunStarted{"r4", "facebook", "manual", measured_at, measured_at, {}});
  CHECK_THAT(metrics.text(), Contains(R"(sluice_pipeline_running{pipeline="facebook"} 1)"));
}

TEST_CASE("rows count only once they are committed") {
  Metrics metrics(inventory());
  metrics.on(slice(SliceOutcome::failed));
  metrics.on(slice(SliceOutcome::superseded));
  CHECK_THAT(metrics.text(), Contains(R"(rows_total{pipeline="facebook",stage="read",stream="insights"} 0)"));
  metrics.on(slice(SliceOutcome::published));
  CHECK_THAT(metrics.text(), Contains(R"(rows_total{pipeline="facebook",stage="read",stream="insights"} 100)"));
  CHECK_THAT(metrics.text(), Contains(R"(rows_total{pipeline="facebook",stage="quarantined",stream="insights"} 3)"));
  CHECK_THAT(metrics.text(), Contains(R"(slices_total{outcome="superseded",pipeline="facebook",stream="insights"} 1)"));
}

TEST_CASE("a lost COMMIT is counted when it is lost and again when it was found out, and timed once") {
  Metrics metrics(inventory());
  metrics.on(TransactionDone{"warehouse", "unknown", 2s});
  metrics.on(TransactionDone{"warehouse", "committed", 2s});
  const auto text = metrics.text();
  CHECK_THAT(text, Contains(R"(sink_transactions_total{outcome="unknown",sink="warehouse"} 1)"));
  CHECK_THAT(text, Contains(R"(sink_transactions_total{outcome="committed",sink="warehouse"} 1)"));
  CHECK_THAT(text, Contains(R"(sink_commit_duration_seconds_count{sink="warehouse"} 1)"));
}

TEST_CASE("labels come from the configuration only, and are escaped") {
  Metrics metrics({{{"a\"b\\c\nd", {}, {}}}, {"meta"}, {}});
  for (int i = 0; i < 5000; ++i) {
    metrics.on(FireMissed{fmt::format("made up {}", i), "down", measured_at, 1});
    metrics.on(RequestDone{"meta", fmt::format("x{}", i), 1s, 10});
    metrics.on(BucketState{"meta", fmt::format("bucket {}", i), 1, {}});
    metrics.on(BucketWaited{"meta", fmt::format("bucket {}", i), 1s});
  }
  const auto text = metrics.text();
  CHECK_THAT(text, !Contains("made up"));
  CHECK_THAT(text, Contains(R"(requests_total{code="other",source="meta"} 5000)"));
  CHECK_THAT(text, Contains(R"(pipeline="a\"b\\c\nd")"));
  CHECK_THAT(text, Contains("bucket 999") && !Contains("bucket 1000"));
}

TEST_CASE("a pipeline that reloads take away and bring back while it runs is counted as running until it ends") {
  Metrics metrics(inventory());
  const auto is_running = [&](int runs) {
    return Contains(fmt::format(R"(pipeline_running{{pipeline="facebook"}} {})"
                                "\n",
                                runs));
  };
  RunEnded ended;
  ended.run = "r1";
  ended.pipeline = "facebook";
  ended.trigger = "manual";
  metrics.on(RunStarted{"r1", "facebook", "manual", measured_at, measured_at, 0s});
  metrics.configure({});
  CHECK_THAT(metrics.text(), !Contains("pipeline_running{"));
  metrics.configure(inventory());
  CHECK_THAT(metrics.text(), is_running(1));
  metrics.on(ended);
  CHECK_THAT(metrics.text(), is_running(0));

  metrics.on(RunStarted{"r1", "facebook", "manual", measured_at, measured_at, 0s});
  metrics.configure({});
  metrics.on(ended);
  metrics.configure(inventory());
  CHECK_THAT(metrics.text(), is_running(0));
}

TEST_CASE("a new configuration adds and removes series and keeps the counts of the rest") {
  Metrics metrics(inventory());
  run(metrics, "r1", "manual", Outcome::succeeded);
  auto changed = inventory();
  changed.pipelines.push_back({"google", {}, {"campaigns"}});
  changed.pipelines[0].streams = {"ads"};
  metrics.configure(changed);
  const auto text = metrics.text();
  CHECK_THAT(text, Contains(R"(runs_total{outcome="succeeded",pipeline="facebook",trigger="manual"} 1)"));
  CHECK_THAT(text, Contains(R"(pipeline_running{pipeline="google"} 0)"));
  CHECK_THAT(text, Contains("stream=\"ads\"") && !Contains("stream=\"insights\""));
}

TEST_CASE("what the state remembers is there before the first run") {
  Metrics metrics(inventory());
  PipelineState state;
  state.paused = true;
  state.consecutive_failures = 3;
  state.last_succeeded = measured_at;
  metrics.restore("facebook", state);
  const auto text = metrics.text();
  CHECK_THAT(
      text, Contains(R"(paused{pipeline="facebook"} 1)") && Contains(R"(consecutive_failures{pipeline="facebook"} 3)"));
  CHECK_THAT(text, Contains(R"(last_success_timestamp_seconds{pipeline="facebook"} 1772452800)"));
}

TEST_CASE("watermarks from before the start are shown, of streams that are configured, and never moved back by them") {
  Metrics metrics(inventory());
  PipelineState state;
  state.watermarks = {{"insights", measured_at}, {"dropped_from_the_file", measured_at}};
  metrics.restore("facebook", state);
  metrics.restore("no_longer_configured", state);
  const std::string series = R"(stream_watermark_timestamp_seconds{pipeline="facebook",stream="insights"} )";
  CHECK_THAT(metrics.text(), Contains(series + "1772452800") && !Contains("dropped_from_the_file") &&
                                 !Contains("no_longer_configured"));
  metrics.on(WatermarkMoved{"facebook", "insights", measured_at + 60s});
  CHECK_THAT(metrics.text(), Contains(series + "1772452860"));
  metrics.restore("facebook", state);
  CHECK_THAT(metrics.text(), Contains(series + "1772452860"));
}

TEST_CASE("the state's failures do not replace what was told by a run since") {
  Metrics metrics(inventory());
  PipelineState state;
  state.consecutive_failures = 3;
  RunEnded ended;
  ended.pipeline = "facebook";
  ended.trigger = "schedule";
  metrics.on(ended);
  metrics.restore("facebook", state);
  CHECK_THAT(metrics.text(), Contains(R"(consecutive_failures{pipeline="facebook"} 0)"));
}

TEST_CASE("whether a disabled pipeline is paused is not told, so that alerts know it from the others") {
  Inventory inventory{{{"facebook", {}, {"insights"}}}, {"meta"}, {"warehouse"}};
  Metrics metrics(inventory);
  CHECK_THAT(metrics.text(), Contains(R"(sluice_pipeline_paused{pipeline="facebook"} 0)"));
  inventory.pipelines[0].enabled = false;
  metrics.configure(inventory);
  metrics.set_paused("facebook", false);
  CHECK_THAT(metrics.text(), !Contains("sluice_pipeline_paused{") && Contains("sluice_pipeline_running{"));
  inventory.pipelines[0].enabled = true;
  metrics.configure(inventory);
  CHECK_THAT(metrics.text(), Contains(R"(sluice_pipeline_paused{pipeline="facebook"} 0)"));
}

TEST_CASE("a scrape by another thread misses nothing that was there before and after") {
  Metrics metrics(inventory());
  std::atomic<bool> over = false;
  int scrapes = 0, without = 0;
  std::thread prometheus([&] {
    for (; !over; ++scrapes)
      if (metrics.text().find("sluice_stream_freshness_objective_seconds{") == std::string::npos) ++without;
  });
  for (int i = 0; i < 2000; ++i) {
    metrics.configure(inventory());
    run(metrics, "r1", "schedule", Outcome::succeeded);
  }
  over = true;
  prometheus.join();
  CHECK(scrapes > 0);
  CHECK(without == 0);
  CHECK_THAT(metrics.text(),
             Contains(R"(runs_total{outcome="succeeded",pipeline="facebook",trigger="schedule"} 2000)"));
}

TEST_CASE("what can never fire a pipeline has no series of it") {
  auto of_both = inventory();
  of_both.pipelines.push_back({"reports", {}, {}, true, true});
  const auto text = Metrics(of_both).text();
  CHECK_THAT(text, Contains(R"(runs_total{outcome="failed",pipeline="reports",trigger="dependency"} 0)") &&
                       Contains(R"(runs_total{outcome="failed",pipeline="facebook",trigger="manual"} 0)") &&
                       !Contains(R"(pipeline="facebook",trigger="dependency")"));
}
