#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/sink.hpp"
#include "db/sqlite.hpp"
#include "sinks/sqlite_columns.hpp"

namespace sluice::sqlite {

// All that a slice's load is about. Its own copy: what the caller gave may be gone when the worker uses it.
struct Target {
  Table table;
  LaneId lane;
  Slice slice;
  std::string run;
  Instant read_started;

  Target(Table t, LaneId l, Slice s, std::string r, Instant started)
      : table(std::move(t)), lane(std::move(l)), slice(std::move(s)), run(std::move(r)), read_started(started) {}
};

// The newer of two rows is the one with the greater value of this column; nothing: the one that came later.
const TableColumn* newness(const Table& table);
// A value of the newness column in a form that compares.
std::string comparable(const TableColumn& column, std::string_view prefix);

// The rows of one slice in a temporary table of one connection, where nobody else sees them; in the order of their key.
// Of a key that comes twice, report streams keep the first, object streams the newest.
class Stage {
 public:
  static constexpr std::string_view name = "temp.\"_stage\"";

  Stage(Database& database, const Target& target);
  void add(Batch& batch);
  // Frees the space, as far as it can. The stage is of no use after it.
  void drop() noexcept;

  std::int64_t rows() const { return rows_; }
  std::int64_t duplicates() const { return duplicates_; }
  const std::vector<Reject>& rejects() const { return rejects_; }
  // Columns in which rows of one key differ, of a stream whose key should tell all rows apart.
  const std::set<std::string>& contradictions() const { return contradictions_; }
  const std::vector<StoredColumn>& columns() const { return columns_; }

 private:
  void add_row(const Batch& batch, std::size_t row, Batch& rejecting);
  void meet_duplicate();
  Reject reject(const Batch& batch, std::size_t row, Misfit misfit);

  Database& database_;
  const Target& target_;
  std::vector<StoredColumn> columns_;
  std::vector<std::pair<std::size_t, Type>> key_;  // of the batch's rows
  std::optional<Statement> insert_, compare_, replace_;
  std::vector<Reject> rejects_;
  std::set<std::string> contradictions_;
  std::int64_t rows_ = 0, duplicates_ = 0;
};

}  // namespace sluice::sqlite
