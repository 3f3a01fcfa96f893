#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/slice.hpp"

namespace sluice {

struct Pipeline;

// The streams that a backfill loads: the one asked for, else all that are enabled and have windows. Throws
// Refusal(422).
std::vector<std::string> backfill_streams(const Pipeline& pipeline, const std::string& asked);
// The lane of a backfill: its name; without one, the same days make the same lane. Throws Refusal(422) where the name
// is none, or that of a lane which is no backfill's.
std::string backfill_lane(const std::string& name, Day from, Day to);

// What runs will not load by themselves of one partition.
struct Unloaded {
  std::optional<Day> start;       // window.start, or the first day that the source still has, where that is later
  Day next_run;                   // the first day that the next run reads
  std::vector<DayWindow> loaded;  // as the ledger has them
  bool new_columns = false;       // the table is about to get columns that what is loaded does not have
};
// From the first to the last day that only a backfill brings; nothing: there is none.
std::optional<DayWindow> needs_backfill(const Unloaded& what);

// The command that brings the days, in a lane whose name is not one of `taken`.
std::string backfill_command(const std::string& pipeline, const std::string& stream, DayWindow days,
                             const std::vector<std::string>& taken);

}  // namespace sluice
