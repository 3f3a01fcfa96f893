#include "scheduler/plan.hpp"

#include "core/error.hpp"

namespace sluice {
namespace {

constexpr int default_history_days = 28;

int whole_days(Duration d) {
  return static_cast<int>(d / std::chrono::hours(24));
}

Day progress_day(const std::string& done_to, const StreamPlan& stream, const Partition& partition) {
  if (const auto day = parse_day(done_to)) return *day;
  throw Error(
      Remedy::give_up,
      fmt::format("progress of stream {} ({}) is '{}', which is not a day: the stream was loaded with another kind "
                  "of cursor before; give it a new name",
                  stream.name, partition.id, done_to));
}

std::vector<PlannedSlice> cut(const Partition& partition, Day from, Day to, Day today, std::optional<Day> done,
                              int slice_days) {
  std::vector<PlannedSlice> slices;
  for (Day at = from; at < to; at += slice_days) {
    const Day end = std::min(at + slice_days, to);
    const Day reached = std::min(end, today);
    std::optional<std::string> done_to;
    if (!done || reached > *done) done_to = format_day(reached);
    slices.emplace_back(Slice::days(partition, at, end), std::move(done_to));
  }
  return slices;
}

// The day that progress has reached, as far as it can be believed.
std::optional<Day> believable_day(const StreamPlan& stream, const Partition& partition, const Progress& progress,
                                  const Target& target) {
  if (!progress.done_to) return {};
  const auto done = progress_day(*progress.done_to, stream, partition);
  if (target.backfill) return done;
  const auto today = day_of(target.now, partition.zone);
  if (done > today + 1) return {};
  if (done > today) return today - 1;  // a clock set back over midnight, an account that moved west
  return done;
}

std::vector<PlannedSlice> plan_days(const StreamPlan& stream, const Partition& partition, const Progress& progress,
                                    const Target& target) {
  const Day today = day_of(target.end(), partition.zone);
  const auto done = believable_day(stream, partition, progress, target);
  Day from = today, to = today + 1;
  if (target.backfill) {
    from = done.value_or(target.backfill->from);
    to = std::min(target.backfill->to + 1, to);
  } else if (done && !target.full_refresh) {
    from = std::min(*done, today) - whole_days(stream.lookback.value_or(Duration::zero()));
    from = std::min(from, today - 1);  // yesterday has not settled, whatever the lookback
    if (stream.start) from = std::max(from, std::min(*stream.start, *done));
  } else {
    from = stream.start.value_or(today - default_history_days);
  }
  if (target.earliest) from = std::max(from, *target.earliest);
  // A backfill ends where it was told to, even when that is today: its progress must be able to say so.
  return cut(partition, from, to, target.backfill ? to : today, done, stream.slice_days);
}

bool ahead(const std::string& done_to, const std::string& horizon) {
  const auto done = parse_instant(done_to), end = parse_instant(horizon);
  return done && end && *done > *end;
}

}  // namespace

std::vector<PlannedSlice> plan_slices(const StreamPlan& stream, const Partition& partition, const Progress& progress,
                                      const Target& target) {
  std::vector<PlannedSlice> slices;
  switch (stream.spec.cursor) {
    case Cursor::date:
      return plan_days(stream, partition, progress, target);
    case Cursor::value: {
      if (!target.horizon) throw std::logic_error("a value cursor is planned with a horizon");
      auto after = target.full_refresh ? std::nullopt : progress.done_to;
      if (after && ahead(*after, *target.horizon)) {
        if (target.up_to) return slices;  // a later run has been there
        after.reset();
      }
      slices.emplace_back(Slice::values(partition, std::move(after), *target.horizon), target.horizon);
      return slices;
    }
    case Cursor::none:
      slices.emplace_back(Slice::whole(partition), format_instant(target.now));
      return slices;
  }
  return slices;
}

std::string shortfall(const StreamPlan& stream, const Partition& partition, const Progress& progress,
                      const Target& target) {
  if (stream.spec.cursor != Cursor::date) return {};
  const auto today = day_of(target.end(), partition.zone);
  const auto* asked = target.backfill;
  if (!asked) {
    const bool begun = progress.done_to && !target.full_refresh;
    if (begun || !stream.start || *stream.start <= today) return {};
    return fmt::format("nothing is loaded before window.start, {}, which is still to come", format_day(*stream.start));
  }
  if (progress.done_to == format_day(asked->to + 1))
    return fmt::format("the backfill {} was finished on {}; to load the days again use another --name", asked->name,
                       progress.updated_at ? format_day(day_of(*progress.updated_at, partition.zone)) : "another day");
  if (asked->from > today) return fmt::format("the days are still to come: today is {}", format_day(today));
  if (target.earliest && *target.earliest > asked->to)
    return fmt::format("the days lie outside what the source keeps, which begins with {}",
                       format_day(*target.earliest));
  std::string text;
  if (target.earliest && *target.earliest > asked->from)
    text = fmt::format("begins with {}, the first day that the source keeps", format_day(*target.earliest));
  if (asked->to > today)
    text +=
        fmt::format("{}ends with today, {}; later days are still to come", text.empty() ? "" : ", ", format_day(today));
  return text;
}

std::string renamed(const std::string& pipeline, const std::string& table, const std::vector<std::string>& loaders) {
  if (loaders.empty() || std::find(loaders.begin(), loaders.end(), pipeline) != loaders.end()) return {};
  return fmt::format(
      "table {} was loaded by the pipeline {} until now; under the name {} it is loaded anew from the start, since "
      "progress is kept by name",
      table, fmt::join(loaders, ", "), pipeline);
}

void StreamPlan::learn(const std::map<std::string, DataType>& types) {
  for (std::size_t i = 0; i < spec.columns.size(); ++i) {
    const auto known = types.find(spec.columns[i].name);
    const bool shown =
        std::any_of(table.columns.begin(), table.columns.end(), [&](const auto& column) { return column.source == i; });
    // Where rows are guarded, what is not shown comes blank, whatever it is.
    if (known == types.end() || transform.masks(i) || (spec.guard && !shown)) continue;
    spec.columns[i].type = known->second;
    if (transform.learn(i, known->second)) continue;
    for (auto& column : table.columns)
      if (column.source == i) column.type = known->second;
  }
}

bool sweep_due(const StreamPlan& stream, const Progress& sweep_progress, Instant now) {
  if (!stream.sweep || stream.spec.cursor != Cursor::value) return false;
  if (!sweep_progress.done_to) return true;
  const auto last = parse_instant(*sweep_progress.done_to);
  return !last || now - *last >= *stream.sweep;
}

}  // namespace sluice
