#pragma once
#include <string>
#include <vector>

#include "sinks/copy_encoder.hpp"
#include "sinks/postgres_load.hpp"
#include "sinks/postgres_rows.hpp"
#include "sinks/postgres_statements.hpp"
#include "sinks/publish_rules.hpp"

namespace sluice {

// The key comes first: the bytes of a row's beginning are its identity. Throws Error(retry) where the table lacks one
// of the columns.
std::vector<CopyColumn> copy_columns(const Table& table, const PostgresTable& target);

// The rows of one slice, where nobody else sees them: encoded in memory, and what is more than
// `memory_per_slice` in a temporary table of one session. Of a key that comes twice, object streams keep the newest; of
// a report, rows that contradict each other throw Error(give_up).
class PostgresStage {
 public:
  PostgresStage(const PostgresCore& core, const Table& table, const Slice& slice,
                const std::vector<CopyColumn>& columns, const PostgresStatements& sql);

  // Takes the batch's rows, their texts repaired, and its rejects.
  void add(Batch& batch);
  std::int64_t repaired() const { return repaired_; }  // characters of their texts
  // Once rows went ahead there is no reason to wait for as many as a whole slice mostly has: half of the memory fills
  // while the other half is sent. Not less: a COPY costs the server half a millisecond beside its rows.
  bool full() const {
    const bool enough = rows_.bytes() + being_sent_.bytes() >= memory_ || (sent_ahead_ && rows_.bytes() >= memory_ / 2);
    return enough && rows_.size() > 0;
  }
  // Moves what is in memory to the server; more may be added meanwhile. From then on the slice belongs to this session.
  task<void> send_ahead(pg::Connection& session);

  // All rows are in memory, no two of one key.
  bool held_and_distinct() const { return !sent_ahead_ && told_by_bytes_; }
  // Of all rows, in any order: those of one key that memory did not hold together are all in it.
  std::string digest() const;
  // Of a settled stage: puts the rows straight into the table. `own_fields` are sluice's columns, encoded. Gives how
  // many.
  task<std::int64_t> copy_into_table(pg::Connection& session, std::string own_fields);
  // Inside the publishing transaction: all rows are in the temporary table then.
  task<void> gather(pg::Connection& session);
  // After `gather`: no two rows are of one key then.
  task<void> merge_twins(pg::Connection& session);
  // The transaction of `gather` went through: the session keeps its temporary table for the next slice.
  void committed(pg::Connection& session) const;

  // Some rows were sent ahead, so that all are in the temporary table that outlives transactions: the `kept` of
  // PostgresStatements.
  bool kept() const { return sent_ahead_; }
  std::int64_t gathered() const { return gathered_; }  // rows in the temporary table, after `gather`

  std::int64_t taken() const { return taken_; }  // rows that fit, duplicates included
  std::int64_t duplicates() const { return duplicates_; }
  const std::vector<Reject>& rejects() const { return rejects_.all(); }

 private:
  void take(Batch& batch, std::size_t i);
  std::size_t size_of_key() const;
  void merge_twins(std::size_t twin, std::size_t key_size);
  task<std::int64_t> copy(pg::Connection& session, const EncodedRows& rows, std::string sql, std::string suffix);
  task<void> make_table(pg::Connection& session);

  const Table& table_;
  const Slice& slice_;
  const PostgresStatements& sql_;
  const std::size_t memory_;
  CopyEncoder encoder_;
  const bool told_by_bytes_;  // equal keys have equal bytes
  EncodedRows rows_, being_sent_;
  RowDigest sent_digest_;  // of rows that are no longer in memory
  ByteBuffer scratch_;
  Rejects rejects_;
  std::int64_t taken_ = 0, duplicates_ = 0, repaired_ = 0;
  bool sent_ahead_ = false;
  std::int64_t sent_ = 0;  // rows in the temporary table that outlives transactions
  std::int64_t gathered_ = 0;
  int groups_ = 0;  // COPYs into the temporary table: rows of one are known to be distinct
  bool table_made_ = false;
};

}  // namespace sluice
