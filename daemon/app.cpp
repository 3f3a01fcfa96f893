#include "daemon/app.hpp"

#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <cstring>

#include "scheduler/scheduler.hpp"

namespace sluice {
namespace {

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

task<void> watch_signals(TaskGroup& group, std::function<void(int)> on_signal, int& caught) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGINT, SIGTERM);
  caught = co_await signals.async_wait(asio::use_awaitable);
  if (!on_signal) {
    group.cancel();
    co_return;  // and with the signal set its handlers: a second signal does what signals do
  }
  on_signal(caught);
  const int again = co_await signals.async_wait(asio::use_awaitable);
  ::_exit(128 + again);
}

task<void> run_and_end(task<int> body, int& result, TaskGroup& group) {
  result = co_await std::move(body);
  group.cancel();
}

task<void> root(task<int> body, std::function<void(int)> on_signal, int& result, int& caught) {
  TaskGroup group(co_await asio::this_coro::executor);
  group.spawn(watch_signals(group, std::move(on_signal), caught));
  group.spawn(run_and_end(std::move(body), result, group));
  co_await group.join();
}

}  // namespace

void print_out(std::string_view text) {
  write_all(STDOUT_FILENO, text);
}
void print_err(std::string_view text) {
  write_all(STDERR_FILENO, text);
}

int Loop::run(task<int> body, std::function<void(int)> on_signal) {
  const bool drains = static_cast<bool>(on_signal);
  int result = exit_code::failed;
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(io_, root(std::move(body), std::move(on_signal), result, caught_),
                 [&](const std::exception_ptr& error) {
                   failure = error;
                   done = true;
                 });
  io_.restart();
  while (!done) io_.run_one();
  if (failure && !is_cancellation(failure)) std::rethrow_exception(failure);
  return caught_ != 0 && !drains ? 128 + caught_ : result;
}

std::string Loop::why_cancelled() const {
  return caught_ == 0 ? "cancelled" : fmt::format("stopped by SIG{}", ::sigabbrev_np(caught_));
}

std::string faults_text(const Faults& faults) {
  std::string text;
  for (const auto& [where, message] : faults) {
    const auto place = to_string(where);
    text += place + (place.empty() ? "" : ": ") + message + '\n';
  }
  return text;
}

std::shared_ptr<const Configuration> load_or_fail(const Arguments& arguments, bool warn) {
  Faults faults;
  auto configuration = load_configuration(configuration_path(arguments.config), built_in_kinds(), faults);
  if (!configuration) throw Failure(exit_code::configuration, faults_text(faults));
  if (warn)
    for (const auto& [where, message] : configuration->warnings)
      print_err(fmt::format("{}: warning: {}\n", to_string(where), message));
  return std::make_shared<const Configuration>(std::move(*configuration));
}

Inventory inventory_of(const Configuration& configuration) {
  Inventory inventory;
  for (const auto& pipeline : configuration.pipelines) {
    Inventory::Entry entry;
    entry.name = pipeline.name;
    entry.freshness = pipeline.freshness;
    entry.enabled = pipeline.enabled;
    entry.follows = std::holds_alternative<std::vector<std::string>>(pipeline.schedule.when);
    for (const auto& stream : pipeline.streams)
      if (stream.enabled) entry.streams.push_back(stream.name);
    inventory.pipelines.push_back(std::move(entry));
  }
  for (const auto& source : configuration.sources) inventory.sources.push_back(source.name);
  for (const auto& sink : configuration.sinks) inventory.sinks.push_back(sink.name);
  return inventory;
}

App::App(Loop& l, std::shared_ptr<const Configuration> c, LogOptions options)
    : loop(l),
      executor(loop.executor()),
      clock(executor),
      configuration(std::move(c)),
      rng(std::random_device{}()),
      log(options),
      metrics(inventory_of(*configuration)),
      hub(executor, clock, metrics, log),
      state(state_path(*configuration), executor, clock),
      run_log(hub, clock, log, state,
              [this](const std::string& name) {
                const auto* pipeline = configuration->pipeline(name);
                return pipeline ? std::pair(pipeline->source, pipeline->sink) : std::pair<std::string, std::string>();
              }),
      engine(executor, clock, hub, log, configuration->memory) {
  engine.configure(configuration);
  metrics.configuration_loaded(true, clock.now());
}

App::~App() = default;

const Pipeline& pipeline_or_fail(const Configuration& configuration, const std::string& name) {
  if (const auto* pipeline = configuration.pipeline(name)) return *pipeline;
  std::string known;
  for (const auto& pipeline : configuration.pipelines) known += (known.empty() ? "" : ", ") + pipeline.name;
  throw Failure(exit_code::usage, fmt::format("there is no pipeline {} in {}; there are: {}", name, configuration.file,
                                              known.empty() ? "none" : known));
}

const StreamPlan& stream_or_fail(const Pipeline& pipeline, const std::string& name) {
  std::string known;
  for (const auto& stream : pipeline.streams) {
    if (stream.name == name) return stream;
    known += (known.empty() ? "" : ", ") + stream.name;
  }
  throw Failure(exit_code::usage, fmt::format("pipeline {} has no stream {}; it has: {}", pipeline.name, name, known));
}

RunRecord new_run(const Clock& clock, const std::string& pipeline, const std::string& trigger) {
  RunRecord record;
  record.started = record.planned = clock.now();
  record.id = make_run_id(record.started);
  record.pipeline = pipeline;
  record.trigger = trigger;
  return record;
}

RunRecord ended_record(RunRecord record, const RunEnded& ended, Instant now) {
  record.ended = now;
  record.outcome = ended.outcome;
  record.message = ended.message;
  record.counts = ended.counts;
  record.slices_published = ended.slices_published;
  record.slices_failed = ended.slices_failed;
  record.watermarks = ended.watermarks;
  return record;
}

LogOptions quiet_log(const Arguments& arguments) {
  return {std::max(arguments.log_level, Level::warning), arguments.log_format};
}

task<RunEnded> recorded_run(App& app, RunRecord record, RunOptions options) {
  if (!options.why_cancelled) options.why_cancelled = [&app] { return app.loop.why_cancelled(); };
  RunEnded ended;
  ended.run = record.id;
  ended.pipeline = record.pipeline;
  ended.trigger = record.trigger;
  std::exception_ptr failure;
  try {
    co_await app.state.run_started(record);
    ended = co_await app.engine.run(record, std::move(options));
  } catch (const Error& e) {
    ended.outcome = Outcome::failed;
    ended.message = e.what();
    app.hub.emit(ended);
  } catch (...) {
    failure = std::current_exception();
    ended.outcome = is_cancellation(failure) ? Outcome::cancelled : Outcome::failed;
    ended.message = is_cancellation(failure) ? app.loop.why_cancelled() : error_of(failure).what();
  }
  ended.message = app.log.scrub(ended.message);
  auto last = ended_record(std::move(record), ended, app.clock.now());
  // A cancelled task cannot write any more; what it did is written all the same.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await app.state.run_ended(last);
  co_await app.run_log.save();
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  if (failure) std::rethrow_exception(failure);
  co_return ended;
}

}  // namespace sluice
