#include <unistd.h>

#include <nlohmann/json.hpp>

#include "daemon/commands.hpp"
#include "daemon/lock.hpp"
#include "daemon/phrases.hpp"
#include "daemon/remote.hpp"
#include "daemon/status_json.hpp"

// quarantine list, show, replay, drop.

namespace sluice {
namespace {

std::string name_of(const Arguments& arguments) {
  return arguments.pipelines.at(0) + "/" + arguments.stream;
}

Json json_of(const QuarantinedRow& row) {
  return Json{{"id", row.id},
              {"slice", row.slice},
              {"key", row.key},
              {"reason", row.reason},
              {"rule", row.rule},
              {"run", row.run},
              {"first_seen", row.first_seen},
              {"last_seen", row.last_seen},
              {"raw", row.raw}};
}

std::string whole_text(const QuarantinedRow& row) {
  return fmt::format("{}  slice {}, key {}, run {}\nfirst seen {}, last seen {}\n{}: {}\n{}\n\n", row.id, row.slice,
                     printable(row.key, 200), row.run, row.first_seen, row.last_seen, row.rule,
                     printable(row.reason, 1000), printable(row.raw, 100'000));
}

task<int> look(App& app, const Pipeline& pipeline, const Arguments& arguments) {
  auto& sink = app.engine.sink(pipeline.sink);
  const auto rows = co_await sink.quarantined(pipeline.name, arguments.stream, arguments.quarantined, arguments.limit);
  const auto total = co_await sink.count_quarantined(pipeline.name, arguments.stream);
  co_await app.engine.close();
  if (!arguments.quarantined.id.empty() && rows.empty())
    throw Failure(exit_code::failed,
                  fmt::format("{} has no row {} in the quarantine", name_of(arguments), arguments.quarantined.id));
  auto all = Json::array();
  TablePrinter table({"ID", "SLICE", "KEY", "RULE", "LAST SEEN", "REASON"});
  std::string text;
  for (const auto& row : rows) {
    all.push_back(json_of(row));
    table.add({row.id, row.slice, printable(row.key, 60), row.rule, row.last_seen, printable(row.reason, 200)});
    text += whole_text(row);
  }
  if (arguments.json)
    print_out(pretty(all));
  else if (arguments.command == Command::quarantine_show)
    print_out(text);
  else
    print_out(table.print(Terminal::of(STDOUT_FILENO)));
  if (!arguments.json && arguments.quarantined.id.empty())
    print_out(fmt::format("{} of {} rows\n", rows.size(), grouped(total)));
  co_return exit_code::done;
}

// Keeps runs of the pipeline away while rows are replayed. A daemon has its pipelines' locks as long as it lives:
// beside one that does not run the pipeline just now the replay goes on, and the sink keeps it apart from a run that
// begins.
task<std::optional<PipelineLock>> keep_runs_away(App& app, const Pipeline& pipeline, const Arguments& arguments) {
  const auto& name = pipeline.name;
  std::string holder;
  auto lock = try_lock_pipeline(lock_folder(state_path(*app.configuration)), name, "sluice quarantine replay", holder);
  if (lock) co_return lock;
  if (!held_by_daemon(holder))
    throw Failure(exit_code::temporary, fmt::format("{} is held by {}; wait for its end", name, holder));
  Remote remote(app.executor, app.clock, arguments, app.configuration.get());
  const bool answers = co_await remote.answers();
  if (!answers)
    throw Failure(
        exit_code::temporary,
        fmt::format("{} is held by {}, which does not say whether it runs it; stop it, or name it by --server", name,
                    holder));
  const auto status = co_await remote.client().get("/api/v1/pipelines/" + url_encode(name));
  const auto running = status.value("running", Json());
  if (running.is_string())
    throw Failure(
        exit_code::temporary,
        fmt::format("{0} is running (run {1}); wait for its end (`sluice status {0}`), or `sluice cancel {0}`", name,
                    running.get<std::string>()));
  co_return lock;
}

Json json_of(const ReplayResult& result) {
  Json json{
      {"loaded", result.loaded}, {"skipped", result.skipped}, {"refused", result.refused}, {"waiting", result.waiting}};
  auto& failures = json["failures"] = Json::array();
  for (const auto& failure : result.failures) failures.push_back(failure.message);
  return json;
}

std::string text_of(const ReplayResult& result, const Arguments& arguments) {
  const auto name = name_of(arguments);
  auto text = arguments.dry_run ? fmt::format("{} fit now, {} still do not; nothing was touched\n",
                                              grouped(result.loaded), grouped(result.refused))
                                : fmt::format("loaded {}, skipped {} (loaded since), still refused {}\n",
                                              grouped(result.loaded), grouped(result.skipped), grouped(result.refused));
  if (result.refused > 0 && !arguments.dry_run)
    text += fmt::format("`sluice quarantine list {}` says why rows are refused\n", name);
  if (result.waiting > 0)
    text += fmt::format(
        "{0} answers that could not be read stay until their slices are loaded, which the next run does by itself once "
        "their reasons are mended (`sluice run {1} --stream {2}`); a day before its lookback: `sluice backfill {1} "
        "--stream {2} --from DAY --to DAY`\n",
        grouped(result.waiting), arguments.pipelines.at(0), arguments.stream);
  return text;
}

task<int> replay(App& app, const Pipeline& pipeline, const StreamPlan& stream, const Arguments& arguments) {
  ReplayOptions options;
  options.filter = arguments.quarantined;
  options.dry_run = arguments.dry_run;
  std::optional<PipelineLock> lock;
  if (!options.dry_run) lock = co_await keep_runs_away(app, pipeline, arguments);
  const auto result = co_await app.engine.replay(pipeline, stream, options);
  co_await app.engine.close();
  print_out(arguments.json ? pretty(json_of(result)) : text_of(result, arguments));
  bool passing = true;
  for (const auto& failure : result.failures) {
    passing = passing && failure.passing;
    print_err(fmt::format("sluice: {}\n", without_credentials(failure.message)));
  }
  if (result.failures.empty()) co_return exit_code::done;
  co_return passing ? exit_code::temporary : exit_code::failed;
}

task<int> drop(App& app, const Pipeline& pipeline, const Arguments& arguments) {
  auto& sink = app.engine.sink(pipeline.sink);
  const auto dropped = co_await sink.drop_quarantined(pipeline.name, arguments.stream, arguments.quarantined);
  co_await app.engine.close();
  print_out(arguments.json ? pretty(Json{{"dropped", dropped}})
                           : fmt::format("dropped {} rows of the quarantine\n", grouped(dropped)));
  co_return exit_code::done;
}

bool narrows(const QuarantineFilter& filter) {
  return !filter.id.empty() || !filter.slice.empty() || !filter.rule.empty() || !filter.run.empty() || filter.since;
}

}  // namespace

int quarantine_command(const Arguments& arguments) {
  Loop loop;
  if (arguments.command == Command::quarantine_drop && !arguments.all && !narrows(arguments.quarantined))
    throw Failure(exit_code::usage, fmt::format("say which rows of {} to forget, or --all", name_of(arguments)));
  const auto configuration = load_or_fail(arguments, false);
  const auto& pipeline = pipeline_or_fail(*configuration, arguments.pipelines.at(0));
  const auto& stream = stream_or_fail(pipeline, arguments.stream);
  App app(loop, configuration, quiet_log(arguments));
  if (arguments.command == Command::quarantine_replay) return loop.run(replay(app, pipeline, stream, arguments));
  if (arguments.command == Command::quarantine_drop) return loop.run(drop(app, pipeline, arguments));
  return loop.run(look(app, pipeline, arguments));
}

}  // namespace sluice
