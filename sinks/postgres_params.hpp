#pragma once
#include <fmt/format.h>

#include "core/clean_text.hpp"
#include "sinks/postgres_statements.hpp"

namespace sluice {

// A statement's parameters while it is written; each call gives what stands for the value in the SQL.
struct PostgresStatements::Params {
  std::vector<pg::Param> values;
  std::string add(pg::Param value, std::string_view type) {
    values.push_back(std::move(value));
    return fmt::format("${}::{}", values.size(), type);
  }
  std::string text(std::string_view value) { return add(clean_text(value), "text"); }
  std::string number(std::int64_t value) { return add(std::to_string(value), "bigint"); }
  std::string flag(bool value) { return add(value ? "t" : "f", "boolean"); }
  std::string instant(Instant value) { return add(format_instant(value), "timestamptz"); }
};

}  // namespace sluice
