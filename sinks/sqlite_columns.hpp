#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sink.hpp"
#include "db/sqlite.hpp"
#include "sinks/table_plan.hpp"

namespace sluice::sqlite {

// Why a value cannot be stored.
struct Misfit {
  std::string rule, reason;
};

// A column of a table as its cells are written: what the stream calls it, and what the file holds.
class StoredColumn {
 public:
  StoredColumn(const TableColumn& column, const ExistingTable::Field& field, bool in_key);

  const std::string& name() const { return name_; }
  DataType type() const { return type_; }
  bool in_key() const { return in_key_; }
  std::size_t source() const { return source_; }
  std::string_view native() const { return native_; }

  // Binds the cell, whose text is clean, or says why its value does not fit. What is bound may lie in the batch or in
  // this column, until the statement has run.
  std::optional<Misfit> bind(Statement& statement, int at, const Batch& batch, const Cell& cell);
  // Of a cell whose text is not JSON, where the column's is.
  Misfit not_json() const;
  // The value as the file has it, for texts that name a row: a day, an instant, a number.
  std::string text(const Batch& batch, const Cell& cell);
  // A text of a rejected row's key in the file's form.
  std::string key_text(const std::string& part) const;

 private:
  std::string_view format(const Batch& batch, const Cell& cell);
  bool bind_number(Statement& statement, int at, const Batch& batch, const Cell& cell);
  Misfit misfit() const;

  std::string name_;
  DataType type_;
  Type stored_;
  bool known_;  // the file's type is one that is written
  std::string native_;
  std::size_t source_;
  bool in_key_;
  std::string room_;                     // the newest formatted value; written in place, since statements view it
  std::optional<std::int64_t> in_room_;  // of which number: days repeat
};

// Instants as they are stored: "2026-03-02T12:00:00.000000Z", always 27 characters, so that they sort.
std::string stored_instant(Instant when);

// The table's columns in their order. Throws Error(retry) where one is missing: the table must be prepared again.
std::vector<StoredColumn> stored_columns(const Table& table, const ExistingTable& existing);

}  // namespace sluice::sqlite
