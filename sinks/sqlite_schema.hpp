#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/sqlite.hpp"
#include "sinks/table_plan.hpp"

namespace sluice::sqlite {

// Decimals, days, instants, UUIDs and JSON are TEXT: exact, and sortable where order makes sense.
std::string_view native_type(Type type);

// The table as it stands in the file. SQLite knows of four types: int64, float64, text and bytes.
std::optional<ExistingTable> read_table(Database& database, const std::string& name);

// Statements that belong together, and what they do to which column.
struct SchemaStep {
  std::vector<std::string> statements;
  std::string column;   // empty for the table itself
  std::string change;   // "column_added", "widened", "refused", or nothing
  std::string message;  // of "refused": why
};
// What the table needs. Throws Error(give_up) where it cannot be made to fit.
std::vector<SchemaStep> plan_schema(Database& database, const Table& table);
// What the bookkeeping tables need.
std::vector<std::string> plan_bookkeeping(Database& database);

struct SchemaChanges {
  std::map<std::string, std::string> columns;  // name → change
  std::vector<std::string> messages;           // of those that were refused
};
// Makes it so, in one transaction. A column that a view or trigger forbids to widen is refused, and the others go on.
SchemaChanges apply_schema(Database& database, const Table& table);

}  // namespace sluice::sqlite
