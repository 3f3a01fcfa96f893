#include "sinks/postgres_catalog.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sinks/copy_encoder.hpp"

namespace sluice {
namespace {

std::optional<DataType> logical_type(std::uint32_t oid, std::int32_t modifier) {
  switch (oid) {
    case pg_oid::boolean:
      return Type::boolean;
    case pg_oid::int2:
    case pg_oid::int4:
    case pg_oid::int8:
      return Type::int64;
    case pg_oid::float4:
    case pg_oid::float8:
      return Type::float64;
    case pg_oid::text:
    case pg_oid::varchar:
    case pg_oid::bpchar:
      return Type::text;
    case pg_oid::json:
    case pg_oid::jsonb:
      return Type::json;
    case pg_oid::date:
      return Type::date;
    case pg_oid::time:
      return Type::time;
    case pg_oid::timestamp:
    case pg_oid::timestamptz:
      return Type::timestamp;
    case pg_oid::bytea:
      return Type::bytes;
    case pg_oid::uuid:
      return Type::uuid;
    case pg_oid::numeric: {
      const auto precision = ((modifier - 4) >> 16) & 0xffff;
      const auto scale = (((modifier - 4) & 0x7ff) ^ 0x400) - 0x400;
      if (modifier < 4 || precision > 255 || scale < 0 || scale > precision) return Type::decimal;
      return DataType(Type::decimal, static_cast<std::uint8_t>(precision), static_cast<std::uint8_t>(scale));
    }
    default:
      return {};
  }
}

std::string full_name(const std::string& schema, std::string_view table) {
  return quoted_name(schema) + "." + quoted_name(table);
}

std::string comment_on(const std::string& what, std::string_view comment) {
  return fmt::format("COMMENT ON {} IS {}", what, sql_literal(comment));
}

std::string default_partition(const Table& table) {
  return fitted_name(table.name, "_default");
}

std::string column_definition(std::string_view name, DataType type, bool required) {
  return quoted_name(name) + " " + postgres_type(type) + (required ? " NOT NULL" : "");
}

}  // namespace

const PostgresColumn* PostgresTable::find(std::string_view column) const {
  const auto found = std::find_if(columns.begin(), columns.end(), [&](const auto& c) { return c.name == column; });
  return found == columns.end() ? nullptr : &*found;
}

ExistingTable PostgresTable::existing() const {
  ExistingTable table;
  for (const auto& c : columns) table.columns.emplace_back(c.name, logical_type(c.oid, c.modifier), c.native);
  table.key = key;
  table.indexes = indexes;
  return table;
}

task<std::optional<PostgresTable>> read_table(pg::Connection& connection, const std::string& schema,
                                              const std::string& name) {
  const std::vector<pg::Param> params{schema, name};
  std::vector<pg::Statement> statements;
  statements.emplace_back(
      "SELECT c.relkind, a.attname, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), "
      "coalesce(array_position(i.indkey::int2[], a.attnum), -1) FROM pg_class c "
      "JOIN pg_namespace n ON n.oid = c.relnamespace "
      "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
      "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
      "WHERE n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum",
      params);
  statements.emplace_back(
      "SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid "
      "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
      params);
  statements.emplace_back(
      "SELECT p.relname FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhrelid JOIN pg_class c ON c.oid = "
      "h.inhparent "
      "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
      params);
  const auto results = co_await connection.exec_all(std::move(statements));
  std::optional<PostgresTable> found;
  const auto& columns = results[0];
  if (columns.rows() == 0) co_return found;
  const auto kind = columns.text(0, 0);
  if (kind != "r" && kind != "p")
    throw Error(Remedy::give_up,
                fmt::format("{}.{} is not a table (but a view, an index or the like): give the stream another "
                            "one with `table:`",
                            schema, name));
  auto& table = found.emplace();
  table.partitioned = kind == "p";
  std::map<std::int64_t, std::string> key;
  for (int i = 0; i < columns.rows(); ++i) {
    if (columns.is_null(i, 1)) continue;
    PostgresColumn column;
    column.name = columns.text(i, 1);
    column.oid = static_cast<std::uint32_t>(columns.integer(i, 2));
    column.modifier = static_cast<std::int32_t>(columns.integer(i, 3));
    column.native = columns.text(i, 4);
    if (const auto place = columns.integer(i, 5); place >= 0) key[place] = column.name;
    table.columns.push_back(std::move(column));
  }
  for (const auto& part : key) table.key.push_back(part.second);
  for (int i = 0; i < results[1].rows(); ++i) table.indexes.push_back(results[1].text(i, 0));
  for (int i = 0; i < results[2].rows(); ++i) table.partitions.insert(results[2].text(i, 0));
  co_return found;
}

std::string postgres_type(DataType type) {
  switch (type.type) {
    case Type::boolean:
      return "boolean";
    case Type::int64:
      return "bigint";
    case Type::float64:
      return "double precision";
    case Type::decimal:
      return type.precision == 0 ? "numeric" : fmt::format("numeric({},{})", type.precision, type.scale);
    case Type::json:
      return "jsonb";
    case Type::date:
      return "date";
    case Type::time:
      return "time";
    case Type::timestamp:
      return "timestamptz";
    case Type::bytes:
      return "bytea";
    case Type::uuid:
      return "uuid";
    default:
      return "text";
  }
}

std::string sql_literal(std::string_view text) {
  std::string literal = "'";
  for (const char c : text) {
    if (c == '\0') continue;
    if (c == '\'') literal += '\'';
    literal += c;
  }
  return literal + "'";
}

std::string sql_name(std::string_view name) {
  std::string quoted_name = "\"";
  for (const char c : name) {
    if (c == '"') quoted_name += '"';
    quoted_name += c;
  }
  return quoted_name + "\"";
}

std::string advisory_key(std::string_view purpose) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : purpose) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return std::to_string(static_cast<std::int64_t>(hash));
}

std::vector<std::string> create_table(const Table& table, const std::string& schema,
                                      const std::vector<std::string>& grant) {
  const auto name = full_name(schema, table.name);
  std::vector<std::string> parts;
  for (const auto& column : table.columns) {
    const bool in_key = std::find(table.key.begin(), table.key.end(), column.name) != table.key.end();
    parts.push_back(column_definition(column.name, column.type, in_key));
  }
  for (const auto& own : own_columns()) parts.push_back(column_definition(own.name, own.type, true));
  if (!table.key.empty()) parts.push_back("PRIMARY KEY (" + quoted_list(table.key) + ")");
  auto create = fmt::format("CREATE TABLE {} ({})", name, fmt::join(parts, ", "));
  if (table.partition_by) create += " PARTITION BY RANGE (" + quoted_name(table.partition_by->column) + ")";
  std::vector<std::string> statements{create};
  if (table.partition_by)
    statements.push_back(
        fmt::format("CREATE TABLE {} PARTITION OF {} DEFAULT", full_name(schema, default_partition(table)), name));
  if (!table.comment.empty()) statements.push_back(comment_on("TABLE " + name, table.comment));
  for (const auto& column : table.columns)
    if (!column.comment.empty())
      statements.push_back(comment_on("COLUMN " + name + "." + quoted_name(column.name), column.comment));
  for (const auto& own : own_columns())
    statements.push_back(comment_on("COLUMN " + name + "." + quoted_name(own.name), own.comment));
  for (const auto& role : grant) statements.push_back(fmt::format("GRANT SELECT ON {} TO {}", name, sql_name(role)));
  return statements;
}

std::vector<std::string> bookkeeping_ddl(const std::string& schema, const std::set<std::string>& present) {
  std::vector<std::string> statements;
  for (const auto& table : bookkeeping_tables()) {
    const auto name = full_name(schema, table.name);
    const auto there = [&](const auto& column) {
      return present.contains(fmt::format("{}.{}", table.name, column.name));
    };
    if (std::any_of(table.columns.begin(), table.columns.end(), there)) {
      // Columns that an earlier sluice did not have.
      for (const auto& column : table.columns)
        if (!there(column))
          statements.push_back(
              fmt::format("ALTER TABLE {} ADD COLUMN {}", name, column_definition(column.name, column.type, false)));
      continue;
    }
    std::vector<std::string> parts;
    for (const auto& column : table.columns)
      parts.push_back(column_definition(column.name, column.type, column.required));
    const std::vector<std::string> key(table.key.begin(), table.key.end());
    if (!key.empty()) parts.push_back("PRIMARY KEY (" + quoted_list(key) + ")");
    statements.push_back(fmt::format("CREATE TABLE IF NOT EXISTS {} ({})", name, fmt::join(parts, ", ")));
    statements.push_back(comment_on("TABLE " + name, table.comment));
    for (const auto& index : table.indexes) {
      const std::vector<std::string> columns(index.begin(), index.end());
      statements.push_back(fmt::format("CREATE INDEX IF NOT EXISTS {} ON {} ({})",
                                       quoted_name(index_name(table.name, columns)), name, quoted_list(columns)));
    }
  }
  return statements;
}

std::vector<std::string> add_column(const Table& table, const std::string& schema, const AddColumn& action) {
  const auto name = full_name(schema, table.name);
  const auto column = quoted_name(action.name);
  std::vector<std::string> statements;
  statements.push_back(
      fmt::format("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}", name, column, postgres_type(action.type)));
  if (!action.comment.empty()) statements.push_back(comment_on("COLUMN " + name + "." + column, action.comment));
  return statements;
}

std::string widen_column(const Table& table, const std::string& schema, const WidenColumn& action, int server_version) {
  const auto column = quoted_name(action.name);
  auto value = column;
  // The canonical decimal has no surplus zeros; trim_scale came with PostgreSQL 13.
  if (action.from.type == Type::decimal && action.to.type == Type::text && server_version >= 130000)
    value = "trim_scale(" + column + ")";
  const auto type = postgres_type(action.to);
  return fmt::format("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING {}::{}", full_name(schema, table.name), column, type,
                     value, type);
}

std::string add_index(const Table& table, const std::string& schema, const AddIndex& action) {
  return fmt::format("CREATE INDEX IF NOT EXISTS {} ON {} ({})", quoted_name(action.name),
                     full_name(schema, table.name), quoted_list(action.columns));
}

PartitionRange partition_range(const std::string& table, PartitionBy::Unit unit, Day day) {
  PartitionRange range;
  if (unit == PartitionBy::Unit::day) {
    range.from = day;
    range.to = day + 1;
    range.name = fitted_name(table, fmt::format("_{:04}_{:02}_{:02}", day.year(), day.month(), day.day()));
  } else if (unit == PartitionBy::Unit::month) {
    const cctz::civil_month month(day);
    range.from = Day(month);
    range.to = Day(month + 1);
    range.name = fitted_name(table, fmt::format("_{:04}_{:02}", day.year(), day.month()));
  } else {
    const cctz::civil_year year(day);
    range.from = Day(year);
    range.to = Day(year + 1);
    range.name = fitted_name(table, fmt::format("_{:04}", day.year()));
  }
  return range;
}

// ATTACH, unlike CREATE … PARTITION OF, lets others go on writing to the table.
std::vector<std::string> create_partition(const Table& table, const std::string& schema, const PartitionRange& range) {
  const auto parent = full_name(schema, table.name);
  const auto child = full_name(schema, range.name);
  return {fmt::format("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)", child, parent),
          fmt::format("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ('{}') TO ('{}')", parent, child,
                      format_day(range.from), format_day(range.to))};
}

}  // namespace sluice
