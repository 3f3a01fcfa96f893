#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/sink.hpp"
#include "db/sqlite.hpp"
#include "sinks/sqlite_region.hpp"

// The stage's rows, `s`, into the target's table, `t`.

namespace sluice::sqlite {

// INSERT of all of them; its parameters are the run, the slice and the time.
std::string insert_sql(const Target& target);
// "s.id = t.id AND …"
std::string same_key(const Table& table);

struct Merged {
  std::int64_t inserted = 0, updated = 0;
};
// By the key: rows that did not change, or are newer, are left alone. `rows`: how many are staged; `without`: columns
// that they do not have; `guard`: what more must hold of a row `t` that is to change.
Merged merge(Database& database, const Target& target, std::int64_t rows, const std::vector<std::string>& without,
             const std::string& now, std::string_view guard = {});

}  // namespace sluice::sqlite
