#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/batch.hpp"
#include "core/error.hpp"
#include "core/schema.hpp"
#include "core/settings.hpp"
#include "core/slice.hpp"
#include "core/task.hpp"

namespace sluice {

// Whose turn it is at a rate limit: backfills never take the share that is reserved for scheduled runs.
enum class Priority { scheduled, backfill };

// Where a connector pushes what it read. Awaiting `emit` is paging, back-pressure and cancellation in one.
class Output {
 public:
  virtual ~Output() = default;
  // Hands rows on, waiting for room. What it throws is about them: it must come through.
  virtual task<void> emit(Batch batch) = 0;
  // The slice could be had only without these columns: they keep their old values and the ledger says `complete =
  // false`.
  virtual void without_columns(const std::vector<std::string>& names, const std::string& why) = 0;
  // The rows are loaded, and yet something about them is wrong that a person has to look at: the run is no success.
  virtual void incident(const std::string& why) = 0;
  virtual Priority priority() const = 0;
  // Waits for something slow with empty hands (a report that is being made, a turn at the rate limit) and leaves the
  // slice's place among those that are read side by side to others meanwhile. What `waiting` throws comes through.
  virtual task<void> away(task<void> waiting) { return waiting; }
};

// The source does not give this partition at all (an event that cannot be exported): it is said once and left out,
// which is no failure.
class NotOffered : public Error {
 public:
  explicit NotOffered(const std::string& why) : Error(Remedy::give_up, why) {}
};

// An answer is not built as the connector knows it: the API has changed. Nothing of the slice can be loaded, its
// progress stays, and the answer is kept in the quarantine.
class UnknownStructure : public Error {
 public:
  // `what` says where, what was expected and what came; `place` is the member of the answer that it is about.
  UnknownStructure(std::string place, const std::string& what, std::string answer)
      : Error(Remedy::give_up, what), place_(std::move(place)), answer_(std::move(answer)) {}
  const std::string& place() const { return place_; }
  const std::string& answer() const { return answer_; }

 private:
  std::string place_, answer_;
};

// Something worth telling the user of `check`.
struct Finding {
  enum class Level { ok, warning, error } level = Level::ok;
  std::string message;
  Finding(Level l, std::string m) : level(l), message(std::move(m)) {}
};

// One source. Nearly a function: (stream, slice) → batches. It keeps no cursor, schedule, metric or log of its own, and
// does not retry: `Api` repeats requests, the lane repeats slices. Asking differently (a smaller page, half a window,
// fewer fields, a report made anew) is its own business, inside one slice.
class Connector {
 public:
  virtual ~Connector() = default;

  // The streams as they are without options, in a sensible order of loading. No I/O.
  virtual std::vector<StreamSpec> catalogue() const = 0;
  // The stream `from` (a name of the catalogue) shaped by a stream's options; checks what the option table cannot, and
  // adds a message per fault to `faults`.
  virtual StreamSpec configure(const std::string& from, const Settings& options, Faults& faults) const = 0;
  // The types of columns that `configure` could not know and gave as text, by their names: asked of the source before
  // the stream's table is made.
  virtual task<std::map<std::string, DataType>> types(const StreamSpec&) {
    co_return std::map<std::string, DataType>();
  }
  // Accounts, customers, events … of the stream. A stream without partitions has one with an empty id.
  virtual task<std::vector<Partition>> partitions(const StreamSpec& stream) = 0;
  // Cursor::value: up to which value it is safe to read, to be stored as the next `done_to`. `at` is the instant that
  // the run stands for: now, or earlier; where values are instants, the horizon is not after it.
  virtual task<std::string> horizon(const StreamSpec& stream, const Partition& partition, Instant at) = 0;
  // All rows of the slice, as batches of `stream.columns` in their order.
  virtual task<void> read(const StreamSpec& stream, const Slice& slice, Output& out) = 0;
  // Rows of a reply that was saved in a file, for `preview --input`, or of one row of it, for replaying the quarantine.
  // `partition` is the one that they are of, empty where nobody knows. Throws Error for what holds no rows: a refusal,
  // or no reply at all.
  virtual Batch parse(const StreamSpec& stream, const std::string& partition, std::string_view reply) const = 0;
  // The first day that the source still has, for Cursor::date.
  virtual std::optional<Day> earliest(const StreamSpec&, const Partition&) const { return {}; }
  // How many slices are worth extracting side by side, all runs together.
  virtual int parallel_slices() const { return 4; }
  // Requests that reading `slices` slices would take, for `plan`; nothing where it cannot be told.
  virtual std::optional<std::int64_t> estimated_requests(const StreamSpec&, std::int64_t /*slices*/) const {
    return {};
  }
  // What its requests wait for at present, all runs together, for people; empty where that cannot be told.
  virtual std::string waiting_for() { return {}; }
  // Where its API answers, whose clock and certificate `check --connect` looks at; empty: it has none.
  virtual std::string base_url() const { return {}; }
  // Credentials, permissions, versions: what `check --connect` reports.
  virtual task<std::vector<Finding>> check() = 0;
};

}  // namespace sluice
