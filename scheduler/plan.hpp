#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/slice.hpp"
#include "scheduler/pipeline.hpp"

namespace sluice {

// Days [from, to] (inclusive, in the partition's own zone) to be loaded again, in a lane called `name`.
struct Backfill {
  std::string name;
  Day from, to;
  Backfill(std::string n, Day f, Day t) : name(std::move(n)), from(f), to(t) {}
  // "2026-03-01..2026-03-07", as Sink::progress and Publication take it.
  std::string days() const { return format_day(from) + ".." + format_day(to); }
};

// How far a lane is to be brought, and from where.
struct Target {
  Instant now;
  std::optional<Instant> up_to;        // stands for a missed fire: no further than here
  bool full_refresh = false;           // from the stream's start again, window by window
  std::optional<Day> earliest;         // the first day that the source still has
  std::optional<std::string> horizon;  // Cursor::value: up to where it is safe to read
  const Backfill* backfill = nullptr;  // nothing: the live lane

  explicit Target(Instant n) : now(n) {}
  // The instant up to which it reads: never one that is still to come.
  Instant end() const { return up_to ? std::min(*up_to, now) : now; }
  // See Sink::progress.
  std::string days() const { return backfill ? backfill->days() : std::string(); }
};

// A slice, and the progress that its publishing makes; nothing: it re-reads what progress has passed already.
struct PlannedSlice {
  Slice slice;
  std::optional<std::string> done_to;
  PlannedSlice(Slice s, std::optional<std::string> d) : slice(std::move(s)), done_to(std::move(d)) {}
};

// The slices that bring a lane from `progress` to `target`, in the order in which they move progress.
// Date windows: the lookback before `done_to`, yesterday at least, then everything up to and with today. `done_to` (the
// first day that is not loaded for good) never passes today. It moves back only where it lies ahead of the clock, which
// then was wrong when it was written: what it says is not believed, and loaded again.
std::vector<PlannedSlice> plan_slices(const StreamPlan& stream, const Partition& partition, const Progress& progress,
                                      const Target& target);

// Why a partition's slices are fewer than the days that were asked for, for people; empty: they are not.
std::string shortfall(const StreamPlan& stream, const Partition& partition, const Progress& progress,
                      const Target& target);

// A warning where the table was loaded by pipelines of other names alone (see Sink::loaders); empty: it was not.
std::string renamed(const std::string& pipeline, const std::string& table, const std::vector<std::string>& loaders);

// Whether a sweep (all objects again) is due.
bool sweep_due(const StreamPlan& stream, const Progress& sweep_progress, Instant now);

}  // namespace sluice
