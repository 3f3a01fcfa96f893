#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "daemon/backfill.hpp"
#include "daemon/commands.hpp"
#include "daemon/control.hpp"
#include "daemon/phrases.hpp"
#include "daemon/status_json.hpp"
#include "scheduler/plan.hpp"

// `sluice plan`: what would happen, without touching anything.

namespace sluice {
namespace {

constexpr int fires_shown = 3;

std::string local(Instant when, const Zone& zone) {
  return cctz::format("%Y-%m-%d %H:%M:%S %Ez", std::chrono::floor<std::chrono::seconds>(when), zone);
}

// The next fires; where the zone's clock changes between two of them, it is said.
Json next_fires(const Pipeline& pipeline, Instant now) {
  auto fires = Json::array();
  if (!pipeline.enabled) return fires;
  auto at = now;
  auto offset = pipeline.schedule.zone.lookup(std::chrono::floor<std::chrono::seconds>(now)).offset;
  for (int i = 0; i < fires_shown; ++i) {
    const auto next = pipeline.schedule.next(at);
    if (!next) break;
    const auto then = pipeline.schedule.zone.lookup(std::chrono::floor<std::chrono::seconds>(*next)).offset;
    const auto fires_at = *next + pipeline.schedule.offset(pipeline.name);
    Json fire{{"utc", format_instant(std::chrono::floor<std::chrono::seconds>(fires_at))},
              {"local", local(fires_at, pipeline.schedule.zone)}};
    if (std::exchange(offset, then) != then)
      fire["note"] = "the clocks of " + pipeline.schedule.zone_name + " have changed since the fire before";
    fires.push_back(std::move(fire));
    at = *next;
  }
  return fires;
}

struct StreamSlices {
  std::size_t partitions = 0, slices = 0;
  std::string first, last;
  std::optional<DayWindow> unloaded;  // days that runs will not bring by themselves
  std::string shortfall;
};

// What the next run leaves out of a partition that was loaded before.
task<std::optional<DayWindow>> unloaded(Sink& sink, const StreamPlan& stream, const Partition& partition,
                                        const Target& target, Day next_run, bool new_columns) {
  Unloaded what;
  what.next_run = next_run;
  what.new_columns = new_columns;
  what.start = stream.start;
  if (what.start && target.earliest) what.start = std::max(*what.start, *target.earliest);
  if (what.start || new_columns) what.loaded = co_await sink.loaded_days(stream.table.name, partition.id);
  co_return needs_backfill(what);
}

task<StreamSlices> slices_of(App& app, const Pipeline& pipeline, const StreamPlan& stream, bool new_columns) {
  auto& connector = app.engine.connector(pipeline.source);
  auto& sink = app.engine.sink(pipeline.sink);
  StreamSlices found;
  const auto partitions = co_await connector.partitions(stream.spec);
  for (const auto& partition : partitions) {
    if (!partition.active) continue;
    ++found.partitions;
    const LaneId lane(pipeline.name, stream.name, partition.id, "live");
    const auto progress = co_await sink.progress(lane, stream.table.name, "");
    Target target(app.clock.now());
    target.earliest = connector.earliest(stream.spec, partition);
    if (stream.spec.cursor == Cursor::value)
      target.horizon = co_await connector.horizon(stream.spec, partition, target.end());
    const auto slices = plan_slices(stream, partition, progress, target);
    if (found.shortfall.empty()) found.shortfall = shortfall(stream, partition, progress, target);
    found.slices += slices.size();
    if (slices.empty()) continue;
    if (found.first.empty() || slices.front().slice.window() < found.first) found.first = slices.front().slice.window();
    found.last = std::max(found.last, slices.back().slice.window());
    const auto* first = slices.front().slice.day_window();
    if (!first || !progress.done_to) continue;
    const auto left_out = co_await unloaded(sink, stream, partition, target, first->from, new_columns);
    if (!left_out) continue;
    auto& all = found.unloaded;
    all = all ? DayWindow{std::min(all->from, left_out->from), std::max(all->to, left_out->to)} : *left_out;
  }
  co_return found;
}

// Columns that the table, which is there, is about to get.
task<std::vector<std::string>> new_columns(Sink& sink, const Table& table) {
  const auto known = co_await sink.columns_of(table.name);
  std::vector<std::string> fresh;
  for (const auto& column : table.columns)
    if (!known.empty() && std::find(known.begin(), known.end(), column.name) == known.end())
      fresh.push_back(column.name);
  co_return fresh;
}

// What a person has to start, and why; nothing: runs bring everything.
task<Json> advice(App& app, const Pipeline& pipeline, const StreamPlan& stream, const StreamSlices& slices,
                  const std::vector<std::string>& fresh) {
  const auto columns = fmt::format("new columns ({}) are filled from the next run on", fmt::join(fresh, ", "));
  if (stream.spec.cursor == Cursor::value && !fresh.empty())
    co_return Json{{"why", columns + ", in rows that change"},
                   {"command", fmt::format("sluice run {} --stream {} --full-refresh", pipeline.name, stream.name)}};
  if (!slices.unloaded) co_return nullptr;
  const auto& days = *slices.unloaded;
  std::vector<std::string> taken;
  const auto lanes = co_await app.engine.sink(pipeline.sink).lanes(pipeline.name);
  for (const auto& [lane, progress] : lanes)
    if (lane.stream == stream.name && !fresh.empty()) taken.push_back(lane.lane);
  const auto why = fresh.empty()
                       ? fmt::format(
                             "window.start is {}, and of the days since then some were never loaded: no run does "
                             "it by itself",
                             format_day(*stream.start))
                       : columns + ", and no run fills the days before";
  co_return Json{{"why", why}, {"command", backfill_command(pipeline.name, stream.name, days, taken)}};
}

task<Json> plan_stream(App& app, const Pipeline& pipeline, StreamPlan stream) {
  const auto types = co_await app.engine.connector(pipeline.source).types(stream.spec);
  stream.learn(types);
  Json json{{"name", stream.name}, {"table", stream.table.name}};
  const auto fresh = co_await new_columns(app.engine.sink(pipeline.sink), stream.table);
  const auto slices = co_await slices_of(app, pipeline, stream, !fresh.empty());
  json["partitions"] = slices.partitions;
  json["slices"] = slices.slices;
  json["first"] = slices.first;
  json["last"] = slices.last;
  const auto requests =
      app.engine.connector(pipeline.source).estimated_requests(stream.spec, static_cast<std::int64_t>(slices.slices));
  json["estimated_requests"] = requests ? Json(*requests) : Json(nullptr);
  json["ddl"] = co_await app.engine.sink(pipeline.sink).plan(stream.table);
  json["warnings"] = Json::array();
  const auto loaders = co_await app.engine.sink(pipeline.sink).loaders(stream.table.name);
  for (const auto& warning : {renamed(pipeline.name, stream.table.name, loaders), slices.shortfall})
    if (!warning.empty()) json["warnings"].push_back(warning);
  json["by_hand"] = co_await advice(app, pipeline, stream, slices, fresh);
  co_return json;
}

// Statements that streams need in common, such as those of the bookkeeping, are made by the first of them.
using Statements = std::set<std::string>;

void leave_out(Json& ddl, Statements& made) {
  auto fresh = Json::array();
  for (const auto& statement : ddl)
    if (made.insert(statement.get<std::string>()).second) fresh.push_back(statement);
  ddl = std::move(fresh);
}

task<Json> plan_pipeline(App& app, const Pipeline& pipeline, Statements& made) {
  Json json{{"name", pipeline.name}, {"enabled", pipeline.enabled}, {"schedule", schedule_text(pipeline.schedule)}};
  json["next_fires"] = next_fires(pipeline, app.clock.now());
  auto& streams = json["streams"] = Json::array();
  for (const auto& stream : pipeline.streams) {
    if (!stream.enabled) continue;
    Json planned;
    try {
      planned = co_await plan_stream(app, pipeline, stream);
      leave_out(planned["ddl"], made);
    } catch (const Error& e) {
      planned = Json{{"name", stream.name}, {"error", e.what()}};
    }
    streams.push_back(std::move(planned));
  }
  co_return json;
}

void print_pipeline(const Json& pipeline) {
  const auto terminal = Terminal::of(STDOUT_FILENO);
  print_out(fmt::format("{}  {}{}\n", paint(pipeline["name"].get<std::string>(), Colour::bold, terminal.colour),
                        pipeline["schedule"].get<std::string>(),
                        pipeline["enabled"].get<bool>() ? "" : "; disabled: never fires"));
  for (const auto& fire : pipeline["next_fires"])
    print_out(fmt::format("  fires {}  ({}){}\n", fire["utc"].get<std::string>(), fire["local"].get<std::string>(),
                          fire.contains("note") ? "  " + fire["note"].get<std::string>() : ""));
  TablePrinter table({"STREAM", "TABLE", "PARTITIONS", "SLICES", "FROM", "TO", "REQUESTS"});
  std::string ddl, by_hand, warnings;
  for (const auto& stream : pipeline["streams"]) {
    if (stream.contains("error")) {
      ddl += fmt::format("{}: {}\n", stream["name"].get<std::string>(), stream["error"].get<std::string>());
      continue;
    }
    table.add(
        {stream["name"], stream["table"], std::to_string(stream["partitions"].get<std::int64_t>()),
         std::to_string(stream["slices"].get<std::int64_t>()), stream["first"], stream["last"],
         stream["estimated_requests"].is_null() ? "" : grouped(stream["estimated_requests"].get<std::int64_t>())});
    for (const auto& statement : stream["ddl"]) ddl += statement.get<std::string>() + ";\n";
    for (const auto& warning : stream["warnings"])
      warnings += fmt::format("{}: warning: {}\n", stream["name"].get<std::string>(), warning.get<std::string>());
    if (const auto& hint = stream["by_hand"]; !hint.is_null())
      by_hand += fmt::format("{}: {}:\n  {}\n", stream["name"].get<std::string>(), hint["why"].get<std::string>(),
                             hint["command"].get<std::string>());
  }
  print_out(table.print(terminal));
  if (!ddl.empty()) print_out("\n" + ddl);
  if (!by_hand.empty()) print_out("\n" + by_hand);
  if (!warnings.empty()) print_out("\n" + warnings);
  print_out("\n");
}

task<int> plan(App& app, const Arguments& arguments) {
  auto all = Json::array();
  bool failed = false;
  std::map<std::string, Statements> made;  // sink → what its other streams make
  for (const auto& pipeline : app.configuration->pipelines) {
    if (!arguments.pipelines.empty() && pipeline.name != arguments.pipelines[0]) continue;
    auto json = co_await plan_pipeline(app, pipeline, made[pipeline.sink]);
    for (const auto& stream : json["streams"]) failed = failed || stream.contains("error");
    if (!arguments.json) print_pipeline(json);
    all.push_back(std::move(json));
  }
  co_await app.engine.close();
  if (arguments.json) print_out(pretty(all));
  co_return failed ? exit_code::failed : exit_code::done;
}

}  // namespace

int plan_command(const Arguments& arguments) {
  Loop loop;
  const auto configuration = load_or_fail(arguments, true);
  if (!arguments.pipelines.empty()) pipeline_or_fail(*configuration, arguments.pipelines[0]);
  App app(loop, configuration, {std::max(arguments.log_level, Level::warning), arguments.log_format});
  return loop.run(plan(app, arguments));
}

}  // namespace sluice
