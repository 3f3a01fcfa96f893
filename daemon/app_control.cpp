#include <filesystem>
#include <nlohmann/json.hpp>

#include "daemon/app_serve.hpp"
#include "daemon/backfill.hpp"
#include "daemon/notify.hpp"
#include "daemon/status_json.hpp"
#include "daemon/version.hpp"

// The half of the daemon that answers operators.

namespace sluice {
namespace {

constexpr int most_backfills = 16;
constexpr Duration state_answers_within = std::chrono::seconds(3);

}  // namespace

Health Daemon::health() {
  Health health;
  const auto add = [&](const char* name, std::string says) {
    const bool good = says == "ok";
    health.checks.push_back({name, good, std::move(says)});
  };
  // Anybody may ask: what is wrong with the file is said to those who may see it.
  health.checks.push_back(
      {"configuration", true,
       refused_ ? fmt::format("the old one; the file as it was at {} is refused: see the log, or sluice check",
                              format_instant(std::chrono::floor<std::chrono::seconds>(*refused_)))
                : "ok"});
  add("draining", draining_ ? "stopping: nothing new is started" : "ok");
  const bool hangs = state_asked_ && app_.clock.uptime() - *state_asked_ > state_answers_within;
  add("state", hangs ? "the state store does not answer" : state_said_);
  return health;
}

Duration Daemon::loop_age() const {
  return app_.clock.uptime() - last_turn_;
}

const Pipeline& Daemon::known(const std::string& name) const {
  if (const auto* pipeline = app_.configuration->pipeline(name)) return *pipeline;
  throw Refusal(404, fmt::format("there is no pipeline {}", name));
}

task<Json> Daemon::pipelines() {
  std::map<std::string, PipelineStatus> statuses;
  for (auto& status : scheduler_.status()) statuses[status.name] = status;
  auto all = Json::array();
  for (const auto& pipeline : app_.configuration->pipelines) {
    auto json = pipeline_json(pipeline, statuses[pipeline.name]);
    auto& backfills = json["backfills"] = Json::array();
    for (const auto& [id, run] : backfill_runs_)
      if (run.pipeline == pipeline.name) backfills.push_back(id);
    if (held_elsewhere_.contains(pipeline.name)) json["held_elsewhere"] = true;
    all.push_back(std::move(json));
  }
  co_return all;
}

task<Json> Daemon::pipeline(std::string name) {
  known(name);
  const auto all = co_await pipelines();
  for (const auto& json : all)
    if (json["name"] == name) co_return json;
  throw Refusal(404, fmt::format("there is no pipeline {}", name));
}

task<Json> Daemon::runs(std::string pipeline, std::size_t limit) {
  if (!pipeline.empty()) known(pipeline);
  auto all = Json::array();
  for (const auto& run : co_await app_.state.runs(pipeline, limit)) all.push_back(run_json(run));
  co_return all;
}

task<Json> Daemon::run(std::string id) {
  const auto run = co_await app_.state.run(id);
  if (!run) throw Refusal(404, fmt::format("there is no run {}", id));
  co_return run_json(*run);
}

task<Json> Daemon::logs(std::string name) {
  co_await app_.run_log.save();
  const auto run = co_await run_named(app_.state, std::move(name));
  const auto lines = co_await app_.state.log(run.id);
  co_return logs_json(run, lines);
}

Json Daemon::sources() {
  auto all = Json::array();
  for (const auto& source : app_.configuration->sources)
    all.push_back(Json{{"name", source.name}, {"type", source.kind->type}});
  return all;
}

Json Daemon::sinks() {
  auto all = Json::array();
  for (const auto& sink : app_.configuration->sinks) {
    Json json{{"name", sink.name}, {"type", sink.kind->type}};
    const auto up = sink_up_.find(sink.name);
    json["up"] = up == sink_up_.end() ? Json(nullptr) : Json(up->second);
    all.push_back(std::move(json));
  }
  return all;
}

Json Daemon::limits() {
  Json json{{"concurrent_runs", app_.configuration->concurrent_runs},
            {"running", scheduler_.running()},
            {"memory", app_.configuration->memory}};
  auto& buckets = json["buckets"] = Json::array();
  for (const auto& [key, bucket] : buckets_) {
    Json entry{{"source", bucket.source}, {"bucket", bucket.bucket}, {"tokens", bucket.tokens}};
    entry["upstream_utilization"] = bucket.upstream_utilization ? Json(*bucket.upstream_utilization) : Json(nullptr);
    buckets.push_back(std::move(entry));
  }
  return json;
}

Json Daemon::version() {
  std::error_code ignored;
  const auto file = std::filesystem::weakly_canonical(app_.configuration->file, ignored);
  return Json{{"version", sluice::version},
              {"commit", commit},
              {"configuration", ignored ? app_.configuration->file : file.string()}};
}

// What is known here and told by no event is looked up when somebody asks: with many pipelines that takes its time.
task<std::string> Daemon::metrics() {
  for (const auto& status : scheduler_.status()) {
    app_.metrics.set_next_fire(status.name, status.next_fire);
    app_.metrics.set_paused(status.name, status.paused);
  }
  app_.metrics.set_ready(health().ready());
  app_.metrics.set_dropped_log_lines(app_.log.dropped());
  auto text = [&metrics = app_.metrics] { return metrics.text(); };
  co_return co_await scrapes_.run(std::move(text));
}

void Daemon::refuse_held(const std::string& pipeline) const {
  const auto held = held_elsewhere_.find(pipeline);
  if (held != held_elsewhere_.end())
    throw Refusal(
        409, fmt::format("{} is held by another process, {}: wait for its end, or stop it", pipeline, held->second));
}

task<std::string> Daemon::trigger(std::string pipeline) {
  if (!known(pipeline).enabled)
    throw Refusal(422,
                  fmt::format("{} was not started: it is disabled (enabled: false in its configuration)", pipeline));
  refuse_held(pipeline);
  std::string said;
  try {
    const auto run = scheduler_.trigger(pipeline);
    said = run ? fmt::format("{}: run {} begins", pipeline, *run) : pipeline + ": runs when the present run has ended";
  } catch (const Error& e) {
    throw Refusal(409, e.what());
  }
  co_return said;
}

task<std::string> Daemon::pause(std::string pipeline, bool paused) {
  known(pipeline);
  refuse_held(pipeline);
  if (paused)
    co_await scheduler_.pause(pipeline);
  else
    co_await scheduler_.resume(pipeline);
  co_return pipeline + (paused ? ": paused; a run that goes on is not stopped" : ": resumed");
}

task<std::string> Daemon::cancel(std::string pipeline, std::string run, std::string who) {
  known(pipeline);
  const auto why = "cancelled by " + (who.empty() ? "hand" : who);
  if (!run.empty()) {
    const auto at = backfill_runs_.find(run);
    if (at == backfill_runs_.end() || at->second.pipeline != pipeline)
      throw Refusal(409, fmt::format("no backfill of {} goes on as run {}", pipeline, run));
    at->second.cancelled = why;
    at->second.body->cancel();
    co_return fmt::format("{}: backfill {} cancelled; what was published stays", pipeline, run);
  }
  try {
    scheduler_.cancel(pipeline, why);
  } catch (const Error& e) {
    throw Refusal(409, e.what());
  }
  co_return pipeline + ": cancelled; what was published stays";
}

task<std::string> Daemon::backfill(std::string name, BackfillRequest request) {
  const auto& pipeline = known(name);
  if (draining_) throw Refusal(409, "the daemon is stopping");
  if (backfill_runs_.size() >= most_backfills)
    throw Refusal(409, fmt::format("{} backfills go on already", most_backfills));
  const auto& lane = request.lane;
  RunOptions options;
  options.backfill.emplace(lane, request.from, request.to);
  options.parallel = request.parallel;
  options.streams = backfill_streams(pipeline, request.stream);
  std::string holder;
  auto lock = try_lock_pipeline(locks_dir_, backfill_lock(name, lane), "sluice serve", holder);
  if (!lock) throw Refusal(409, fmt::format("the backfill {} goes on already: {}", lane, holder));
  auto record = new_run(app_.clock, name, "backfill");
  const auto id = record.id;
  backfills_.spawn(run_backfill(std::move(record), std::move(options), std::move(*lock)));
  co_return fmt::format("{}: backfill {} begins as run {} when limits.concurrent_runs has a place for it", name, lane,
                        id);
}

task<void> Daemon::begin_backfill(RunRecord record, RunOptions options) {
  record.started = app_.clock.now();
  record.delay = record.started - record.planned;
  co_await recorded_run(app_, std::move(record), std::move(options));
}

task<void> Daemon::run_backfill(RunRecord record, RunOptions options, PipelineLock lock) {
  const auto id = record.id;
  TaskGroup body(app_.executor);
  auto& running = backfill_runs_[id] = BackfillRun{record.pipeline, &body, {}};
  options.why_cancelled = [this, &running] {
    return running.cancelled.empty() ? app_.loop.why_cancelled() : running.cancelled;
  };
  auto run = begin_backfill(std::move(record), std::move(options));
  body.spawn(scheduler_.run_beside(std::move(run)));
  std::string failure;
  try {
    co_await body.join();
  } catch (const boost::system::system_error& e) {
    if (e.code() != asio::error::operation_aborted) failure = e.code().message();
  } catch (const std::exception& e) {
    failure = e.what();
  }
  backfill_runs_.erase(id);
  lock.release();
  if (!failure.empty())
    app_.hub.emit(
        Notice{Level::error, {}, {}, fmt::format("what became of backfill {} is not written down: {}", id, failure)});
}

task<std::string> Daemon::reload() {
  const auto turn = co_await replacing_.acquire();
  if (!draining_) notify_reloading();
  std::string said;
  std::optional<Refusal> refusal;
  std::exception_ptr failure;
  try {
    said = co_await take_over();
  } catch (const Refusal& refused) {
    refusal = refused;
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) refusal.emplace(503, fmt::format("the old configuration stays in force: {}", error_of(failure).what()));
  release_locks();
  app_.metrics.configuration_loaded(!refusal, app_.clock.now());
  refused_ = refusal ? std::optional(app_.clock.now()) : std::nullopt;
  if (!draining_) notify_ready(status_line());
  // Whoever asked for it, by signal or by request: metric, alert and /readyz send the reader to the log.
  app_.log.write(refusal ? Level::error : Level::info, app_.clock.now(), refusal ? refusal->what() : said);
  if (refusal) throw Refusal(*refusal);
  co_return said;
}

task<std::string> Daemon::take_over() {
  Faults faults;
  auto loaded = load_configuration(app_.configuration->file, built_in_kinds(), faults);
  if (!loaded) throw Refusal(422, "the old configuration stays in force:\n" + faults_text(faults));
  const auto before = app_.configuration;
  const auto fresh = std::make_shared<const Configuration>(std::move(*loaded));
  const auto states = co_await remembered(fresh);
  co_await schedule(fresh);
  // Nothing below fails, and no run has begun since.
  app_.configuration = fresh;
  app_.engine.configure(fresh);
  scheduler_.set_concurrent_runs(fresh->concurrent_runs);
  app_.metrics.configure(inventory_of(*fresh));
  tell_metrics(states);
  auto said = fmt::format("configuration reloaded: {} pipelines", fresh->pipelines.size());
  if (!fresh->server.settings.same_as(before->server.settings) || fresh->state_url != before->state_url)
    said += "; changes of server and state take effect at the next start";
  co_return said;
}

}  // namespace sluice
