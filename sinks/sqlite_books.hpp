#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/sink.hpp"
#include "db/sqlite.hpp"
#include "sinks/sqlite_region.hpp"

// What the bookkeeping tables say, and are told, inside a transaction that writes a slice's rows.

namespace sluice::sqlite {

// Windows of the slice's table and partition that were published and read after it, as seen `now`.
std::vector<std::string> later_windows(Database& database, const Target& target, Instant now);

// The rejects take the place of the slice's rows in the quarantine, or of those under one `rule`.
void replace_quarantine(Database& database, const Target& target, std::span<const Reject> rejects,
                        const std::string& now, std::string_view rule = {});
// Answers of earlier runs that nobody could read, for ranges of values that a published one brings again.
void remove_answers_of_ranges(Database& database, const Target& target);

// A line of the ledger by its rowid, or a row of the quarantine by its id.
struct BookEntry {
  std::int64_t line = 0;
  std::string quarantined;
};
// What Sink::prune forgets. A reader keeps nobody from writing; the writing is done apart, a few entries at a time.
std::vector<BookEntry> books_before(Database& database, Instant before);
void forget(Database& database, const std::vector<BookEntry>& entries, Instant before);

struct LedgerLine {
  Counts counts;
  bool complete = true, superseded = false;
  std::int64_t version = 0;
};
void write_ledger(Database& database, const Target& target, const LedgerLine& line, const std::string& now);

// The disk may fail after the moment that counts: then `was_committed` asks the file.
void commit(Database& database, Transaction& transaction, const std::function<bool()>& was_committed);

}  // namespace sluice::sqlite
