#include "daemon/backfill.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/control.hpp"
#include "scheduler/pipeline.hpp"

namespace sluice {
namespace {

constexpr std::size_t longest_name = 63;

// The first and the last of the wanted days that no window covers.
std::optional<DayWindow> gaps(DayWindow wanted, std::vector<DayWindow> loaded) {
  std::sort(loaded.begin(), loaded.end(), [](const DayWindow& a, const DayWindow& b) { return a.from < b.from; });
  std::optional<DayWindow> hull;
  const auto missing = [&](Day from, Day to) {
    if (from < to) hull = DayWindow{hull ? hull->from : from, to};
  };
  Day reached = wanted.from;
  for (const auto& window : loaded) {
    missing(reached, std::min(window.from, wanted.to));
    reached = std::max(reached, window.to);
  }
  missing(reached, wanted.to);
  return hull;
}

}  // namespace

std::vector<std::string> backfill_streams(const Pipeline& pipeline, const std::string& asked) {
  std::vector<std::string> streams;
  bool found = false;
  for (const auto& stream : pipeline.streams) {
    if (asked.empty() ? !stream.enabled : stream.name != asked) continue;
    found = true;
    if (stream.spec.cursor == Cursor::date) streams.push_back(stream.name);
  }
  if (!asked.empty() && !found) throw Refusal(422, fmt::format("pipeline {} has no stream {}", pipeline.name, asked));
  if (!asked.empty() && streams.empty())
    throw Refusal(
        422, fmt::format(
                 "stream {0} has no date windows; `sluice run {1} --stream {0} --full-refresh` reads it from the start",
                 asked, pipeline.name));
  if (streams.empty()) throw Refusal(422, fmt::format("pipeline {} has no stream with date windows", pipeline.name));
  return streams;
}

std::string backfill_lane(const std::string& name, Day from, Day to) {
  if (name.empty()) return fmt::format("backfill-{}-{}", format_day(from), format_day(to));
  const auto good = [](unsigned char c) { return (c < 128 && std::isalnum(c)) || c == '-' || c == '_' || c == '.'; };
  if (name.size() > longest_name || !std::all_of(name.begin(), name.end(), good))
    throw Refusal(422, fmt::format("name: expected letters, digits, -, _ and ., {} at most", longest_name));
  if (name == "live" || name == "sweep")
    throw Refusal(422, fmt::format("name: {} is the progress of the pipeline's own runs, which a backfill must leave "
                                   "alone; choose another name",
                                   name));
  return name;
}

std::optional<DayWindow> needs_backfill(const Unloaded& what) {
  if (!what.new_columns) return what.start ? gaps({*what.start, what.next_run}, what.loaded) : std::nullopt;
  auto from = what.start.value_or(what.next_run);
  for (const auto& window : what.loaded)
    if (!what.start) from = std::min(from, window.from);
  if (from >= what.next_run) return {};
  return DayWindow{from, what.next_run};
}

std::string backfill_command(const std::string& pipeline, const std::string& stream, DayWindow days,
                             const std::vector<std::string>& taken) {
  const auto last = days.to - 1;
  auto command = fmt::format("sluice backfill {} --from {} --to {} --stream {}", pipeline, format_day(days.from),
                             format_day(last), stream);
  const auto lane = backfill_lane("", days.from, last);
  const auto is_taken = [&](const std::string& name) {
    return std::find(taken.begin(), taken.end(), name) != taken.end();
  };
  if (!is_taken(lane)) return command;
  int number = 2;
  while (is_taken(fmt::format("{}-{}", lane, number))) ++number;
  return command + fmt::format(" --name {}-{}", lane, number);
}

}  // namespace sluice
