#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/batch.hpp"
#include "core/sink.hpp"
#include "core/slice.hpp"

// The rules of publishing that are the same in every sink. All pure.

namespace sluice {

// Which rows of the table a slice stands for, so that publishing it replaces them: those that it does not bring again
// are deleted. `none`: rows never disappear by absence.
enum class Scope {
  none,
  window,    // date windows: the partition's rows of the window's days
  slice,     // append: the rows that carry the slice's id
  partition  // replace: all rows of the partition
};
Scope scope_of(const Table& table);

// Throws Error(give_up) when no column tells the slice's rows from those of other partitions, which publishing it would
// then delete.
void check_scope(const Table& table, const Slice& slice);

// Moves the rows that the slice does not stand for, those of another day or partition, to the batch's rejects (rule
// "window"): no later read of this slice would replace them, and they may overwrite what another slice brought. Every
// sink does this first with each batch.
void reject_strays(const Table& table, const Slice& slice, Batch& batch);
// A row of the batch as a reject, with its key, where that can be read, and the source's own JSON, or its cells.
Reject reject_of(const Table& table, const Batch& batch, std::size_t row, std::string rule, std::string reason);

// The rows of a slice that do not fit, kept until it is published. Throws Error(give_up) when they are more than memory
// should hold: then it is not the rows that are wrong.
class Rejects {
 public:
  static constexpr std::size_t most_bytes = 8 << 20;

  Rejects(const Table& table, const Slice& slice) : table_(table), slice_(slice) {}
  void add(Reject reject);
  // Takes the batch's.
  void take(Batch& batch);
  const std::vector<Reject>& all() const { return all_; }

 private:
  const Table& table_;
  const Slice& slice_;
  std::vector<Reject> all_;
  std::size_t bytes_ = 0;
};

// What a later read of the same table and partition means for a slice that is about to be published.
enum class Overtaken {
  no,
  wholly,  // a later read of at least the same window is published: this one ends as superseded
  partly   // a later read of a part of the window is published: the slice must be read again
};
// Clocks of hosts that load one table may be so far apart. What the ledger has of a read that begins later than this
// from now was noted by a clock that was wrong, and overtakes nothing.
constexpr Duration clocks_apart = std::chrono::minutes(5);
// `later_windows`: Slice::window() of what was published of the same table and partition and was read later.
Overtaken overtaken(const Slice& slice, std::span<const std::string> later_windows);
// The Error(retry) for Overtaken::partly.
[[noreturn]] void throw_overtaken(const Table& table, const Slice& slice);

// Of `later_windows`, those of days: where a slice was overtaken partly, its rows of these days come too late.
std::vector<DayWindow> later_days(std::span<const std::string> later_windows);

// Rows of the quarantine that were tried again, told apart by whether a reject has their raw text.
struct TriedAgain {
  std::vector<std::string> fit;                                // ids
  std::vector<std::pair<std::string, const Reject*>> refused;  // ids, and why
};
TriedAgain tried_again(const std::vector<QuarantinedRow>& rows, std::span<const Reject> rejects);
// The Error(retry) for rows that are not in the quarantine any more.
[[noreturn]] void throw_not_quarantined(const Table& table, const Slice& slice);
// What the ledger says of them. They are all rows that were read.
Counts counts_of(const Replayed& done, std::int64_t inserted);

// Stable identity of a rejected row: the same row of the same slice, rejected again, keeps its id. `nth` tells equal
// rows apart, from 0.
std::string quarantine_id(const LaneId& lane, const Slice& slice, const Reject& reject, int nth);
// The ids of a slice's rejects, in their order.
std::vector<std::string> quarantine_ids(const LaneId& lane, const Slice& slice, std::span<const Reject> rejects);

// What the ids of a slice's neighbours begin with where it is a range of values. Its read begins where the last
// published one ended, so that it brings what earlier runs could not understand, though it is no slice of theirs.
std::optional<std::string> ids_of_ranges(const Slice& slice);

// The key, one text per key column, of the row that a rejected one would have been. Empty when nobody can tell which
// row of the slice that is, which suspends deletion in the slice: a part of the key cannot be read or has several
// texts, or the row is a stray, which may stand for any row that is missing.
std::vector<std::string> readable_key(const Reject& reject, const Table& table);
// What is said then.
std::string deletion_suspended(const Slice& slice);

// Throws Error(give_up) naming the most frequent reason when more than 10 % of a slice's rows, and more than 10, are
// rejected.
void check_reject_share(const Table& table, const Slice& slice, std::int64_t read, std::span<const Reject> rejects);
// Throws Error(give_up) when the counts do not add up.
void check_balance(const Table& table, const Slice& slice, const Counts& counts);

// Messages that all sinks share.
[[noreturn]] void throw_fenced(const LaneId& lane, std::int64_t expected);
[[noreturn]] void throw_contradiction(const Table& table, const Slice& slice, std::span<const std::string> columns);

}  // namespace sluice
