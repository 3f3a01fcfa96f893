#include "sinks/sqlite_merge.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sinks/sqlite_stage.hpp"
#include "sinks/table_plan.hpp"

namespace sluice::sqlite {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string insert_sql(const Target& target) {
  const auto& table = target.table;
  std::vector<std::string> names;
  for (const auto& column : table.columns) names.push_back(column.name);
  const auto order = table.key.empty() ? " ORDER BY s.rowid" : "";
  return fmt::format("INSERT INTO {} AS t ({}, {}, {}, {}) SELECT {}, ?1, ?2, ?3 FROM {} AS s WHERE true{}",
                     table_of(target), quoted_list(names), quoted_name(run_column), quoted_name(slice_column),
                     quoted_name(loaded_at_column), quoted_list(names, "s."), Stage::name, order);
}

std::string same_key(const Table& table) {
  std::string sql;
  for (const auto& name : table.key)
    sql += fmt::format("{0}s.{1} = t.{1}", sql.empty() ? "" : " AND ", quoted_name(name));
  return sql;
}

// One pass over the stage, which is never larger than the slice, whatever the table's size.
Merged merge(Database& database, const Target& target, std::int64_t rows, const std::vector<std::string>& without,
             const std::string& now, std::string_view guard) {
  const auto& table = target.table;
  std::string sets, differs;
  for (const auto& column : table.columns) {
    if (contains(table.key, column.name) || contains(without, column.name)) continue;
    const auto name = quoted_name(column.name);
    sets += fmt::format("{0} = excluded.{0}, ", name);
    differs += fmt::format("{0}t.{1} IS NOT excluded.{1}", differs.empty() ? "" : " OR ", name);
  }
  auto sql = insert_sql(target) + fmt::format(" ON CONFLICT ({}) DO ", quoted_list(table.key));
  if (sets.empty()) {
    sql += "NOTHING";
  } else {
    for (const auto own : {run_column, slice_column, loaded_at_column})
      sets += fmt::format("{0} = excluded.{0}, ", quoted_name(own));
    sets.resize(sets.size() - 2);
    sql += fmt::format("UPDATE SET {} WHERE ({})", sets, differs);
    if (const auto* column = newness(table))
      sql += fmt::format(" AND ({0} IS NULL OR {1} IS NULL OR {1} >= {0})", comparable(*column, "t."),
                         comparable(*column, "excluded."));
    if (!guard.empty()) sql += fmt::format(" AND {}", guard);
  }
  // CROSS JOIN: SQLite keeps the order, the stage outside.
  const auto known = database
                         .number(fmt::format("SELECT count(*) FROM {} AS s CROSS JOIN {} AS t WHERE {}", Stage::name,
                                             table_of(target), same_key(table)))
                         .value_or(0);
  const auto written = database.run(sql, target.run, target.slice.id(), now);
  Merged merged;
  merged.inserted = rows - known;
  merged.updated = written - merged.inserted;
  return merged;
}

}  // namespace sluice::sqlite
