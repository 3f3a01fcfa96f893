#include "sinks/sqlite_region.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sinks/publish_rules.hpp"
#include "sinks/table_plan.hpp"

namespace sluice::sqlite {
namespace {

// Then no row of another region can have a key of this one's.
bool region_in_key(const Table& table) {
  const auto in_key = [&](const std::string& name) {
    return std::find(table.key.begin(), table.key.end(), name) != table.key.end();
  };
  const auto scope = scope_of(table);
  if (scope != Scope::window && scope != Scope::partition) return false;
  return (table.partition_column.empty() || in_key(table.partition_column)) &&
         (scope == Scope::partition || in_key(table.cursor_column));
}

}  // namespace

std::string table_of(const Target& target) {
  return fmt::format("main.{}", quoted_name(target.table.name));
}

std::string region_of(const Target& target) {
  const auto& table = target.table;
  const auto scope = scope_of(table);
  if (scope == Scope::none) return "false";
  if (scope == Scope::slice) return fmt::format("{} = {}", quoted_name(slice_column), literal(target.slice.id()));
  std::vector<std::string> parts;
  if (!table.partition_column.empty())
    parts.push_back(fmt::format("{} = {}", quoted_name(table.partition_column), literal(target.slice.partition().id)));
  if (const auto* window = target.slice.day_window(); window && scope == Scope::window) {
    parts.push_back(fmt::format("{0} >= {1} AND {0} < {2}", quoted_name(table.cursor_column),
                                literal(format_day(window->from)), literal(format_day(window->to))));
  }
  return parts.empty() ? "true" : fmt::format("{}", fmt::join(parts, " AND "));
}

bool region_has_rows(Database& database, const Target& target) {
  const auto sql = fmt::format("SELECT 1 FROM {} WHERE {} LIMIT 1", table_of(target), region_of(target));
  return database.number(sql).has_value();
}

bool nothing_in_the_way(Database& database, const Target& target) {
  if (target.table.key.empty()) return true;
  if (region_in_key(target.table)) return !region_has_rows(database, target);
  return !database.number(fmt::format("SELECT 1 FROM {} LIMIT 1", table_of(target)));
}

}  // namespace sluice::sqlite
