#include "sinks/sqlite_schema.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace sluice::sqlite {
namespace {

constexpr std::string_view widened_column = "_sluice_widened";

std::string lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// https://sqlite.org/datatype3.html#determination_of_column_affinity
std::optional<DataType> type_of(const std::string& declared) {
  const auto text = lower(declared);
  const auto has = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  if (has("int")) return DataType(Type::int64);
  if (has("char") || has("clob") || has("text")) return DataType(Type::text);
  if (text.empty() || has("blob")) return DataType(Type::bytes);
  if (has("real") || has("floa") || has("doub")) return DataType(Type::float64);
  return {};
}

// SQLite keeps the text of CREATE TABLE, and shows it to whoever asks for `.schema`.
std::string remark(DataType type, std::string_view comment) {
  auto text = to_string(type);
  if (!comment.empty()) text += fmt::format(": {}", comment);
  for (std::size_t at = 0; (at = text.find("*/", at)) != std::string::npos;) text.replace(at, 2, "* /");
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return fmt::format("/* {} */", text);
}

std::string column_definition(std::string_view name, DataType type, std::string_view comment) {
  return fmt::format("{} {} {}", quoted_name(name), remark(type, comment), native_type(type.type));
}

std::string create_table(const Table& table) {
  auto sql = fmt::format("CREATE TABLE {} (", quoted_name(table.name));
  if (!table.comment.empty()) {
    auto comment = table.comment;
    std::replace_if(
        comment.begin(), comment.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    sql += "-- " + comment;
  }
  for (const auto& column : table.columns)
    sql += "\n  " + column_definition(column.name, column.type, column.comment) + ",";
  for (const auto& own : own_columns()) sql += "\n  " + column_definition(own.name, own.type, own.comment) + ",";
  if (table.key.empty()) {
    sql.pop_back();
    return sql + "\n)";
  }
  // Clustered by its key: a window is one stretch of the file.
  return sql + fmt::format("\n  PRIMARY KEY ({})\n) WITHOUT ROWID", quoted_list(table.key));
}

// What a number looks like as text: whole numbers without a point, the others with the digits that bring them back.
std::string number_as_text(std::string_view column, DataType from) {
  const auto c = quoted_name(column);
  if (from.type == Type::int64) return fmt::format("CAST({} AS TEXT)", c);
  return fmt::format(
      "CASE WHEN {0} IS NULL THEN NULL WHEN abs({0}) < 1e15 AND {0} = CAST({0} AS INTEGER) THEN CAST(CAST({0} AS "
      "INTEGER) AS TEXT) "
      "WHEN CAST(CAST({0} AS TEXT) AS REAL) = {0} THEN CAST({0} AS TEXT) "
      "WHEN CAST(printf('%!.16g', {0}) AS REAL) = {0} THEN printf('%!.16g', {0}) ELSE printf('%!.17g', {0}) END",
      c);
}

// A column's type is part of the table's text: the column is made anew beside the old one and takes its name.
std::vector<std::string> widen_column(Database& database, const std::string& table, const WidenColumn& widen) {
  std::vector<std::string> before, after;
  auto indexes = database.prepare(
      "SELECT s.name, s.sql FROM sqlite_schema AS s WHERE s.type = 'index' AND s.tbl_name = ?1 AND s.sql IS NOT NULL "
      "AND EXISTS (SELECT 1 FROM pragma_index_info(s.name) AS i WHERE lower(i.name) = ?2)");
  indexes.bind_all(table, widen.name);
  while (indexes.step()) {
    before.push_back(fmt::format("DROP INDEX \"{}\"", indexes.text(0)));
    after.emplace_back(indexes.text(1));
  }
  const auto t = quoted_name(table);
  const auto old_name = quoted_name(widen.name);
  const auto new_name = quoted_name(widened_column);
  auto statements = std::move(before);
  statements.push_back(fmt::format("ALTER TABLE {} ADD COLUMN {}", t, column_definition(widened_column, widen.to, {})));
  statements.push_back(fmt::format("UPDATE {} SET {} = {}", t, new_name, number_as_text(widen.name, widen.from)));
  statements.push_back(fmt::format("ALTER TABLE {} DROP COLUMN {}", t, old_name));
  statements.push_back(fmt::format("ALTER TABLE {} RENAME COLUMN {} TO {}", t, new_name, old_name));
  statements.insert(statements.end(), after.begin(), after.end());
  return statements;
}

SchemaStep step_of(Database& database, const Table& table, const TableAction& action) {
  SchemaStep step;
  if (std::holds_alternative<CreateTable>(action)) {
    step.statements.push_back(create_table(table));
  } else if (const auto* add = std::get_if<AddColumn>(&action)) {
    step.column = add->name;
    step.change = "column_added";
    step.statements.push_back(fmt::format("ALTER TABLE {} ADD COLUMN {}", quoted_name(table.name),
                                          column_definition(add->name, add->type, add->comment)));
  } else if (const auto* widen = std::get_if<WidenColumn>(&action)) {
    step.column = widen->name;
    step.change = "widened";
    step.statements = widen_column(database, table.name, *widen);
  } else if (const auto* refuse = std::get_if<RefuseColumn>(&action)) {
    step.column = refuse->name;
    step.change = "refused";
    step.message = refuse->why;
  } else if (const auto* index = std::get_if<AddIndex>(&action)) {
    step.statements.push_back(fmt::format("CREATE INDEX {} ON {} ({})", quoted_name(index->name),
                                          quoted_name(table.name), quoted_list(index->columns)));
  }
  return step;
}

// What the file's types cannot tell apart is no change: a truth value is an integer here.
Table as_stored(Table table, const std::optional<ExistingTable>& existing) {
  for (auto& column : table.columns) {
    const auto* field = existing ? existing->find(column.name) : nullptr;
    if (field && field->type && field->type->type == Type::int64 && column.type.type == Type::boolean)
      column.type = Type::int64;
  }
  return table;
}

void check_table(const Table& table) {
  if (table.partition_by)
    throw Error(Remedy::give_up,
                fmt::format("table {}: SQLite has no partitions; remove load.partition_by", table.name));
  if (table.mode == LoadMode::merge && table.key.empty())
    throw Error(
        Remedy::give_up,
        fmt::format("table {}: load.mode merge needs a key; set load.key, or load.mode append or replace", table.name));
}

// The books speak of a table of that name that is no more.
void forget(Database& database, const std::string& table) {
  database.run(R"(UPDATE _sluice_progress SET "done_to" = NULL, "version" = "version" + 1 WHERE "table_name" = ?)",
               table);
  database.run(R"(UPDATE _sluice_loads SET "superseded" = 1 WHERE "table_name" = ?)", table);
}

void run_all(Database& database, const std::vector<std::string>& statements) {
  for (const auto& statement : statements) database.exec(statement);
}

}  // namespace

std::string_view native_type(Type type) {
  switch (type) {
    case Type::boolean:
    case Type::int64:
      return "INTEGER";
    case Type::float64:
      return "REAL";
    case Type::bytes:
      return "BLOB";
    default:
      return "TEXT";
  }
}

std::optional<ExistingTable> read_table(Database& database, const std::string& name) {
  if (database.number("SELECT 1 FROM sqlite_schema WHERE type = 'view' AND lower(name) = ?", name))
    throw Error(Remedy::give_up,
                fmt::format("{} is a view in {}; give the stream another table with `table:`", name, database.path()));
  ExistingTable table;
  std::map<std::int64_t, std::string> key;
  auto columns = database.prepare("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid");
  columns.bind_all(name);
  while (columns.step()) {
    const std::string declared(columns.text(1));
    const auto& column = table.columns.emplace_back(lower(columns.text(0)), type_of(declared), declared);
    if (columns.integer(2) > 0) key[columns.integer(2)] = column.name;
  }
  if (table.columns.empty()) return {};
  for (const auto& [at, column] : key) table.key.push_back(column);
  auto indexes = database.prepare("SELECT name FROM pragma_index_list(?)");
  indexes.bind_all(name);
  while (indexes.step()) table.indexes.emplace_back(indexes.text(0));
  return table;
}

std::vector<std::string> plan_bookkeeping(Database& database) {
  std::vector<std::string> statements;
  for (const auto& table : bookkeeping_tables()) {
    if (const auto existing = read_table(database, std::string(table.name))) {
      // Columns that an earlier sluice did not have.
      for (const auto& field : table.columns)
        if (!existing->find(field.name))
          statements.push_back(fmt::format("ALTER TABLE {} ADD COLUMN {} {}", quoted_name(table.name),
                                           quoted_name(field.name), native_type(field.type)));
      continue;
    }
    auto sql = fmt::format("CREATE TABLE {} (-- {}", quoted_name(table.name), table.comment);
    for (const auto& field : table.columns)
      sql += fmt::format("\n  {} {}{},", quoted_name(field.name), native_type(field.type),
                         field.required ? " NOT NULL" : "");
    sql.pop_back();
    const std::vector<std::string> key(table.key.begin(), table.key.end());
    sql += key.empty() ? "\n)" : fmt::format(",\n  PRIMARY KEY ({})\n) WITHOUT ROWID", quoted_list(key));
    statements.push_back(std::move(sql));
    for (const auto& index : table.indexes) {
      const std::vector<std::string> columns(index.begin(), index.end());
      statements.push_back(fmt::format("CREATE INDEX {} ON {} ({})", quoted_name(index_name(table.name, columns)),
                                       quoted_name(table.name), quoted_list(columns)));
    }
  }
  return statements;
}

std::vector<SchemaStep> plan_schema(Database& database, const Table& table) {
  check_table(table);
  const auto existing = read_table(database, table.name);
  std::vector<SchemaStep> steps;
  for (const auto& action : plan_table(as_stored(table, existing), existing)) {
    // A column that is created says what it logically is.
    const bool create = std::holds_alternative<CreateTable>(action);
    steps.push_back(create ? step_of(database, table, CreateTable()) : step_of(database, table, action));
  }
  return steps;
}

SchemaChanges apply_schema(Database& database, const Table& table) {
  SchemaChanges changes;
  Transaction transaction(database);
  run_all(database, plan_bookkeeping(database));
  if (!read_table(database, table.name)) forget(database, table.name);
  for (const auto& step : plan_schema(database, table)) {
    auto change = step.change;
    auto message = step.message;
    database.exec("SAVEPOINT step");
    try {
      run_all(database, step.statements);
    } catch (const Error& e) {
      if (step.change != "widened" || e.passing() || !database.in_transaction()) throw;
      database.exec("ROLLBACK TO step");
      change = "refused";
      message = fmt::format("table {}: column {} cannot be widened, rows that do not fit it go to the quarantine: {}",
                            table.name, step.column, e.what());
    }
    database.exec("RELEASE step");
    if (!step.column.empty()) changes.columns[step.column] = change;
    if (!message.empty()) changes.messages.push_back(message);
  }
  transaction.commit();
  return changes;
}

}  // namespace sluice::sqlite
