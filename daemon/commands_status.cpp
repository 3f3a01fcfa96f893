#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "daemon/commands.hpp"
#include "daemon/lock.hpp"
#include "daemon/phrases.hpp"
#include "daemon/remote.hpp"
#include "daemon/status_json.hpp"

// Commands that ask the daemon, and where none answers read the state: status, runs, logs; and those that tell it
// something.

namespace sluice {
namespace {

// Where status and runs come from.
class Observer {
 public:
  Observer(asio::any_io_executor executor, const Arguments& arguments) : clock_(executor), arguments_(arguments) {
    if (arguments.server.empty()) configuration_ = load_or_fail(arguments, false);
    remote_.emplace(executor, clock_, arguments, configuration_.get());
    if (!configuration_) return;
    for (const auto& name : arguments.pipelines) pipeline_or_fail(*configuration_, name);
    const auto path = state_path(*configuration_);
    // Of a folder that this user may not look into the daemon can tell; where none answers, reading it says why.
    std::error_code hidden;
    if (std::filesystem::exists(path, hidden) || hidden)
      state_.emplace(path, executor, clock_, sqlite::Access::read_only);
  }

  task<Json> pipelines() {
    if (co_await there()) {
      auto all = co_await remote_->client().get("/api/v1/pipelines");
      co_return chosen(std::move(all));
    }
    auto all = Json::array();
    for (const auto& pipeline : configuration_->pipelines) {
      PipelineState state;
      std::vector<RunRecord> runs;
      if (state_) state = co_await state_->pipeline(pipeline.name);
      if (state_) runs = co_await recorded(pipeline.name, 20);
      auto json = pipeline_json(pipeline, status_from_state(pipeline, state, runs));
      auto& backfills = json["backfills"] = Json::array();
      for (const auto& run : runs)
        if (run.trigger == "backfill" && !run.outcome) backfills.push_back(run.id);
      all.push_back(std::move(json));
    }
    co_return chosen(std::move(all));
  }

  task<Json> runs() {
    const std::string pipeline = arguments_.pipelines.empty() ? "" : arguments_.pipelines[0];
    if (co_await there())
      co_return co_await remote_->client().get(
          fmt::format("/api/v1/runs?limit={}&pipeline={}", arguments_.limit, url_encode(pipeline)));
    auto all = Json::array();
    if (!state_) co_return all;
    const auto records = co_await recorded(pipeline, arguments_.limit);
    for (const auto& run : records) all.push_back(run_json(run));
    co_return all;
  }

  task<Json> logs() {
    if (co_await there())
      co_return co_await remote_->client().get(fmt::format("/api/v1/runs/{}/logs", url_encode(arguments_.run)));
    if (!state_) throw Refusal(404, fmt::format("there is no run {}: nothing has run yet", arguments_.run));
    auto run = co_await run_named(*state_, arguments_.run);
    note_interrupted(run);
    const auto lines = co_await state_->log(run.id);
    co_return logs_json(run, lines);
  }

  Instant now() const { return clock_.now(); }

  task<bool> there() {
    if (!asked_) answers_ = co_await remote_->answers();
    asked_ = true;
    co_return answers_;
  }

 private:
  task<std::vector<RunRecord>> recorded(std::string pipeline, std::size_t limit) {
    auto runs = co_await state_->runs(pipeline, limit);
    for (auto& run : runs) note_interrupted(run);
    co_return runs;
  }

  // A run without an end, whose process is gone, was interrupted. The next process that runs the pipeline writes that
  // down.
  void note_interrupted(RunRecord& run) const {
    const auto locks = lock_folder(state_path(*configuration_));
    if (run.ended) return;
    const bool held =
        run.trigger == "backfill" ? any_backfill_is_held(locks, run.pipeline) : lock_is_held(locks, run.pipeline);
    if (held) return;
    run.outcome = Outcome::failed;
    run.message = "interrupted: the process ended";
  }

  Json chosen(Json all) const {
    if (arguments_.pipelines.empty()) return all;
    auto some = Json::array();
    for (auto& pipeline : all)
      if (pipeline["name"] == arguments_.pipelines[0]) some.push_back(std::move(pipeline));
    return some;
  }

  RealClock clock_;
  const Arguments& arguments_;
  std::shared_ptr<const Configuration> configuration_;
  std::optional<Remote> remote_;
  std::optional<SqliteStateStore> state_;
  bool asked_ = false, answers_ = false;
};

std::string text(const Json& json, const char* name) {
  const auto at = json.find(name);
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// `outcome`, unless the run has no `ended`: then its process went away without a word.
std::string outcome_word(const Json& json, const char* outcome, const char* ended) {
  const auto word = text(json, outcome);
  return word.empty() || !text(json, ended).empty() ? word : "interrupted";
}

// "14:05Z", with its day where that is not today.
std::string time_of_day(Instant when, Instant now) {
  const auto text = cctz::format("%Y-%m-%dT%H:%MZ", std::chrono::floor<std::chrono::seconds>(when), utc());
  return day_of(when, utc()) == day_of(now, utc()) ? text.substr(text.find('T') + 1) : text;
}

// "running 12m04s, 1 backfill", "paused", "retry at 14:05Z"
std::string state_of(const Json& pipeline, Instant now) {
  std::vector<std::string> words;
  if (!pipeline.value("enabled", true)) words.emplace_back("disabled");
  if (pipeline["running"].is_string()) {
    const auto since = parse_instant(text(pipeline, "running_since"));
    words.push_back("running" + (since ? " " + short_duration(std::max(now - *since, Duration::zero())) : ""));
  } else if (pipeline.value("held_elsewhere", false)) {
    words.emplace_back("held elsewhere");
  } else if (pipeline.value("waiting", false)) {
    words.emplace_back("waiting");
  }
  if (pipeline.value("paused", false)) words.emplace_back("paused");
  if (const auto retry = parse_instant(text(pipeline, "next_retry")))
    words.push_back("retry at " + time_of_day(*retry, now));
  if (const auto at = pipeline.find("backfills"); at != pipeline.end() && !at->empty())
    words.push_back(at->size() == 1 ? "1 backfill" : fmt::format("{} backfills", at->size()));
  return words.empty() ? "idle" : fmt::format("{}", fmt::join(words, ", "));
}

std::string status_table(const Json& pipelines, Instant now) {
  TablePrinter table({"PIPELINE", "STATE", "LAST RUN", "ENDED", "FAILURES", "NEXT FIRE", "SCHEDULE", "MESSAGE"});
  for (const auto& p : pipelines)
    table.add({text(p, "name"), state_of(p, now), outcome_word(p, "last_outcome", "last_ended"), text(p, "last_ended"),
               std::to_string(p.value("consecutive_failures", 0)), text(p, "next_fire"), text(p, "schedule"),
               text(p, "last_message")});
  return table.print(Terminal::of(STDOUT_FILENO));
}

std::string duration_of(const Json& run) {
  const auto started = parse_instant(text(run, "started")), ended = parse_instant(text(run, "ended"));
  return started && ended ? short_duration(*ended - *started) : "";
}

std::string to_the_second(const std::string& instant) {
  const auto when = parse_instant(instant);
  return when ? format_instant(std::chrono::floor<std::chrono::seconds>(*when)) : instant;
}

std::string runs_table(const Json& runs) {
  TablePrinter table(
      {"RUN", "PIPELINE", "TRIGGER", "OUTCOME", "STARTED", "TOOK", "SLICES", "READ", "WRITTEN", "MESSAGE"});
  for (const auto& r : runs) {
    const auto& counts = r["counts"];
    const auto written = counts.value("inserted", std::int64_t{0}) + counts.value("updated", std::int64_t{0});
    const auto outcome = outcome_word(r, "outcome", "ended");
    table.add({text(r, "id"), text(r, "pipeline"), text(r, "trigger"), outcome.empty() ? "running" : outcome,
               to_the_second(text(r, "started")), duration_of(r), std::to_string(r.value("slices_published", 0)),
               grouped(counts.value("read", std::int64_t{0})), grouped(written), text(r, "message")});
  }
  return table.print(Terminal::of(STDOUT_FILENO));
}

task<int> show_status(Observer& observer, bool json) {
  const auto pipelines = co_await observer.pipelines();
  const bool there = co_await observer.there();
  if (json)
    print_out(pretty(pipelines));
  else
    print_out(status_table(pipelines, observer.now()));
  if (!json && !there) print_err("no daemon answers: this is what the state remembers\n");
  co_return exit_code::done;
}

task<int> show_runs(Observer& observer, bool json) {
  const auto runs = co_await observer.runs();
  print_out(json ? pretty(runs) : runs_table(runs));
  co_return exit_code::done;
}

std::string logs_text(const Json& logs, const Terminal& terminal) {
  std::string all;
  const auto dropped = logs.value("dropped", std::int64_t{0});
  bool first = true;
  for (const auto& line : logs["lines"]) {
    const auto level = text(line, "level");
    const auto colour = level == "error" ? Colour::red : level == "warning" ? Colour::yellow : Colour::none;
    all += fmt::format("{:<24} {} {}\n", text(line, "time"),
                       paint(fmt::format("{:<7}", level), colour, terminal.colour), text(line, "message"));
    if (std::exchange(first, false) && dropped > 0)
      all += fmt::format("… {} earlier lines were dropped; of a run the last {} are kept\n", grouped(dropped),
                         RunLog::most_lines);
  }
  return all;
}

task<int> show_logs(Observer& observer, bool json) {
  const auto logs = co_await observer.logs();
  print_out(json ? pretty(logs) : logs_text(logs, Terminal::of(STDOUT_FILENO)));
  co_return exit_code::done;
}

std::string_view action_of(Command command) {
  switch (command) {
    case Command::trigger:
      return "trigger";
    case Command::pause:
      return "pause";
    case Command::resume:
      return "resume";
    default:
      return "cancel";
  }
}

task<int> tell(Remote& remote, const Arguments& arguments) {
  const auto& pipeline = arguments.pipelines.at(0);
  if (!co_await remote.answers())
    throw Failure(exit_code::temporary,
                  fmt::format("no daemon of this configuration answers at {}; is `sluice serve` running?",
                              remote.client().url()));
  const auto path = fmt::format("/api/v1/pipelines/{}/{}", url_encode(pipeline), action_of(arguments.command));
  const auto body = arguments.run.empty() ? "" : Json{{"run", arguments.run}}.dump();
  const auto answer = co_await remote.client().post(path, body);
  print_out(arguments.json ? pretty(answer) : answer.value("message", "") + "\n");
  co_return exit_code::done;
}

}  // namespace

int status_command(const Arguments& arguments) {
  Loop loop;
  Observer observer(loop.executor(), arguments);
  return loop.run(show_status(observer, arguments.json));
}

int runs_command(const Arguments& arguments) {
  Loop loop;
  Observer observer(loop.executor(), arguments);
  return loop.run(show_runs(observer, arguments.json));
}

int logs_command(const Arguments& arguments) {
  Loop loop;
  Observer observer(loop.executor(), arguments);
  return loop.run(show_logs(observer, arguments.json));
}

int tell_command(const Arguments& arguments) {
  Loop loop;
  std::shared_ptr<const Configuration> configuration;
  if (arguments.server.empty()) configuration = load_or_fail(arguments, false);
  RealClock clock(loop.executor());
  Remote remote(loop.executor(), clock, arguments, configuration.get());
  return loop.run(tell(remote, arguments));
}

}  // namespace sluice
