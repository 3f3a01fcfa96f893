#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "core/sink.hpp"
#include "db/sqlite.hpp"
#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_columns.hpp"
#include "sinks/sqlite_region.hpp"

namespace sluice::sqlite {

// The newer of two rows is the one with the greater value of this column; nothing: the one that came later.
const TableColumn* newness(const Table& table);
// A value of the newness column in a form that compares.
std::string comparable(const TableColumn& column, std::string_view prefix);

// The rows of one slice, where nobody else sees them: in memory while they are few and need only be inserted, else in a
// temporary table of one connection, in the order of their key. Of a key that comes twice, report streams keep the
// first, object streams the newest.
class Stage {
 public:
  static constexpr std::string_view name = "temp.\"_stage\"";

  Stage(Database& database, const Target& target);
  // Repairs the batch's texts and takes its rejects.
  void add(Batch batch);
  // The rows are in memory: `insert_held` or `spill` before anything is asked of the temporary table.
  bool holding() const { return holding_; }
  // Inserts them into the target by a statement whose first parameters are the columns. Nothing, and perhaps a part of
  // the rows inserted, where it is not as simple as that: a key twice, a value that does not fit.
  std::optional<std::int64_t> insert_held(Statement& insert);
  // Moves them to the temporary table.
  void spill();
  // Frees the space, as far as it can. The stage is of no use after it.
  void drop() noexcept;

  std::int64_t rows() const { return rows_; }
  std::int64_t duplicates() const { return duplicates_; }
  std::int64_t repaired() const { return repaired_; }  // characters of their texts
  const std::vector<Reject>& rejects() const { return rejects_.all(); }
  // Columns in which rows of one key differ, of a stream whose key should tell all rows apart.
  const std::set<std::string>& contradictions() const { return contradictions_; }
  const std::vector<StoredColumn>& columns() const { return columns_; }

 private:
  struct HeldRow {
    std::string key;
    const Batch* batch;
    std::size_t row;
  };
  std::vector<HeldRow> held_rows();
  void prepare_table();
  void clean(Batch& batch);
  void add_to_table(const Batch& batch);
  void add_row(const Batch& batch, std::size_t row);
  void meet_duplicate();

  Database& database_;
  const Target& target_;
  std::vector<StoredColumn> columns_;
  std::optional<Statement> insert_, compare_, replace_;
  bool holding_;
  std::size_t held_bytes_ = 0;
  std::vector<Batch> held_;
  Rejects rejects_;
  std::set<std::string> contradictions_;
  std::int64_t rows_ = 0, duplicates_ = 0, repaired_ = 0;
};

}  // namespace sluice::sqlite
