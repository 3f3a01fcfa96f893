#pragma once
#include <cstdint>
#include <map>
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

// What a later read of the same table and partition means for a slice that is about to be published.
enum class Overtaken {
  no,
  wholly,  // a later read of at least the same window is published: this one ends as superseded
  partly   // a later read of a part of the window is published: the slice must be read again
};
// `later_windows`: Slice::window() of what was published of the same table and partition and was read later.
Overtaken overtaken(const Slice& slice, std::span<const std::string> later_windows);
// The Error(retry) for Overtaken::partly.
[[noreturn]] void throw_overtaken(const Table& table, const Slice& slice);

// Stable identity of a rejected row: the same row of the same slice, rejected again, keeps its id. `nth` tells equal
// rows apart, from 0.
std::string quarantine_id(const LaneId& lane, const Slice& slice, const Reject& reject, int nth);
// The ids of a slice's rejects, in their order.
std::vector<std::string> quarantine_ids(const LaneId& lane, const Slice& slice, std::span<const Reject> rejects);

// The key of a rejected row as one text per key column; empty when it cannot be read in full, which suspends deletion
// in the row's window.
std::vector<std::string> readable_key(const Reject& reject, std::size_t key_columns);
// JSON array of texts, as Reject::key has it.
std::string key_json(std::span<const std::string> values);
// The raw row of a reject whose source gave no JSON.
std::string object_json(std::span<const std::pair<std::string, std::string>> fields);

// Throws Error(give_up) naming the most frequent reason when more than 10 % of a slice's rows, and more than 10, are
// rejected.
void check_reject_share(const Table& table, const Slice& slice, std::int64_t read, std::span<const Reject> rejects);
// Throws Error(give_up) when the counts do not add up.
void check_balance(const Table& table, const Slice& slice, const Counts& counts);

// Messages that all sinks share.
[[noreturn]] void throw_fenced(const LaneId& lane, std::int64_t expected);
[[noreturn]] void throw_contradiction(const Table& table, const Slice& slice, std::span<const std::string> columns);

}  // namespace sluice
