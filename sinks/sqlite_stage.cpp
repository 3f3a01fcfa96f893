#include "sinks/sqlite_stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "sinks/sqlite_schema.hpp"

namespace sluice::sqlite {
namespace {

std::vector<StoredColumn> columns_of(Database& database, const Table& table) {
  const auto existing = read_table(database, table.name);
  if (!existing)
    throw Error(Remedy::retry, fmt::format("table {} is not in {} any more; the next run makes it again", table.name,
                                           database.path()));
  return stored_columns(table, *existing);
}

std::string key_condition(const Table& table) {
  std::string sql;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const auto& name = table.columns[i].name;
    if (std::find(table.key.begin(), table.key.end(), name) == table.key.end()) continue;
    sql += fmt::format("{}{} = ?{}", sql.empty() ? "" : " AND ", sluice::quoted(name), i + 1);
  }
  return sql;
}

std::string parameters(std::size_t count) {
  std::string sql;
  for (std::size_t i = 1; i <= count; ++i) sql += fmt::format("{}?{}", i == 1 ? "" : ", ", i);
  return sql;
}

}  // namespace

const TableColumn* newness(const Table& table) {
  if (table.cursor == Cursor::date || table.cursor_column.empty()) return nullptr;
  return table.find(table.cursor_column);
}

std::string comparable(const TableColumn& column, std::string_view prefix) {
  const auto name = fmt::format("{}{}", prefix, sluice::quoted(column.name));
  const bool number = column.type.type == Type::decimal || column.type.type == Type::int64;
  return number ? fmt::format("CAST({} AS NUMERIC)", name) : name;
}

Stage::Stage(Database& database, const Target& target)
    : database_(database), target_(target), columns_(columns_of(database, target.table)) {
  const auto& table = target.table;
  for (const auto& name : table.key) key_.emplace_back(table.find(name)->source, table.find(name)->type.type);

  std::string sql = fmt::format("CREATE TABLE {} (", name);
  for (const auto& column : columns_) sql += fmt::format("{} {}, ", sluice::quoted(column.name()), column.native());
  if (table.key.empty())
    sql.replace(sql.size() - 2, 2, ")");
  else
    sql += fmt::format("PRIMARY KEY ({})) WITHOUT ROWID", quoted_list(table.key));
  database.exec(fmt::format("DROP TABLE IF EXISTS {}", name));
  database.exec(sql);

  const auto values = parameters(columns_.size());
  const auto* conflict = table.key.empty() ? "" : " ON CONFLICT DO NOTHING";
  insert_.emplace(database.prepare(fmt::format("INSERT INTO {} VALUES ({}){}", name, values, conflict), true));
  if (table.key.empty()) return;

  std::string equalities;
  for (std::size_t i = 0; i < columns_.size(); ++i)
    equalities += fmt::format("{}{} IS ?{}", i == 0 ? "" : ", ", sluice::quoted(columns_[i].name()), i + 1);
  compare_.emplace(
      database.prepare(fmt::format("SELECT {} FROM {} WHERE {}", equalities, name, key_condition(table)), true));
  std::string newer;
  if (const auto* column = newness(table)) {
    const auto at = static_cast<std::size_t>(column - table.columns.data());
    const auto old_value = comparable(*column, "");
    const auto new_value = old_value == sluice::quoted(column->name) ? fmt::format("?{}", at + 1)
                                                                     : fmt::format("CAST(?{} AS NUMERIC)", at + 1);
    newer = fmt::format(" AND ({0} IS NULL OR {1} >= {0})", old_value, new_value);
  }
  std::vector<std::string> names;
  for (const auto& column : columns_) names.push_back(column.name());
  replace_.emplace(database.prepare(fmt::format("UPDATE {} SET ({}) = ({}) WHERE {}{}", name, quoted_list(names),
                                                values, key_condition(table), newer),
                                    true));
}

void Stage::add(Batch& batch) {
  // Only the temporary file is written: the database itself is not locked.
  database_.exec("BEGIN");
  try {
    for (std::size_t row = 0; row < batch.rows(); ++row) add_row(batch, row, batch);
    database_.exec("COMMIT");
  } catch (const Failure& e) {
    throw Failure(e.remedy(),
                  fmt::format("{} (while staging {} in a temporary file; its folder is $SQLITE_TMPDIR, $TMPDIR "
                              "or /var/tmp)",
                              e.what(), target_.slice.id()));
  }
  std::move(batch.rejects.begin(), batch.rejects.end(), std::back_inserter(rejects_));
  batch.rejects.clear();
}

void Stage::add_row(const Batch& batch, std::size_t row, Batch& rejecting) {
  const auto cells = batch.row(row);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    auto& column = columns_[i];
    auto misfit = column.bind(*insert_, static_cast<int>(i) + 1, batch, cells[column.source()]);
    if (!misfit) continue;
    rejecting.rejects.push_back(reject(batch, row, std::move(*misfit)));
    return;
  }
  insert_->run();
  if (database_.changes() > 0) {
    ++rows_;
    return;
  }
  ++duplicates_;
  // The same values for the statements that look at the row that is there already; they fitted a moment ago.
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    auto& column = columns_[i];
    const auto& cell = cells[column.source()];
    column.bind(*compare_, static_cast<int>(i) + 1, batch, cell);
    column.bind(*replace_, static_cast<int>(i) + 1, batch, cell);
  }
  meet_duplicate();
}

void Stage::meet_duplicate() {
  bool differs = false;
  if (compare_->step()) {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (compare_->integer(static_cast<int>(i)) != 0) continue;
      differs = true;
      if (target_.table.cursor == Cursor::date) contradictions_.insert(columns_[i].name());
    }
  }
  compare_->reset();
  if (differs && target_.table.cursor != Cursor::date) replace_->run();
}

Reject Stage::reject(const Batch& batch, std::size_t row, Misfit misfit) {
  Reject reject;
  reject.reason = std::move(misfit.reason);
  reject.rule = std::move(misfit.rule);
  if (!key_.empty()) reject.key = key_text(batch, row, key_);
  reject.raw = batch.raw(row);
  if (!reject.raw.empty()) return reject;
  auto object = nlohmann::json::object();
  for (auto& column : columns_) {
    const auto& cell = batch.row(row)[column.source()];
    if (!cell.is_null()) object[column.name()] = column.text(batch, cell);
  }
  reject.raw = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return reject;
}

void Stage::drop() noexcept {
  insert_.reset();
  compare_.reset();
  replace_.reset();
  try {
    database_.exec(fmt::format("DROP TABLE IF EXISTS {}", name));
  } catch (const Error&) {
    return;  // the next stage tries it again
  }
}

}  // namespace sluice::sqlite
