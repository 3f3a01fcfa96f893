#include "daemon/app_serve.hpp"

#include <csignal>

#include "daemon/api_routes.hpp"
#include "daemon/notify.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr Duration turn_every = 1s;
constexpr Duration state_asked_every = 1s;
constexpr Duration lock_again_every = 10s;
constexpr Duration to_end_after_drain = 30s;  // for what is cancelled then
// More than a statement and its COMMIT may take by default; what is not at its end then hangs.
constexpr Duration to_publish_after_drain = 15min;

}  // namespace

Daemon::Daemon(App& app)
    : app_(app),
      scheduler_(app.executor, app.clock, app.hub, app.state, app.rng, app.configuration->concurrent_runs,
                 [this](RunRequest request) { return run_scheduled(std::move(request)); }),
      locks_dir_(lock_folder(state_path(*app.configuration))),
      backfills_(app.executor),
      last_turn_(app.clock.uptime()),
      replacing_(app.executor, 1),
      told_(app.executor),
      reload_signal_(app.executor, SIGHUP) {
  listener_ = app.hub.listen([this](const Event& event) { note(event); });
}

Daemon::~Daemon() = default;

task<void> Daemon::start() {
  auto options = server_options(*app_.configuration);
  for (const auto& token : options.tokens) app_.log.hide(token.token);
  co_await app_.state.probe();
  app_.engine.keep_quotas(app_.state);
  const auto states = co_await remembered(app_.configuration);
  tell_metrics(states);
  co_await schedule(app_.configuration);
  release_locks();
  routes_ =
      std::make_unique<ApiRoutes>(*this, app_.hub, app_.log, app_.clock, app_.configuration->server.protect_metrics);
  server_ = std::make_unique<HttpServer>(app_.executor, app_.clock, std::move(options), *routes_);
  server_->listen();
}

task<std::vector<std::pair<std::string, PipelineState>>> Daemon::remembered(std::shared_ptr<const Configuration> of) {
  std::vector<std::pair<std::string, PipelineState>> states;
  for (const auto& pipeline : of->pipelines) {
    auto state = co_await app_.state.pipeline(pipeline.name);
    states.emplace_back(pipeline.name, std::move(state));
  }
  co_return states;
}

void Daemon::tell_metrics(const std::vector<std::pair<std::string, PipelineState>>& states) {
  for (const auto& [pipeline, state] : states) app_.metrics.restore(pipeline, state);
}

unsigned short Daemon::port() const {
  return server_->port();
}

task<void> Daemon::serve() {
  notify_ready(status_line());
  TaskGroup group(app_.executor);
  group.spawn(server_->serve());
  group.spawn(scheduler_.run());
  group.spawn(tend());
  group.spawn(watch_state());
  Retention retention(app_.clock, app_.hub, [this] { return memories(); });
  group.spawn(retention.run());
  group.spawn(app_.run_log.keep());
  group.spawn(take_freed_pipelines());
  group.spawn(reload_on_signal());
  group.spawn(drain_when_told(group));
  std::exception_ptr failure;
  try {
    co_await group.join();
  } catch (...) {
    failure = std::current_exception();
  }
  backfills_.cancel();
  co_await backfills_.join();
  co_await app_.run_log.save();
  locks_.clear();
  if (failure) std::rethrow_exception(failure);
}

void Daemon::stop() {
  const auto timeout = app_.configuration->server.drain_timeout;
  draining_ = true;
  gives_up_ = app_.clock.uptime() + timeout + to_publish_after_drain;
  notify_stopping(timeout + to_end_after_drain);
  told_.notify_all();
}

task<void> Daemon::drain_when_told(TaskGroup& group) {
  while (!draining_) co_await told_.wait();
  co_await scheduler_.drain(app_.configuration->server.drain_timeout);
  backfills_.cancel();  // their progress is kept: the same command takes them up again
  co_await backfills_.join();
  group.cancel();
}

task<RunEnded> Daemon::run_scheduled(RunRequest request) {
  RunOptions options;
  options.up_to = request.up_to;
  options.why_cancelled = std::move(request.why_cancelled);
  auto ended = co_await app_.engine.run(std::move(request.record), std::move(options));
  ended.message = app_.log.scrub(ended.message);
  co_return ended;
}

task<void> Daemon::schedule(std::shared_ptr<const Configuration> configuration) {
  const auto held = held_elsewhere_;
  std::exception_ptr failure;
  try {
    auto pipelines = locked_pipelines(*configuration);
    co_await scheduler_.replace_pipelines(std::move(pipelines));
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  held_elsewhere_ = held;
  std::rethrow_exception(failure);
}

std::vector<ScheduledPipeline> Daemon::locked_pipelines(const Configuration& configuration) {
  std::vector<ScheduledPipeline> ours;
  for (const auto& pipeline : configuration.pipelines) {
    std::string holder;
    if (!locks_.contains(pipeline.name)) {
      auto lock = try_lock_pipeline(locks_dir_, pipeline.name, "sluice serve", holder);
      if (lock) locks_.emplace(pipeline.name, std::move(*lock));
    }
    if (locks_.contains(pipeline.name)) {
      held_elsewhere_.erase(pipeline.name);
      ours.emplace_back(pipeline);
    } else if (held_elsewhere_.insert_or_assign(pipeline.name, holder).second) {
      app_.hub.emit(Notice{
          Level::warning, pipeline.name, {}, fmt::format("not scheduled while another process holds it: {}", holder)});
    }
  }
  return ours;
}

// One that is disabled is nobody's: a person may run it by hand.
void Daemon::release_locks() {
  const auto ours = [&](const std::string& name) {
    const auto* pipeline = app_.configuration->pipeline(name);
    return pipeline != nullptr && pipeline->enabled;
  };
  std::erase_if(locks_, [&](const auto& lock) { return !ours(lock.first) && !scheduler_.running(lock.first); });
  std::erase_if(held_elsewhere_, [&](const auto& held) { return !app_.configuration->pipeline(held.first); });
}

task<void> Daemon::take_freed_pipelines() {
  for (;;) {
    co_await app_.clock.sleep_for(lock_again_every);
    const auto turn = co_await replacing_.acquire();
    const bool freed = std::any_of(held_elsewhere_.begin(), held_elsewhere_.end(),
                                   [&](const auto& held) { return !lock_is_held(locks_dir_, held.first); });
    release_locks();
    if (!freed) continue;
    const auto before = held_elsewhere_;
    std::exception_ptr failure;
    try {
      const auto states = co_await remembered(app_.configuration);
      co_await schedule(app_.configuration);
      tell_metrics(states);
    } catch (...) {
      failure = std::current_exception();
    }
    release_locks();
    if (failure)
      app_.hub.emit(Notice{Level::warning,
                           {},
                           {},
                           fmt::format("whether another process still holds a pipeline cannot be seen: {}; tried again",
                                       error_of(failure).what())});
    for (const auto& [name, holder] : before)
      if (!held_elsewhere_.contains(name))
        app_.hub.emit(Notice{Level::info, name, {}, "free again: scheduled from now on"});
  }
}

// Once a second: how late the loop is, what folds need, the watchdog.
task<void> Daemon::tend() {
  const auto watchdog = watchdog_interval();
  auto fed = app_.clock.uptime();
  for (;;) {
    const auto asleep = app_.clock.uptime();
    co_await app_.clock.sleep_for(turn_every);
    last_turn_ = app_.clock.uptime();
    app_.metrics.loop_lag(last_turn_ - asleep - turn_every);
    app_.log.tick(app_.clock.now());
    if (!draining_)
      notify_status(status_line());
    else if (last_turn_ < gives_up_)
      notify_longer(to_end_after_drain);  // slices that are being published end
    if (watchdog && last_turn_ - fed >= *watchdog / 3) {
      notify_watchdog();
      fed = last_turn_;
    }
  }
}

task<void> Daemon::watch_state() {
  for (;;) {
    std::exception_ptr failure;
    state_asked_ = app_.clock.uptime();
    try {
      co_await app_.state.probe();
    } catch (...) {
      failure = std::current_exception();
    }
    state_asked_.reset();
    state_said_ = failure ? error_of(failure).what() : "ok";
    co_await app_.clock.sleep_for(state_asked_every);
  }
}

std::string Daemon::status_line() {
  for (const auto& check : health().checks)
    if (!check.good) return fmt::format("not ready: {}: {}", check.name, check.says);
  auto line = fmt::format("{} pipelines, {} running", app_.configuration->pipelines.size(), scheduler_.running());
  if (const auto next = scheduler_.next_fire())
    line += fmt::format(", next {} at {}", next->first,
                        format_instant(std::chrono::floor<std::chrono::seconds>(next->second)));
  if (refused_) line += "; the file as it is now is refused";
  return line;
}

std::vector<Memory> Daemon::memories() {
  const auto before = app_.clock.now() - app_.configuration->retention;
  std::vector<Memory> all;
  all.emplace_back("the state", [this, before] { return app_.state.prune(before); });
  for (const auto& sink : app_.configuration->sinks)
    all.emplace_back("sink " + sink.name, [this, before, name = sink.name] { return app_.engine.prune(name, before); });
  return all;
}

void Daemon::note(const Event& event) {
  if (const auto* sink = std::get_if<SinkState>(&event)) sink_up_[sink->sink] = sink->up;
  if (const auto* bucket = std::get_if<BucketState>(&event)) buckets_[{bucket->source, bucket->bucket}] = *bucket;
}

task<void> Daemon::reload_on_signal() {
  for (;;) {
    co_await reload_signal_.async_wait(asio::use_awaitable);
    try {
      co_await reload();
    } catch (const Refusal&) {
      // The log has it.
    }
  }
}

}  // namespace sluice
