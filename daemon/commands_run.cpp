#include <unistd.h>

#include <nlohmann/json.hpp>

#include "daemon/app_serve.hpp"
#include "daemon/backfill.hpp"
#include "daemon/commands.hpp"
#include "daemon/phrases.hpp"
#include "daemon/progress_bar.hpp"
#include "daemon/remote.hpp"
#include "daemon/status_json.hpp"
#include "scheduler/plan.hpp"

// Commands that run pipelines: serve, run, backfill.

namespace sluice {
namespace {

// Runs in the foreground have a progress line of their own; the log is for what goes wrong.
LogOptions foreground_log(const Arguments& arguments) {
  LogOptions options{arguments.log_level, arguments.log_format};
  options.runs = false;
  return options;
}

// `beside_daemon`: what to do where it is the daemon, which never lets go, that holds the lock.
PipelineLock lock_or_fail(const App& app, const std::string& name, const std::string& who,
                          const std::string& beside_daemon) {
  std::string holder;
  auto lock = try_lock_pipeline(lock_folder(state_path(*app.configuration)), name, who, holder);
  const bool daemon = held_by_daemon(holder) && !beside_daemon.empty();
  if (!lock)
    throw Failure(exit_code::temporary,
                  fmt::format("{} is held by {}; {}", name, holder, daemon ? beside_daemon : "wait for its end"));
  return std::move(*lock);
}

EventHub::Listener show_progress(App& app) {
  const auto bar = std::make_shared<ProgressBar>(Terminal::of(STDERR_FILENO), app.clock.uptime());
  return app.hub.listen([bar, &app](const Event& event) {
    if (std::holds_alternative<RunEnded>(event)) {
      print_err(bar->clear());
      app.log.flush();
    }
    auto text = bar->on(event, app.clock.uptime());
    if (std::holds_alternative<Notice>(event) || std::holds_alternative<Throttled>(event)) text = bar->clear();
    if (!text.empty()) print_err(app.log.scrub(text));
  });
}

task<void> run_one(App& app, Semaphore& slots, RunOptions options, std::string pipeline, std::vector<RunEnded>& ended) {
  auto slot = co_await slots.acquire();
  co_await app.state.close_orphans(pipeline);
  auto result = co_await recorded_run(app, new_run(app.clock, pipeline, "manual"), std::move(options));
  ended.push_back(std::move(result));
}

// Makes what the pipeline needs: a reference that does not resolve is said before anything has begun.
void resolve(App& app, const Pipeline& pipeline) {
  app.engine.keep_quotas(app.state);
  app.engine.connector(pipeline.source);
  app.engine.sink(pipeline.sink);
  for (const auto& stream : pipeline.streams) stream.transform.load_key();
}

// The daemon runs all of a pipeline, and only what is due.
std::string beside_daemon(const Arguments& arguments, const std::string& pipeline) {
  if (arguments.full_refresh || !arguments.stream.empty())
    return "the daemon makes ordinary runs of whole pipelines only: stop it, run this again, and start it";
  return fmt::format("`sluice trigger {}` asks the daemon to run it", pipeline);
}

task<int> run_all(App& app, const Arguments& arguments) {
  for (const auto& name : arguments.pipelines) resolve(app, pipeline_or_fail(*app.configuration, name));
  const auto progress = show_progress(app);
  RunOptions options;
  options.full_refresh = arguments.full_refresh;
  if (!arguments.stream.empty()) options.streams.push_back(arguments.stream);
  std::vector<PipelineLock> locks;
  for (const auto& name : arguments.pipelines)
    locks.push_back(lock_or_fail(app, name, "sluice run", beside_daemon(arguments, name)));
  Semaphore slots(app.executor, app.configuration->concurrent_runs);
  std::vector<RunEnded> ended;
  TaskGroup group(app.executor);
  for (const auto& name : arguments.pipelines) group.spawn(run_one(app, slots, options, name, ended));
  co_await group.join();
  co_await app.engine.close();
  int code = exit_code::done;
  auto all = Json::array();
  for (const auto& run : ended) {
    if (run.outcome != Outcome::succeeded) code = exit_code::failed;
    const auto record = co_await app.state.run(run.run);
    if (record) all.push_back(run_json(*record));
  }
  if (arguments.json) print_out(pretty(all));
  co_return code;
}

std::string lane_name(const Arguments& arguments) {
  return backfill_lane(arguments.name, *arguments.from, *arguments.to);
}

task<int> backfill_dry_run(App& app, const Pipeline& pipeline, const Arguments& arguments) {
  const Backfill backfill(lane_name(arguments), *arguments.from, *arguments.to);
  auto& connector = app.engine.connector(pipeline.source);
  auto& sink = app.engine.sink(pipeline.sink);
  auto lanes = Json::array();
  std::size_t total = 0;
  for (const auto& name : backfill_streams(pipeline, arguments.stream)) {
    const auto* stream = &stream_or_fail(pipeline, name);
    const auto partitions = co_await connector.partitions(stream->spec);
    for (const auto& partition : partitions) {
      if (!partition.active) continue;
      const LaneId lane(pipeline.name, stream->name, partition.id, backfill.name);
      Target target(app.clock.now());
      target.backfill = &backfill;
      const auto progress = co_await sink.progress(lane, stream->table.name, backfill.days());
      target.earliest = connector.earliest(stream->spec, partition);
      const auto slices = plan_slices(*stream, partition, progress, target);
      total += slices.size();
      lanes.push_back(Json{{"stream", stream->name},
                           {"partition", partition.id},
                           {"slices", slices.size()},
                           {"from", slices.empty() ? "" : slices.front().slice.window()},
                           {"to", slices.empty() ? "" : slices.back().slice.window()},
                           {"done_to", progress.done_to.value_or("")},
                           {"note", shortfall(*stream, partition, progress, target)}});
    }
  }
  co_await app.engine.close();
  if (arguments.json) {
    const Json all{{"name", backfill.name}, {"slices", total}, {"lanes", std::move(lanes)}};
    print_out(pretty(all));
    co_return exit_code::done;
  }
  TablePrinter table({"STREAM", "PARTITION", "SLICES", "FROM", "TO", "DONE TO", "NOTE"});
  for (const auto& lane : lanes)
    table.add({lane["stream"], lane["partition"], std::to_string(lane["slices"].get<std::size_t>()), lane["from"],
               lane["to"], lane["done_to"], lane["note"]});
  print_out(table.print(Terminal::of(STDOUT_FILENO)));
  print_out(fmt::format("{} slices would be loaded in the lane {}; nothing was touched\n", total, backfill.name));
  co_return exit_code::done;
}

task<int> backfill_here(App& app, const Pipeline& pipeline, const Arguments& arguments) {
  resolve(app, pipeline);
  const auto progress = show_progress(app);
  const auto lane = lane_name(arguments);
  const auto lock = lock_or_fail(app, backfill_lock(pipeline.name, lane), "sluice backfill", "");
  RunOptions options;
  options.backfill.emplace(lane, *arguments.from, *arguments.to);
  options.parallel = arguments.parallel;
  options.streams = backfill_streams(pipeline, arguments.stream);
  const auto ended = co_await recorded_run(app, new_run(app.clock, pipeline.name, "backfill"), std::move(options));
  co_await app.engine.close();
  const auto record = co_await app.state.run(ended.run);
  if (arguments.json && record) print_out(pretty(run_json(*record)));
  co_return ended.outcome == Outcome::succeeded ? exit_code::done : exit_code::failed;
}

task<int> backfill_there(Remote& remote, const Arguments& arguments) {
  Json body{{"from", format_day(*arguments.from)}, {"to", format_day(*arguments.to)}, {"name", lane_name(arguments)}};
  if (!arguments.stream.empty()) body["stream"] = arguments.stream;
  body["parallel"] = arguments.parallel;
  const auto answer = co_await remote.client().post(
      "/api/v1/pipelines/" + url_encode(arguments.pipelines.at(0)) + "/backfill", body.dump());
  print_out(arguments.json ? pretty(answer) : answer.value("message", "") + "\n");
  co_return exit_code::done;
}

task<int> backfill_anywhere(App& app, const Pipeline& pipeline, const Arguments& arguments) {
  if (arguments.dry_run) co_return co_await backfill_dry_run(app, pipeline, arguments);
  Remote remote(app.executor, app.clock, arguments, app.configuration.get());
  if (co_await remote.answers()) co_return co_await backfill_there(remote, arguments);
  co_return co_await backfill_here(app, pipeline, arguments);
}

task<int> serve(Daemon& daemon, App& app) {
  co_await daemon.start();
  const auto& server = app.configuration->server;
  app.log.write(Level::info, app.clock.now(),
                fmt::format("started: {} pipelines, http{}://{}:{}", app.configuration->pipelines.size(),
                            server.settings.has("tls") ? "s" : "", server.address, daemon.port()));
  co_await daemon.serve();
  co_await app.engine.close();
  app.log.write(Level::info, app.clock.now(), "stopped");
  co_return exit_code::done;
}

}  // namespace

int serve_command(const Arguments& arguments) {
  Loop loop;
  App app(loop, load_or_fail(arguments, true), {arguments.log_level, arguments.log_format});
  Daemon daemon(app);
  return loop.run(serve(daemon, app), [&](int) { daemon.stop(); });
}

int run_pipelines_command(const Arguments& arguments) {
  Loop loop;
  const auto configuration = load_or_fail(arguments, false);
  for (const auto& name : arguments.pipelines) {
    const auto& pipeline = pipeline_or_fail(*configuration, name);
    if (!arguments.stream.empty()) stream_or_fail(pipeline, arguments.stream);
  }
  App app(loop, configuration, foreground_log(arguments));
  return loop.run(run_all(app, arguments));
}

int backfill_command(const Arguments& arguments) {
  lane_name(arguments);  // throws where it is none
  Loop loop;
  if (!arguments.server.empty()) {
    if (arguments.dry_run) throw Failure(exit_code::usage, "--dry-run is worked out here: leave --server out");
    RealClock clock(loop.executor());
    Remote remote(loop.executor(), clock, arguments, nullptr);
    return loop.run(backfill_there(remote, arguments));
  }
  const auto configuration = load_or_fail(arguments, false);
  const auto& pipeline = pipeline_or_fail(*configuration, arguments.pipelines.at(0));
  backfill_streams(pipeline, arguments.stream);
  App app(loop, configuration, foreground_log(arguments));
  return loop.run(backfill_anywhere(app, pipeline, arguments));
}

}  // namespace sluice
