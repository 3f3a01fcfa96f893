#include <unistd.h>

#include <nlohmann/json.hpp>

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
  auto at = now;
  auto offset = pipeline.schedule.zone.lookup(std::chrono::floor<std::chrono::seconds>(now)).offset;
  for (int i = 0; i < fires_shown; ++i) {
    const auto next = pipeline.schedule.next(at);
    if (!next) break;
    const auto then = pipeline.schedule.zone.lookup(std::chrono::floor<std::chrono::seconds>(*next)).offset;
    Json fire{{"utc", format_instant(*next + pipeline.schedule.offset(pipeline.name))},
              {"local", local(*next, pipeline.schedule.zone)}};
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
};

task<StreamSlices> slices_of(App& app, const Pipeline& pipeline, const StreamPlan& stream) {
  auto& connector = app.engine.connector(pipeline.source);
  auto& sink = app.engine.sink(pipeline.sink);
  StreamSlices found;
  const auto partitions = co_await connector.partitions(stream.spec);
  for (const auto& partition : partitions) {
    if (!partition.active) continue;
    ++found.partitions;
    const LaneId lane(pipeline.name, stream.name, partition.id, "live");
    const auto progress = co_await sink.progress(lane);
    Target target(app.clock.now());
    target.earliest = connector.earliest(stream.spec, partition);
    if (stream.spec.cursor == Cursor::value)
      target.horizon = co_await connector.horizon(stream.spec, partition, target.end());
    const auto slices = plan_slices(stream, partition, progress, target);
    found.slices += slices.size();
    if (slices.empty()) continue;
    if (found.first.empty() || slices.front().slice.window() < found.first) found.first = slices.front().slice.window();
    found.last = std::max(found.last, slices.back().slice.window());
  }
  co_return found;
}

task<Json> plan_stream(App& app, const Pipeline& pipeline, const StreamPlan& stream) {
  Json json{{"name", stream.name}, {"table", stream.table.name}};
  const auto slices = co_await slices_of(app, pipeline, stream);
  json["partitions"] = slices.partitions;
  json["slices"] = slices.slices;
  json["first"] = slices.first;
  json["last"] = slices.last;
  const auto requests =
      app.engine.connector(pipeline.source).estimated_requests(stream.spec, static_cast<std::int64_t>(slices.slices));
  json["estimated_requests"] = requests ? Json(*requests) : Json(nullptr);
  const auto ddl = co_await app.engine.sink(pipeline.sink).plan(stream.table);
  json["ddl"] = ddl;
  co_return json;
}

task<Json> plan_pipeline(App& app, const Pipeline& pipeline) {
  Json json{{"name", pipeline.name}, {"enabled", pipeline.enabled}, {"schedule", schedule_text(pipeline.schedule)}};
  json["next_fires"] = next_fires(pipeline, app.clock.now());
  auto& streams = json["streams"] = Json::array();
  for (const auto& stream : pipeline.streams) {
    if (!stream.enabled) continue;
    Json planned;
    try {
      planned = co_await plan_stream(app, pipeline, stream);
    } catch (const Error& e) {
      planned = Json{{"name", stream.name}, {"error", e.what()}};
    }
    streams.push_back(std::move(planned));
  }
  co_return json;
}

void print_pipeline(const Json& pipeline) {
  const auto terminal = Terminal::of(STDOUT_FILENO);
  print_out(fmt::format("{}  {}\n", paint(pipeline["name"].get<std::string>(), Colour::bold, terminal.colour),
                        pipeline["schedule"].get<std::string>()));
  for (const auto& fire : pipeline["next_fires"])
    print_out(fmt::format("  fires {}  ({}){}\n", fire["utc"].get<std::string>(), fire["local"].get<std::string>(),
                          fire.contains("note") ? "  " + fire["note"].get<std::string>() : ""));
  TablePrinter table({"STREAM", "TABLE", "PARTITIONS", "SLICES", "FROM", "TO", "REQUESTS"});
  std::string ddl;
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
  }
  print_out(table.print(terminal));
  if (!ddl.empty()) print_out("\n" + ddl);
  print_out("\n");
}

task<int> plan(App& app, const Arguments& arguments) {
  auto all = Json::array();
  bool failed = false;
  for (const auto& pipeline : app.configuration->pipelines) {
    if (!arguments.pipelines.empty() && pipeline.name != arguments.pipelines[0]) continue;
    auto json = co_await plan_pipeline(app, pipeline);
    for (const auto& stream : json["streams"]) failed = failed || stream.contains("error");
    if (!arguments.json) print_pipeline(json);
    all.push_back(std::move(json));
  }
  co_await app.engine.close();
  if (arguments.json) print_out(all.dump(2) + "\n");
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
