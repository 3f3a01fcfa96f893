#pragma once
#include <string>
#include <vector>

#include "db/postgres.hpp"
#include "sinks/postgres_catalog.hpp"
#include "sinks/publish_rules.hpp"

namespace sluice {

struct CopyColumn;

// The SQL of publishing one slice. Values travel as parameters, names are quoted.
class PostgresStatements {
 public:
  PostgresStatements(std::string schema, const Table& table, const std::vector<CopyColumn>& columns, const LaneId& lane,
                     const Slice& slice, std::string run, Instant read_started);

  // Now: what changed rows carry in `_sluice_loaded_at`.
  void set_loaded_at(Instant when) { loaded_at_ = when; }

  // Two temporary tables. Of a slice that is published from memory: emptied by each COMMIT. `kept`: of a slice whose
  // rows were sent ahead while it was read; they outlive transactions.
  std::string stage(bool kept) const;
  std::string create_stage(bool kept) const;
  std::string copy_to_stage(bool kept) const;
  std::string copy_to_table() const;

  // Publishes of one partition of one table come one after another.
  pg::Statement lock() const;
  // Must touch one row.
  pg::Statement fence(const Publication& publication) const;
  // Windows of the partition that were read after this slice.
  pg::Statement later_reads() const;
  // How many rows the slice stands for (Scope::none: 1 when the table has any).
  pg::Statement count_scope() const;

  pg::Statement update(bool kept, const std::vector<std::string>& without) const;
  // Of rows that are tried again: leaves alone what the same read or a later one brought.
  pg::Statement update_older(bool kept) const;
  pg::Statement insert_new(bool kept) const;
  pg::Statement insert_all(bool kept) const;
  pg::Statement delete_scope() const;
  // `spared`: keys of rejected rows, one text per key column.
  pg::Statement delete_missing(bool kept, const std::vector<std::vector<std::string>>& spared) const;

  // For stages whose rows were not compared in memory: whether there are duplicates (their number), per column whether
  // they differ, and the removal of all but the newest.
  pg::Statement count_duplicates(bool kept) const;
  pg::Statement differing(bool kept) const;
  pg::Statement drop_duplicates(bool kept) const;

  std::vector<pg::Statement> quarantine(const std::vector<Reject>& rejects) const;
  // The same for answers under the structure rule: only these are replaced.
  std::vector<pg::Statement> set_aside(const std::vector<Reject>& rejects) const;

  // Rows of the quarantine that are tried again. Holds them until the transaction's end: a row each that is there.
  pg::Statement hold_quarantined(const std::vector<std::string>& ids) const;
  pg::Statement remove_quarantined(const std::vector<std::string>& ids) const;
  pg::Statement refuse_again(const std::vector<std::pair<std::string, const Reject*>>& refused) const;
  // One row when none of them is there.
  pg::Statement none_quarantined(const std::vector<std::string>& ids) const;
  // Takes the rows of these days out of the stage.
  pg::Statement drop_days(bool kept, const std::vector<DayWindow>& days) const;

  // What the ledger says of this slice's window since it was last published: window, digest, compared_at where it is
  // less than a day old. The first row is the window's own.
  pg::Statement last_publishes() const;

  struct LedgerEntry {
    Counts counts;
    bool complete = true, superseded = false;
    std::int64_t version = 0;
    std::optional<std::string> digest;
    std::optional<std::string> compared_at;  // nothing: now
  };
  pg::Statement ledger(const LedgerEntry& entry) const;
  // One row when the slice's transaction went through.
  pg::Statement committed(std::int64_t version) const;

  // Keys of this column can be compared with the text that a rejected row was given with.
  static bool comparable_as_text(std::uint32_t oid);

 private:
  struct Params;
  std::string target() const;
  std::string scope(Params& params, const char* alias) const;
  std::string same_key(const char* a, const char* b) const;
  std::string own_values(Params& params) const;
  std::string bookkeeping(std::string_view table) const;
  pg::Statement update_where(bool kept, const std::vector<std::string>& without, bool older) const;
  std::vector<pg::Statement> replace_quarantine(const std::vector<Reject>& rejects, std::string_view rule) const;
  std::string insert_into() const;
  std::string select_rows(Params& params, bool kept) const;

  std::string schema_, run_;
  const Table& table_;
  const std::vector<CopyColumn>& columns_;
  const LaneId& lane_;
  const Slice& slice_;
  Instant read_started_, loaded_at_;
  std::vector<std::string> names_;  // of columns_
};

// '{"a","b"}'
std::string array_literal(const std::vector<std::string>& values);

}  // namespace sluice
