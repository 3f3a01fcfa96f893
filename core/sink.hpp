#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/batch.hpp"
#include "core/connector.hpp"
#include "core/schema.hpp"
#include "core/slice.hpp"
#include "core/task.hpp"

namespace sluice {

struct TableColumn {
  std::string name;
  DataType type;
  std::size_t source;  // its place in the batch's rows
  std::string comment;
  TableColumn(std::string n, DataType t, std::size_t s, std::string c = {})
      : name(std::move(n)), type(t), source(s), comment(std::move(c)) {}
};

enum class TypeChanges { widen, fail };

// "month(date_start)"
struct PartitionBy {
  enum class Unit { day, month, year } unit = Unit::month;
  std::string column;
};

// Where a stream's rows go: what the transform made of the stream, and what `load:` says of the table.
struct Table {
  std::string name;                  // without the sink's schema
  std::vector<TableColumn> columns;  // sluice's own three are the sink's business
  std::vector<std::string> key;      // columns of the primary key, in order; none for append
  std::string partition_column;      // holds the slice's partition; empty: none
  std::string cursor_column;         // date windows: the day; value: decides which of two rows is the newer
  Cursor cursor = Cursor::none;
  LoadMode mode = LoadMode::merge;
  TypeChanges type_changes = TypeChanges::widen;
  std::optional<PartitionBy> partition_by;
  std::vector<std::vector<std::string>> indexes;
  std::string comment;

  const TableColumn* find(std::string_view column) const;
};

// What happened to a slice's rows. read = inserted + updated + unchanged + duplicate + quarantined + filtered.
struct Counts {
  std::int64_t read = 0, inserted = 0, updated = 0, unchanged = 0, duplicate = 0, quarantined = 0, filtered = 0;
  std::int64_t deleted = 0;
  Counts& operator+=(const Counts& other);
  bool balanced() const { return read == inserted + updated + unchanged + duplicate + quarantined + filtered; }
};

// What the sink writes down beside the rows.
struct Publication {
  std::int64_t expected_version = 0;   // of the lane's progress, as read
  std::optional<std::string> done_to;  // the lane's new progress; nothing: it stays where it is (the version moves on)
  std::string days;                    // what a backfill was asked for, as in Sink::progress
  std::int64_t read = 0;               // rows the source gave, rejects included
  std::int64_t filtered = 0;
  bool complete = true;
  bool believe_empty = false;  // an empty answer was asked for twice: delete what the window holds
  bool compare_all = false;    // --full-refresh: compare each row, though the ledger says that nothing changed
};

struct Published {
  enum class Outcome {
    published,
    superseded,    // a later read of the same window is in the table already; only this slice's progress was written
    confirm_empty  // no rows came for a window that has some: nothing was written; ask the source once more
  } outcome = Outcome::published;
  Counts counts;
  std::int64_t repaired = 0;  // characters of the rows' texts that became U+FFFD (core/clean_text.hpp)
  std::int64_t version = 0;   // of the lane's progress now
};

// The rule under which an answer that nobody could read is kept: it is no row, and its slice is read again.
inline constexpr std::string_view structure_rule = "structure";
// The rule of a row that the source refused to give: what is kept of it are its ids.
inline constexpr std::string_view unread_rule = "unread";
// Whether what is kept under a rule is a row, which can be mapped again.
inline bool holds_row(std::string_view rule) {
  return rule != structure_rule && rule != unread_rule;
}

struct QuarantinedRow {
  std::string id, slice, key, reason, rule, raw, run, first_seen, last_seen;
};

// Which rows of a stream's quarantine. What is empty does not narrow.
struct QuarantineFilter {
  std::string id = {}, slice = {}, rule = {}, run = {};
  std::optional<Instant> since = {};  // rejected then or later
};

// A read of a slice that left rows in the quarantine.
struct QuarantinedRead {
  std::string slice, run;
  Instant started;       // where the ledger does not say: when the rows were last seen
  bool complete = true;  // it had all columns
};

// What came of quarantined rows that were tried again: each is one of these.
struct Replayed {
  std::int64_t loaded = 0;
  std::int64_t skipped = 0;  // their key or window was loaded since
  std::int64_t refused = 0;  // they still do not fit
};

// One slice on its way into a table. Destroyed without publish, nothing happened.
class Load {
 public:
  virtual ~Load() = default;
  // Takes the batch's rows and rejects, without waiting. Throws Error(give_up) where they contradict others, or are not
  // what the slice stands for.
  virtual void add(Batch batch) = 0;
  // More rows wait than should; never without any.
  virtual bool full() const = 0;
  // Puts what waits where no reader sees it, mostly out of memory. More may be added meanwhile; one call at a time.
  virtual task<void> make_room() = 0;
  // `add`, and `make_room` where it is full.
  task<void> stage(Batch batch);
  // Columns (of the table) that this slice does not have: existing rows keep their values.
  virtual void without_columns(const std::vector<std::string>& names) = 0;
  // Rows, rejected rows, ledger and progress in one transaction. Throws Error: `retry` when the slice may be read and
  // published again, `give_up` when the rows contradict the key, `give_up_partition` when another process took the lane
  // over. A COMMIT whose reply was lost is resolved here; where it cannot be, that is a `retry` too.
  virtual task<Published> publish(const Publication& publication) = 0;
  // Instead of publish: writes the staged rejects alone, answers under the structure rule, which take the place of the
  // slice's earlier ones in the quarantine. Its other rows there, the table, the ledger and the progress stay.
  virtual task<void> set_aside() = 0;
  // Instead of publish, of a load that was opened with the run and the start of the read that left `rows` in the
  // quarantine: they are tried again, each staged as a row or a reject with the raw text that it has there. In one
  // transaction those that fit are written, except where a later read of the same window, or of the same key, is in the
  // table; these and those leave the quarantine, the others stay with their new reason; the ledger gets a line of the
  // lane `replay`. Throws Error(retry) when one is not in the quarantine any more; a lost COMMIT is resolved as above.
  virtual task<Replayed> replay(const std::vector<QuarantinedRow>& rows) = 0;
};

// A warehouse database. All its connections are made, pooled and renewed inside.
class Sink {
 public:
  virtual ~Sink() = default;

  // The DDL that `prepare` would run, statement by statement; nothing is touched.
  virtual task<std::vector<std::string>> plan(const Table& table) = 0;
  // Makes the table and the bookkeeping, adds columns, widens types; never narrows or drops. Says what it did:
  // column name → "column_added" | "widened" | "refused". A changed key is an Error with the advice to name a new
  // table.
  virtual task<std::map<std::string, std::string>> prepare(const Table& table) = 0;

  // Of the lane's way to this end: a table, and the days that a backfill was asked for ("2026-03-01..2026-03-07";
  // empty: no backfill). What it did for another end, or for a table that was dropped since, says nothing of this one:
  // then only the version, which fences them all, is told.
  virtual task<Progress> progress(const LaneId& lane, const std::string& table, const std::string& days) = 0;
  // Every lane of the pipeline that the sink knows of, with its progress.
  virtual task<std::vector<std::pair<LaneId, Progress>>> lanes(const std::string& pipeline) = 0;
  // The windows of a partition that were published into the table as it stands, whoever did it, as far as the ledger
  // remembers.
  virtual task<std::vector<DayWindow>> loaded_days(const std::string& table, const std::string& partition) = 0;
  // The pipelines that published into the table as it stands.
  virtual task<std::vector<std::string>> loaders(const std::string& table) = 0;
  // The columns of a table as it stands; none: there is no such table.
  virtual task<std::vector<std::string>> columns_of(const std::string& table) = 0;
  // `read_started` orders reads of the same window: the later one wins.
  virtual task<std::unique_ptr<Load>> open(const Table& table, const LaneId& lane, const Slice& slice,
                                           const std::string& run, Instant read_started) = 0;

  virtual task<std::int64_t> count_quarantined(const std::string& pipeline, const std::string& stream) = 0;
  // The newest first.
  virtual task<std::vector<QuarantinedRow>> quarantined(const std::string& pipeline, const std::string& stream,
                                                        const QuarantineFilter& filter, std::size_t limit) = 0;
  // The reads that these rows are of, the newest first.
  virtual task<std::vector<QuarantinedRead>> quarantined_reads(const std::string& pipeline, const std::string& stream,
                                                               const QuarantineFilter& filter) = 0;
  // Forgets the rows; how many they were.
  virtual task<std::int64_t> drop_quarantined(const std::string& pipeline, const std::string& stream,
                                              const QuarantineFilter& filter) = 0;

  // Forgets what the ledger wrote and the quarantine last saw before `before`; how many rows that were. Done a little
  // at a time: nobody who publishes waits for it, and of two processes at it at once one leaves it to the other. Of
  // each window but ranges of values the newest line stays, since it says that the window was loaded.
  virtual task<std::int64_t> prune(Instant before) = 0;

  // Reachable, privileges (on those of `tables` that exist too), clock, versions: what `check --connect` reports.
  virtual task<std::vector<Finding>> check(std::vector<std::string> tables) = 0;
  // Closes its connections, waiting for nothing.
  virtual task<void> close() = 0;
};

}  // namespace sluice
