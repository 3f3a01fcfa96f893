#include "sinks/sqlite_stage.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/clean_text.hpp"
#include "core/error.hpp"
#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_schema.hpp"

namespace sluice::sqlite {
namespace {

constexpr std::size_t most_held = 8u << 20;

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
    sql += fmt::format("{}{} = ?{}", sql.empty() ? "" : " AND ", quoted_name(name), i + 1);
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
  const auto name = fmt::format("{}{}", prefix, quoted_name(column.name));
  const bool number = column.type.type == Type::decimal || column.type.type == Type::int64;
  return number ? fmt::format("CAST({} AS NUMERIC)", name) : name;
}

Stage::Stage(Database& database, const Target& target)
    : database_(database),
      target_(target),
      columns_(columns_of(database, target.table)),
      holding_(nothing_in_the_way(database, target)),
      rejects_(target.table, target.slice) {
  const auto& table = target.table;
  // 0 and -0 are one key in two texts.
  for (const auto& name : table.key)
    if (table.find(name)->type.type == Type::float64) holding_ = false;
  if (!holding_) prepare_table();
}

void Stage::prepare_table() {
  const auto& table = target_.table;
  std::string sql = fmt::format("CREATE TABLE {} (", name);
  for (const auto& column : columns_) sql += fmt::format("{} {}, ", quoted_name(column.name()), column.native());
  if (table.key.empty())
    sql.replace(sql.size() - 2, 2, ")");
  else
    sql += fmt::format("PRIMARY KEY ({})) WITHOUT ROWID", quoted_list(table.key));
  database_.exec(fmt::format("DROP TABLE IF EXISTS {}", name));
  database_.exec(sql);

  const auto values = parameters(columns_.size());
  const auto* conflict = table.key.empty() ? "" : " ON CONFLICT DO NOTHING";
  insert_.emplace(database_.prepare(fmt::format("INSERT INTO {} VALUES ({}){}", name, values, conflict), true));
  if (table.key.empty()) return;

  std::string equalities;
  for (std::size_t i = 0; i < columns_.size(); ++i)
    equalities += fmt::format("{}{} IS ?{}", i == 0 ? "" : ", ", quoted_name(columns_[i].name()), i + 1);
  compare_.emplace(
      database_.prepare(fmt::format("SELECT {} FROM {} WHERE {}", equalities, name, key_condition(table)), true));
  std::string newer;
  if (const auto* column = newness(table)) {
    const auto at = static_cast<std::size_t>(column - table.columns.data());
    const auto old_value = comparable(*column, "");
    const auto new_value = old_value == quoted_name(column->name) ? fmt::format("?{}", at + 1)
                                                                  : fmt::format("CAST(?{} AS NUMERIC)", at + 1);
    newer = fmt::format(" AND ({0} IS NULL OR {1} >= {0})", old_value, new_value);
  }
  std::vector<std::string> names;
  for (const auto& column : columns_) names.push_back(column.name());
  replace_.emplace(database_.prepare(fmt::format("UPDATE {} SET ({}) = ({}) WHERE {}{}", name, quoted_list(names),
                                                 values, key_condition(table), newer),
                                     true));
}

void Stage::add(Batch batch) {
  clean(batch);
  repaired_ += batch.repaired;
  reject_strays(target_.table, target_.slice, batch);
  rejects_.take(batch);
  if (holding_ && held_bytes_ + batch.bytes() <= most_held) {
    held_bytes_ += batch.bytes();
    held_.push_back(std::move(batch));
    return;
  }
  if (holding_) spill();
  add_to_table(batch);
}

void Stage::clean(Batch& batch) {
  for (std::size_t row = 0; row < batch.rows(); ++row) {
    for (const auto& column : columns_) {
      if (clean_cell(batch, batch.row(row)[column.source()], column.type().type)) continue;
      auto why = column.not_json();
      batch.reject(row, reject_of(target_.table, batch, row, std::move(why.rule), std::move(why.reason)));
      break;
    }
  }
  batch.compact();
}

void Stage::spill() {
  holding_ = false;
  prepare_table();
  for (const auto& batch : std::exchange(held_, {})) add_to_table(batch);
}

void Stage::add_to_table(const Batch& batch) {
  // Only the temporary file is written: the database itself is not locked.
  const bool own_transaction = !database_.in_transaction();
  try {
    if (own_transaction) database_.exec("BEGIN");
    for (std::size_t row = 0; row < batch.rows(); ++row) add_row(batch, row);
    if (own_transaction) database_.exec("COMMIT");
  } catch (const Failure& e) {
    throw Failure(e.remedy(),
                  fmt::format("{} (while staging {} in a temporary file; its folder is $SQLITE_TMPDIR, $TMPDIR "
                              "or /var/tmp)",
                              e.what(), target_.slice.id()));
  }
}

std::vector<Stage::HeldRow> Stage::held_rows() {
  std::vector<StoredColumn*> key;
  for (const auto& name : target_.table.key)
    key.push_back(&*std::find_if(columns_.begin(), columns_.end(), [&](auto& c) { return c.name() == name; }));
  std::vector<HeldRow> rows;
  for (const auto& batch : held_) {
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      auto& row = rows.emplace_back(HeldRow{{}, &batch, i});
      for (auto* column : key) {
        row.key += column->text(batch, batch.row(i)[column->source()]);
        row.key += '\0';  // less than all that a stored text may hold
      }
    }
  }
  if (!key.empty()) std::sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.key < b.key; });
  return rows;
}

std::optional<std::int64_t> Stage::insert_held(Statement& insert) {
  const auto rows = held_rows();
  const auto same = [](const HeldRow& a, const HeldRow& b) { return a.key == b.key; };
  if (!target_.table.key.empty() && std::adjacent_find(rows.begin(), rows.end(), same) != rows.end()) return {};
  for (const auto& row : rows) {
    const auto cells = row.batch->row(row.row);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      auto& column = columns_[i];
      if (column.bind(insert, static_cast<int>(i) + 1, *row.batch, cells[column.source()])) return {};
    }
    insert.run();
  }
  return static_cast<std::int64_t>(rows.size());
}

void Stage::add_row(const Batch& batch, std::size_t row) {
  const auto cells = batch.row(row);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    auto& column = columns_[i];
    auto misfit = column.bind(*insert_, static_cast<int>(i) + 1, batch, cells[column.source()]);
    if (!misfit) continue;
    rejects_.add(reject_of(target_.table, batch, row, std::move(misfit->rule), std::move(misfit->reason)));
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
