#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/sink.hpp"
#include "tests/support/events.hpp"

// One suite for every sink: what is promised of tables holds in each database alike.

namespace sluice::conformance {

// A sink, the loop it runs on, and a way to look into its database from outside. Fresh and empty when it is made.
class SinkUnderTest {
 public:
  virtual ~SinkUnderTest() = default;
  virtual std::string kind() const = 0;
  virtual Clock& clock() = 0;
  virtual void run(task<void> t) = 0;
  template <typename T>
  T run(task<T> t) {
    std::optional<T> result;
    run(detail::store(std::move(t), result));
    return std::move(*result);
  }
  // Another sink on the same database, as another process would make it.
  virtual std::unique_ptr<Sink> make(Events& events) = 0;

  // From outside: rows of any statement, their values joined by '|', NULL as "~". Names need no schema.
  virtual std::vector<std::string> query(const std::string& sql) = 0;
  // How `query` shows a value of a type, given as sluice writes it in texts: "true", "2026-03-02T12:00:00Z", ….
  virtual std::string shown(Type type, const std::string& value) const = 0;
  virtual std::vector<std::string> tables() = 0;
  // The comment of a table, or of its column, where the database keeps them; what is not there is empty.
  virtual std::string comment(const std::string& table, const std::string& column) = 0;
};

// The sinks that the suite runs for; makes one of them.
std::vector<std::string> kinds_of_sinks();
std::unique_ptr<SinkUnderTest> make_sink_under_test(const std::string& kind);
std::unique_ptr<SinkUnderTest> sqlite_under_test();
std::unique_ptr<SinkUnderTest> postgres_under_test();
std::unique_ptr<Sink> sqlite_sink_at(const std::string& path, asio::any_io_executor executor, Clock& clock,
                                     Events& events);

// One value of a row: NULL, a number, a text (decimal, JSON, UUID, bytes too), a day, an instant.
using Given =
    std::variant<std::nullptr_t, std::int64_t, int, double, std::string, const char*, Day, Instant, Duration, bool>;
using GivenRow = std::vector<Given>;
Batch batch_of(const Table& table, const std::vector<GivenRow>& rows);

// How a slice is loaded where it is not as usual.
struct How {
  std::string run = "run1";
  std::string lane = "live";
  std::optional<std::string> done_to = {};
  std::string days = {};                     // of a backfill
  std::optional<Instant> read_started = {};  // else a second later at each load
  std::optional<std::int64_t> version = {};  // else what the progress says
  std::vector<Reject> rejects = {};
  std::vector<std::string> without = {};
  std::int64_t filtered = 0;
  std::optional<std::int64_t> read = {};  // else what adds up
  bool believe_empty = false;
  bool complete = true;
};

// A test of the suite runs once for each kind of sink.
class Conformance {
 public:
  Conformance();

  void prepare(const Table& table) { subject->run(sink->prepare(table)); }
  Published load(const Table& table, const Slice& slice, const std::vector<GivenRow>& rows, const How& how = {});
  std::unique_ptr<Load> open(const Table& table, const Slice& slice, const How& how = {});
  void stage(Load& load, const Table& table, const std::vector<GivenRow>& rows);
  Published publish(Load& load, const Slice& slice, std::int64_t read, const How& how = {});
  Progress progress(const std::string& partition, const std::string& lane = "live",
                    const std::string& table = "insights", const std::string& days = {});
  std::vector<std::string> query(const std::string& sql) { return subject->query(sql); }
  std::string one(const std::string& sql);
  // The error that the call ends with.
  Error error_of(const std::function<void()>& call);

  std::unique_ptr<SinkUnderTest> subject;
  test::RecordedEvents events;
  std::unique_ptr<Sink> sink;

 private:
  std::int64_t loads_ = 0;
};

using Rows = std::vector<std::string>;

// A report: (account_id, date_start, ad_id) → impressions, spend, name.
Table insights();
// Objects: id → name, updated_time.
Table campaigns();
// Without a key: account_id, note, number.
Table notes(LoadMode mode);
// Days of March 2026 of an account, both inclusive.
Slice march(const std::string& account, int from, std::optional<int> last = {});
Day day(int of_march);
// A reject whose key can be read, and one whose cannot.
Reject reject_of(std::initializer_list<std::string> key, const std::string& raw = "{}");
Reject unreadable_reject(const std::string& raw = "{}");

}  // namespace sluice::conformance
