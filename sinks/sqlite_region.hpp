#pragma once
#include <string>

#include "core/sink.hpp"
#include "db/sqlite.hpp"

namespace sluice::sqlite {

// All that a slice's load is about. Its own copy: what the caller gave may be gone when the worker uses it.
struct Target {
  Table table;
  LaneId lane;
  Slice slice;
  std::string run;
  Instant read_started;

  Target(Table t, LaneId l, Slice s, std::string r, Instant started)
      : table(std::move(t)), lane(std::move(l)), slice(std::move(s)), run(std::move(r)), read_started(started) {}
};

// main."insights"
std::string table_of(const Target& target);
// The rows of the table that the slice stands for, as a condition on their columns.
std::string region_of(const Target& target);
bool region_has_rows(Database& database, const Target& target);
// No row of the table can stand in the way of the slice's rows: they need only be inserted.
bool nothing_in_the_way(Database& database, const Target& target);

}  // namespace sluice::sqlite
