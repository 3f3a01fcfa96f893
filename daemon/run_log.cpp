#include "daemon/run_log.hpp"

#include <nlohmann/json.hpp>

#include "daemon/log.hpp"
#include "daemon/phrases.hpp"
#include "daemon/status_json.hpp"

namespace sluice {
namespace {

Level level_of(Outcome outcome) {
  if (outcome == Outcome::failed) return Level::error;
  return outcome == Outcome::partial ? Level::warning : Level::info;
}

RunEnded end_of(const RunRecord& run) {
  RunEnded ended;
  ended.run = run.id;
  ended.outcome = *run.outcome;
  ended.message = run.message;
  ended.took = run.ended.value_or(run.started) - run.started;
  ended.counts = run.counts;
  ended.slices_published = run.slices_published;
  ended.slices_failed = run.slices_failed;
  return ended;
}

Json line_json(const std::optional<Instant>& time, Level level, const std::string& message) {
  Json json{{"time", nullptr}, {"level", to_string(level)}, {"message", message}};
  if (time) json["time"] = format_instant(std::chrono::floor<std::chrono::milliseconds>(*time));
  return json;
}

}  // namespace

RunLog::RunLog(EventHub& hub, Clock& clock, const Log& log, SqliteStateStore& state, Ends ends)
    : clock_(clock),
      log_(log),
      state_(state),
      ends_(std::move(ends)),
      listener_(hub.listen([this](const Event& event) { note(event); })) {}

void RunLog::note(const Event& event) {
  if (const auto* started = std::get_if<RunStarted>(&event)) {
    auto& run = runs_[started->run];
    run.pipeline = started->pipeline;
    std::tie(run.source, run.sink) = ends_(started->pipeline);
  }
  if (const auto* ended = std::get_if<RunEnded>(&event))
    if (const auto run = runs_.find(ended->run); run != runs_.end()) {
      run->second.ended = true;
      if (run->second.unsaved.empty()) runs_.erase(run);
    }
  for (auto& [id, run] : runs_) {
    if (run.ended || !concerns(id, run, event)) continue;
    if (const auto* sink = std::get_if<SinkState>(&event); sink && std::exchange(run.sink_down, !sink->up) != sink->up)
      continue;
    const auto line = describe(event);
    if (line && line->level >= Level::info) say(run, *line);
  }
}

bool RunLog::concerns(const std::string& id, const Run& run, const Event& event) const {
  if (const auto* e = std::get_if<SliceEnded>(&event)) return e->run == id;
  if (const auto* e = std::get_if<SchemaChanged>(&event)) return e->pipeline == run.pipeline;
  if (const auto* e = std::get_if<Notice>(&event))
    return e->pipeline == run.pipeline || (!e->source.empty() && e->source == run.source) ||
           (!e->sink.empty() && e->sink == run.sink);
  if (const auto* e = std::get_if<RequestRetried>(&event)) return e->source == run.source;
  if (const auto* e = std::get_if<Throttled>(&event)) return e->source == run.source;
  if (const auto* e = std::get_if<VersionWarning>(&event)) return e->source == run.source;
  if (const auto* e = std::get_if<TransactionDone>(&event)) return e->sink == run.sink;
  if (const auto* e = std::get_if<SinkState>(&event)) return e->sink == run.sink;
  return false;
}

std::string RunLog::text_of(const LogLine& line) const {
  auto text = printable(log_.scrub(line.message), longest_message);
  for (const auto& [name, value] : line.fields)
    if (name != "pipeline" && name != "run")
      text += fmt::format(" {}={}", name, printable(log_.scrub(value), longest_field));
  return text;
}

void RunLog::say(Run& run, const LogLine& line) {
  const auto now = clock_.now();
  RunLine said{run.next, now, line.level, text_of(line)};
  if (line.fold.empty()) return append(run, std::move(said));
  auto& fold = run.folds[line.fold];
  const auto first = run.lines.empty() ? run.next : run.lines.front().number;
  if (fold.number < first || now - fold.since >= line.fold_for) {
    fold = Fold{run.next, 1, now};
    return append(run, std::move(said));
  }
  auto& known = run.lines[static_cast<std::size_t>(fold.number - first)];
  run.bytes -= known.message.size();
  known.message = fmt::format("{} ({} times until {})", said.message, ++fold.times,
                              format_instant(std::chrono::floor<std::chrono::seconds>(now)));
  run.bytes += known.message.size();
  run.unsaved.insert(known.number);
}

void RunLog::append(Run& run, RunLine line) {
  run.unsaved.insert(run.next++);
  run.bytes += line.message.size();
  run.lines.push_back(std::move(line));
  while (run.lines.size() > most_lines || run.bytes > most_bytes) {
    run.bytes -= run.lines.front().message.size();
    run.unsaved.erase(run.lines.front().number);
    run.lines.pop_front();
    const auto first = run.lines.front().number;
    std::erase_if(run.folds, [&](const auto& fold) { return fold.second.number < first; });
  }
}

task<void> RunLog::save() {
  std::erase_if(runs_, [](const auto& run) { return run.second.ended && run.second.unsaved.empty(); });
  std::vector<std::string> ids;
  for (const auto& [id, run] : runs_)
    if (!run.unsaved.empty()) ids.push_back(id);
  for (const auto& id : ids) {
    const auto found = runs_.find(id);
    if (found == runs_.end()) continue;
    const auto unsaved = std::exchange(found->second.unsaved, {});
    std::vector<RunLine> lines;
    for (const auto& line : found->second.lines)
      if (unsaved.contains(line.number)) lines.push_back(line);
    const auto first = found->second.lines.front().number;
    bool failed = false;
    try {
      co_await state_.write_log(id, std::move(lines), first);
    } catch (const Error&) {
      failed = true;
    }
    const auto now = runs_.find(id);
    if (failed && now != runs_.end())
      for (const auto& line : now->second.lines)
        if (unsaved.contains(line.number)) now->second.unsaved.insert(line.number);
    if (failed) co_return;
  }
}

task<void> RunLog::keep() {
  for (;;) {
    co_await clock_.sleep_for(std::chrono::seconds(1));
    co_await save();
  }
}

task<RunRecord> run_named(SqliteStateStore& state, std::string text) {
  auto exact = co_await state.run(text);
  if (exact) co_return std::move(*exact);
  auto last = co_await state.runs(text, 1);
  if (!last.empty()) co_return std::move(last[0]);
  auto some = co_await state.runs_beginning(text, 3);
  if (some.empty())
    throw Refusal(404,
                  fmt::format("there is no run {}, and no pipeline of that name has run; `sluice runs` lists them, as "
                              "far as `retention` reaches",
                              text));
  if (some.size() > 1)
    throw Refusal(422, fmt::format("{} is the beginning of several runs: {}, {}{}", text, some[0].id, some[1].id,
                                   some.size() > 2 ? ", …" : ""));
  co_return std::move(some[0]);
}

Json logs_json(const RunRecord& run, const std::vector<RunLine>& lines) {
  Json json{{"run", run_json(run)}, {"dropped", lines.empty() ? 0 : lines.front().number - 1}};
  auto& all = json["lines"] = Json::array();
  all.push_back(line_json(run.started, Level::info,
                          fmt::format("run of {} started: {}, attempt {}", run.pipeline, run.trigger, run.attempt)));
  for (const auto& line : lines) all.push_back(line_json(line.time, line.level, line.message));
  if (run.outcome) {
    const auto end = run.ended ? run_sentence(end_of(run)) : run.message;
    all.push_back(line_json(run.ended, level_of(*run.outcome), printable(without_credentials(end), longest_message)));
  }
  return json;
}

}  // namespace sluice
