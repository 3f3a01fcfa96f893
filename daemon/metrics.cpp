#include "daemon/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include "daemon/metrics_process.hpp"
#include "daemon/metrics_text.hpp"
#include "daemon/version.hpp"

namespace sluice {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;
using Values = std::vector<std::string>;

const Buckets run_seconds{1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 43200};
const Buckets request_seconds{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};
const Buckets commit_seconds{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60};
const Buckets delay_seconds{0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600};
const Buckets lag_seconds{0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 10};

// Ad accounts make buckets: their number is the API's, and bounded here.
constexpr std::size_t most_buckets_per_source = 1000;

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}
double seconds(Instant t) {
  return seconds(t.time_since_epoch());
}

// By name, as /metrics has them.
using Families = std::map<std::string, const prometheus::Collectable*>;

// One metric with its labels; the first label names what is configured.
template <typename T>
class Series {
 public:
  Series(Families& families, const std::string& name, const std::string& help, Values labels, Buckets buckets)
      : family_(name, help, {}), labels_(std::move(labels)), buckets_(std::move(buckets)) {
    families.emplace(name, &family_);
  }
  Series(const Series&) = delete;

  T& at(const Values& values) {
    auto& metric = series_[values];
    if (!metric) metric = &add(values);
    return *metric;
  }
  std::size_t count(const std::string& first) const {
    return static_cast<std::size_t>(
        std::count_if(series_.begin(), series_.end(), [&](const auto& entry) { return entry.first.front() == first; }));
  }
  bool has(const Values& values) const { return series_.contains(values); }
  void forget(const Values& values) {
    if (const auto known = series_.extract(values)) family_.Remove(known.mapped());
  }
  void forget_if(const std::function<bool(const Values&)>& gone) {
    std::erase_if(series_, [&](const auto& entry) {
      if (!gone(entry.first)) return false;
      family_.Remove(entry.second);
      return true;
    });
  }

 private:
  T& add(const Values& values) {
    prometheus::Labels labels;
    for (std::size_t i = 0; i < labels_.size(); ++i) labels.emplace(labels_[i], values.at(i));
    if constexpr (std::is_same_v<T, Histogram>)
      return family_.Add(labels, buckets_);
    else
      return family_.Add(labels);
  }

  prometheus::Family<T> family_;
  Values labels_;
  Buckets buckets_;
  std::map<Values, T*> series_;
};

// A status of HTTP or one of our own short words; anything else would let a server choose our labels.
std::string code_label(const std::string& code) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (code.size() == 3 && std::all_of(code.begin(), code.end(), digit)) return code;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  const bool word = !code.empty() && code.size() <= 16 && std::all_of(code.begin(), code.end(), letter);
  return word ? code : "other";
}

const Values triggers{"schedule", "manual", "backfill", "dependency"};
const Values run_outcomes{"succeeded", "partial", "failed", "cancelled"};
const Values slice_outcomes{"published", "failed", "superseded", "skipped"};
const Values missed_reasons{"down", "paused", "overlap", "deadline"};
const Values schema_actions{"column_added", "widened", "refused", "unknown_field"};
const Values row_stages{"read", "filtered", "quarantined", "duplicate", "inserted", "updated", "unchanged", "deleted"};
const Values transaction_outcomes{"committed", "rolled_back", "unknown"};
const Values retry_reasons{"throttled", "server_error", "timeout", "connection", "bad_answer", "token"};

}  // namespace

struct Metrics::Impl {
  Families families;
  std::set<std::string> pipelines, sources, sinks;
  std::set<std::string> disabled;  // of the pipelines
  std::set<std::pair<std::string, std::string>> streams;
  std::set<Values> with_objective;  // pipeline, stream
  struct GoingOn {
    std::string pipeline;
    Instant since;
  };
  std::map<std::string, GoingOn> going_on;  // runs, those of pipelines that a reload took away too
  void count_running(const std::string& pipeline) {
    const auto count = std::count_if(going_on.begin(), going_on.end(),
                                     [&](const auto& run) { return run.second.pipeline == pipeline; });
    running.at({pipeline}).Set(static_cast<double>(count));
  }
  std::set<std::string> ran;  // pipelines that told an outcome since they are known

  template <typename T>
  Series<T> series(const std::string& name, const std::string& help, Values labels, Buckets buckets = {}) {
    return Series<T>(families, "sluice_" + name, help, std::move(labels), std::move(buckets));
  }

  Series<Gauge> build_info = series<Gauge>("build_info", "Always 1; the labels say what runs.", {"version", "commit"});
  Series<Gauge> ready = series<Gauge>(
      "ready", "What /readyz answers: 1 for 200, and 0 for 503 (the state cannot be written, or sluice is stopping).",
      {});
  Series<Gauge> reload_good = series<Gauge>(
      "config_last_reload_successful", "Whether the newest attempt to load the configuration succeeded: 1, or 0.", {});
  Series<Gauge> reload_time =
      series<Gauge>("config_last_reload_success_timestamp_seconds", "When the configuration was last loaded.", {});
  Series<Counter> runs = series<Counter>("pipeline_runs_total", "Runs that ended.", {"pipeline", "trigger", "outcome"});
  Series<Histogram> run_duration =
      series<Histogram>("pipeline_run_duration_seconds", "How long runs took.", {"pipeline"}, run_seconds);
  Series<Gauge> running = series<Gauge>("pipeline_running", "Runs that are going on.", {"pipeline"});
  Series<Gauge> paused = series<Gauge>(
      "pipeline_paused", "1 while an operator has paused the pipeline; absent while it is disabled.", {"pipeline"});
  Series<Gauge> failures =
      series<Gauge>("pipeline_consecutive_failures", "Failed or partial runs since the last success.", {"pipeline"});
  Series<Gauge> last_success =
      series<Gauge>("pipeline_last_success_timestamp_seconds", "Start of the newest succeeded run.", {"pipeline"});
  Series<Gauge> next_fire =
      series<Gauge>("pipeline_next_fire_timestamp_seconds", "When the pipeline fires next.", {"pipeline"});
  Series<Histogram> start_delay = series<Histogram>(
      "pipeline_start_delay_seconds", "From the planned instant to the start of a scheduled run.", {}, delay_seconds);
  Series<Counter> missed =
      series<Counter>("pipeline_missed_fires_total", "Planned fires that were given up.", {"pipeline", "reason"});
  Series<Counter> rows = series<Counter>("stream_rows_total", "Rows by what became of them, counted after the commit.",
                                         {"pipeline", "stream", "stage"});
  Series<Counter> slices =
      series<Counter>("stream_slices_total", "Slices that ended.", {"pipeline", "stream", "outcome"});
  Series<Gauge> watermark =
      series<Gauge>("stream_watermark_timestamp_seconds", "Everything the source had up to this instant is loaded.",
                    {"pipeline", "stream"});
  Series<Gauge> objective =
      series<Gauge>("stream_freshness_objective_seconds", "How old the watermark may become.", {"pipeline", "stream"});
  Series<Counter> requests =
      series<Counter>("source_requests_total", "HTTP exchanges by status or failure.", {"source", "code"});
  Series<Histogram> request_duration = series<Histogram>("source_request_duration_seconds",
                                                         "How long HTTP exchanges took.", {"source"}, request_seconds);
  Series<Counter> received = series<Counter>("source_received_bytes_total", "Bytes of answers.", {"source"});
  Series<Counter> retries = series<Counter>("source_retries_total", "Requests made again.", {"source", "reason"});
  Series<Gauge> tokens = series<Gauge>("rate_limit_tokens", "Requests that may be made at once.", {"source", "bucket"});
  Series<Counter> waited =
      series<Counter>("rate_limit_wait_seconds_total", "Time spent waiting for the rate limit.", {"source", "bucket"});
  Series<Counter> spent =
      series<Counter>("rate_limit_spent_total", "Spent of a budget, like a day's operations.", {"source", "bucket"});
  Series<Counter> throttled =
      series<Counter>("rate_limit_throttled_total", "Answers that refused us for asking too much.", {"source"});
  Series<Gauge> utilization = series<Gauge>("rate_limit_upstream_utilization_ratio",
                                            "Share of the API's quota in use, as the API says.", {"source", "bucket"});
  Series<Counter> version_warnings =
      series<Counter>("source_version_warnings_total", "Answers that say our API version is going away.", {"source"});
  Series<Gauge> sink_up = series<Gauge>("sink_up", "1 when the sink answered last time.", {"sink"});
  Series<Histogram> commit_duration = series<Histogram>(
      "sink_commit_duration_seconds", "How long publishing transactions took.", {"sink"}, commit_seconds);
  Series<Counter> transactions =
      series<Counter>("sink_transactions_total", "Publishing transactions.", {"sink", "outcome"});
  Series<Gauge> quarantine = series<Gauge>("quarantine_rows", "Rows in quarantine.", {"pipeline", "stream"});
  Series<Counter> schema_changes =
      series<Counter>("schema_changes_total", "Changes of a stream's columns.", {"pipeline", "stream", "action"});
  Series<Histogram> lag =
      series<Histogram>("event_loop_lag_seconds", "How late timers of the event loop fire.", {}, lag_seconds);
  Series<Gauge> dropped_lines =
      series<Gauge>("log_lines_dropped", "Log lines lost since the start because stderr did not take them.", {});

  void add(const Inventory& inventory);
  void forget();
  bool stream_known(const std::string& pipeline, const std::string& stream) const {
    return streams.contains({pipeline, stream});
  }
  bool bucket_known(const Series<Gauge>& by, const std::string& source, const std::string& bucket) const {
    return sources.contains(source) && (by.has({source, bucket}) || by.count(source) < most_buckets_per_source);
  }

  void on(const RequestDone& e);
  void on(const RequestRetried& e);
  void on(const BucketState& e);
  void on(const BucketWaited& e);
  void on(const BudgetSpent& e);
  void on(const Throttled& e);
  void on(const VersionWarning& e);
  void on(const RunStarted& e);
  void on(const RunEnded& e);
  void on(const SliceEnded& e);
  void on(const WatermarkMoved& e);
  void on(const QuarantineSize& e);
  void on(const SchemaChanged& e);
  void on(const TransactionDone& e);
  void on(const SinkState& e);
  void on(const FireMissed& e);
  template <typename Other>
  void on(const Other&) {}
};

void Metrics::Impl::add(const Inventory& inventory) {
  for (const auto& [pipeline, freshness, names, enabled, follows] : inventory.pipelines) {
    pipelines.insert(pipeline);
    for (const auto& trigger : triggers) {
      if (trigger == "dependency" && !follows) continue;
      for (const auto& outcome : run_outcomes) runs.at({pipeline, trigger, outcome});
    }
    run_duration.at({pipeline});
    count_running(pipeline);
    if (enabled)
      paused.at({pipeline});
    else
      disabled.insert(pipeline);
    failures.at({pipeline});
    for (const auto& reason : missed_reasons) missed.at({pipeline, reason});
    for (const auto& stream : names) {
      streams.insert({pipeline, stream});
      for (const auto& stage : row_stages) rows.at({pipeline, stream, stage});
      for (const auto& outcome : slice_outcomes) slices.at({pipeline, stream, outcome});
      for (const auto& action : schema_actions) schema_changes.at({pipeline, stream, action});
      if (!freshness) continue;
      with_objective.insert({pipeline, stream});
      objective.at({pipeline, stream}).Set(seconds(*freshness));
    }
  }
  for (const auto& source : inventory.sources) {
    sources.insert(source);
    requests.at({source, "200"});
    request_duration.at({source});
    received.at({source});
    throttled.at({source});
    version_warnings.at({source});
    for (const auto& reason : retry_reasons) retries.at({source, reason});
  }
  for (const auto& sink : inventory.sinks) {
    sinks.insert(sink);
    commit_duration.at({sink});
    for (const auto& outcome : transaction_outcomes) transactions.at({sink, outcome});
  }
}

void Metrics::Impl::forget() {
  std::erase_if(ran, [&](const std::string& name) { return !pipelines.contains(name); });
  const auto forget_all = [](const auto& gone, auto&... series) { (series.forget_if(gone), ...); };
  forget_all([&](const Values& v) { return !pipelines.contains(v[0]); }, runs, run_duration, running, paused, failures,
             last_success, next_fire, missed);
  paused.forget_if([&](const Values& v) { return disabled.contains(v[0]); });
  forget_all([&](const Values& v) { return !stream_known(v[0], v[1]); }, rows, slices, watermark, quarantine,
             schema_changes);
  objective.forget_if([&](const Values& v) { return !with_objective.contains(v); });
  forget_all([&](const Values& v) { return !sources.contains(v[0]); }, requests, request_duration, received, retries,
             tokens, waited, spent, throttled, utilization, version_warnings);
  forget_all([&](const Values& v) { return !sinks.contains(v[0]); }, sink_up, commit_duration, transactions);
}

void Metrics::Impl::on(const RequestDone& e) {
  if (!sources.contains(e.source)) return;
  requests.at({e.source, code_label(e.code)}).Increment();
  request_duration.at({e.source}).Observe(seconds(e.took));
  received.at({e.source}).Increment(static_cast<double>(e.received_bytes));
}

void Metrics::Impl::on(const RequestRetried& e) {
  if (sources.contains(e.source)) retries.at({e.source, code_label(e.reason)}).Increment();
}

void Metrics::Impl::on(const BucketState& e) {
  if (!bucket_known(tokens, e.source, e.bucket)) return;
  tokens.at({e.source, e.bucket}).Set(e.tokens);
  if (e.upstream_utilization) utilization.at({e.source, e.bucket}).Set(*e.upstream_utilization);
}

void Metrics::Impl::on(const BucketWaited& e) {
  if (!sources.contains(e.source)) return;
  if (waited.has({e.source, e.bucket}) || waited.count(e.source) < most_buckets_per_source)
    waited.at({e.source, e.bucket}).Increment(seconds(e.waited));
}

void Metrics::Impl::on(const BudgetSpent& e) {
  if (sources.contains(e.source)) spent.at({e.source, e.bucket}).Increment(e.cost);
}

void Metrics::Impl::on(const Throttled& e) {
  if (sources.contains(e.source)) throttled.at({e.source}).Increment();
}

void Metrics::Impl::on(const VersionWarning& e) {
  if (sources.contains(e.source)) version_warnings.at({e.source}).Increment();
}

void Metrics::Impl::on(const RunStarted& e) {
  if (!pipelines.contains(e.pipeline)) return;
  going_on[e.run] = {e.pipeline, e.started};
  count_running(e.pipeline);
  if (e.trigger == "schedule") start_delay.at({}).Observe(seconds(e.delay));
}

void Metrics::Impl::on(const RunEnded& e) {
  const auto began = going_on.extract(e.run);
  if (!pipelines.contains(e.pipeline)) return;
  runs.at({e.pipeline, e.trigger, std::string(to_string(e.outcome))}).Increment();
  run_duration.at({e.pipeline}).Observe(seconds(e.took));
  count_running(e.pipeline);
  if (e.trigger == "backfill") return;
  ran.insert(e.pipeline);
  if (e.outcome == Outcome::succeeded) {
    failures.at({e.pipeline}).Set(0);
    if (began) last_success.at({e.pipeline}).Set(seconds(began.mapped().since));
  } else if (e.outcome != Outcome::cancelled) {
    failures.at({e.pipeline}).Increment();
  }
}

void Metrics::Impl::on(const SliceEnded& e) {
  if (!stream_known(e.pipeline, e.stream)) return;
  slices.at({e.pipeline, e.stream, std::string(to_string(e.outcome))}).Increment();
  if (e.outcome != SliceOutcome::published) return;
  const auto count = [&](const char* stage, std::int64_t n) {
    rows.at({e.pipeline, e.stream, stage}).Increment(static_cast<double>(n));
  };
  count("read", e.counts.read);
  count("filtered", e.counts.filtered);
  count("quarantined", e.counts.quarantined);
  count("duplicate", e.counts.duplicate);
  count("inserted", e.counts.inserted);
  count("updated", e.counts.updated);
  count("unchanged", e.counts.unchanged);
  count("deleted", e.counts.deleted);
}

void Metrics::Impl::on(const WatermarkMoved& e) {
  if (stream_known(e.pipeline, e.stream)) watermark.at({e.pipeline, e.stream}).Set(seconds(e.watermark));
}

void Metrics::Impl::on(const QuarantineSize& e) {
  if (stream_known(e.pipeline, e.stream)) quarantine.at({e.pipeline, e.stream}).Set(static_cast<double>(e.rows));
}

void Metrics::Impl::on(const SchemaChanged& e) {
  if (stream_known(e.pipeline, e.stream)) schema_changes.at({e.pipeline, e.stream, code_label(e.action)}).Increment();
}

void Metrics::Impl::on(const TransactionDone& e) {
  if (!sinks.contains(e.sink)) return;
  transactions.at({e.sink, code_label(e.outcome)}).Increment();
  // Of a lost COMMIT another event follows when it was found out; until then nobody knows how long it took.
  if (e.outcome != "unknown") commit_duration.at({e.sink}).Observe(seconds(e.took));
}

void Metrics::Impl::on(const SinkState& e) {
  if (sinks.contains(e.sink)) sink_up.at({e.sink}).Set(e.up ? 1 : 0);
}

void Metrics::Impl::on(const FireMissed& e) {
  if (pipelines.contains(e.pipeline))
    missed.at({e.pipeline, code_label(e.reason)}).Increment(static_cast<double>(e.count));
}

Metrics::Metrics(const Inventory& inventory) : impl_(std::make_unique<Impl>()) {
  impl_->build_info.at({std::string(version), std::string(commit)}).Set(1);
  impl_->start_delay.at({});
  impl_->lag.at({});
  impl_->dropped_lines.at({});
  impl_->add(inventory);
}

Metrics::~Metrics() = default;

void Metrics::configure(const Inventory& inventory) {
  impl_->pipelines.clear();
  impl_->disabled.clear();
  impl_->streams.clear();
  impl_->sources.clear();
  impl_->sinks.clear();
  impl_->with_objective.clear();
  impl_->add(inventory);
  impl_->forget();
}

void Metrics::on(const Event& event) {
  std::visit([&](const auto& e) { impl_->on(e); }, event);
}

void Metrics::restore(const std::string& pipeline, const PipelineState& state) {
  if (!impl_->pipelines.contains(pipeline)) return;
  set_paused(pipeline, state.paused);
  for (const auto& [stream, watermark] : state.watermarks) {
    if (!impl_->stream_known(pipeline, stream)) continue;
    auto& told = impl_->watermark.at({pipeline, stream});
    told.Set(std::max(told.Value(), seconds(watermark)));
  }
  if (impl_->ran.contains(pipeline)) return;
  impl_->failures.at({pipeline}).Set(static_cast<double>(state.consecutive_failures));
  if (state.last_succeeded) impl_->last_success.at({pipeline}).Set(seconds(*state.last_succeeded));
}

void Metrics::set_paused(const std::string& pipeline, bool paused) {
  if (impl_->pipelines.contains(pipeline) && !impl_->disabled.contains(pipeline))
    impl_->paused.at({pipeline}).Set(paused ? 1 : 0);
}

void Metrics::set_next_fire(const std::string& pipeline, std::optional<Instant> when) {
  if (when && impl_->pipelines.contains(pipeline)) impl_->next_fire.at({pipeline}).Set(seconds(*when));
  if (!when) impl_->next_fire.forget({pipeline});
}

void Metrics::configuration_loaded(bool good, Instant when) {
  impl_->reload_good.at({}).Set(good ? 1 : 0);
  if (good) impl_->reload_time.at({}).Set(seconds(when));
}

void Metrics::set_ready(bool ready) {
  impl_->ready.at({}).Set(ready ? 1 : 0);
}

void Metrics::loop_lag(Duration lag) {
  impl_->lag.at({}).Observe(std::max(0.0, seconds(lag)));
}

void Metrics::set_dropped_log_lines(std::int64_t lines) {
  impl_->dropped_lines.at({}).Set(static_cast<double>(lines));
}

std::string Metrics::text() const {
  std::string text;
  for (const auto& family : process_metrics()) append_text(text, family);
  // One after the other: a copy of all of them at once would be several times the text.
  for (const auto& [name, one] : impl_->families)
    for (const auto& family : one->Collect()) append_text(text, family);
  return text;
}

}  // namespace sluice
