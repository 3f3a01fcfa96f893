#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/connector.hpp"
#include "core/error.hpp"

namespace sluice::test {

// A connector whose answers the test writes: rows per slice id, errors that come first, a delay per read.
// Its stream `days` has columns (account, day, n); `objects` has (id).
class ScriptedConnector final : public Connector {
 public:
  explicit ScriptedConnector(Clock& clock) : clock_(clock) {}

  struct Answer {
    std::vector<Error> errors;                     // thrown by the first reads
    std::vector<std::vector<std::int64_t>> reads;  // values of n, read after read; the last one repeats
    Duration elsewhere{};                          // first it waits for this, its place left to others
    Duration delay{};
    Duration after_rows{};                    // away again, with rows handed on
    std::map<std::string, DataType> unknown;  // fields that no column asks for, by path
    std::int64_t repaired = 0;                // characters
    std::size_t count = 0;                    // of the reads that gave rows
  };
  std::map<std::string, Answer> answers;
  std::vector<Partition> accounts{Partition("a")};
  std::vector<std::string> reads;  // slice ids, in order
  std::vector<StreamSpec> specs;   // what each read was asked for
  int now_reading = 0, most_reading = 0;
  std::optional<Error> partitions_error;
  std::function<task<void>()> listing;  // waited for before the partitions are given
  std::string waits_for;
  std::string broken_account;  // of which nothing can be said without an exception that is no Error

  static StreamSpec days() {
    StreamSpec spec;
    spec.name = "days";
    spec.columns = {Column("account", Type::text), Column("day", Type::date), Column("n", Type::int64)};
    spec.key = {"account", "day", "n"};
    spec.cursor = Cursor::date;
    spec.partition_column = "account";
    spec.cursor_column = "day";
    return spec;
  }

  std::vector<StreamSpec> catalogue() const override { return {days()}; }
  StreamSpec configure(const std::string&, const Settings&, Faults&) const override { return days(); }
  std::map<std::string, DataType> known_types;
  task<std::map<std::string, DataType>> types(const StreamSpec&) override { co_return known_types; }
  task<std::vector<Partition>> partitions(const StreamSpec&) override {
    if (partitions_error) throw *partitions_error;
    if (listing) co_await listing();
    co_return accounts;
  }
  task<std::string> horizon(const StreamSpec&, const Partition&, Instant at) override { co_return format_instant(at); }
  std::optional<Day> earliest(const StreamSpec&, const Partition& partition) const override {
    if (partition.id == broken_account) throw std::out_of_range("a mistake of ours");
    return {};
  }
  std::string waiting_for() override { return waits_for; }
  int parallel_slices() const override { return 4; }

  task<void> read(const StreamSpec& spec, const Slice& slice, Output& out) override {
    reads.push_back(slice.id());
    specs.push_back(spec);
    auto& answer = answers[slice.id()];
    if (answer.elsewhere > Duration::zero()) co_await out.away(clock_.sleep_for(answer.elsewhere));
    most_reading = std::max(most_reading, ++now_reading);
    struct Left {
      int& n;
      ~Left() { --n; }
    } left{now_reading};
    co_await clock_.sleep_for(answer.delay);
    if (!answer.errors.empty()) {
      const auto error = answer.errors.front();
      answer.errors.erase(answer.errors.begin());
      throw error;
    }
    Batch batch(spec.columns.size());
    if (!answer.reads.empty()) {
      for (const auto n : answer.reads[std::min(answer.count, answer.reads.size() - 1)]) {
        const auto account = batch.add_text(slice.partition().id);
        auto row = batch.add_row();
        row[0] = account;
        row[1] = Cell::of(slice.day_window() ? slice.day_window()->from - Day(1970, 1, 1) : 0);
        row[2] = Cell::of(n);
      }
    }
    ++answer.count;
    batch.repaired = answer.repaired;
    for (const auto& field : answer.unknown) {
      const auto known = [&](const Column& c) { return c.path == field.first; };
      if (std::none_of(spec.columns.begin(), spec.columns.end(), known)) batch.unknown_fields.insert(field);
    }
    co_await out.emit(std::move(batch));
    if (answer.after_rows > Duration::zero()) co_await out.away(clock_.sleep_for(answer.after_rows));
  }
  // A row as text is its n; what is no number is refused by this reason, and "{}" holds no row.
  Batch parse(const StreamSpec& spec, const std::string& partition, std::string_view reply) const override {
    parsed.emplace_back(reply);
    Batch batch(spec.columns.size());
    const std::string text(reply);
    if (text == "broken") throw Error(Remedy::give_up, "no reply at all");
    if (text == "{}") return batch;
    const auto account = batch.add_text(partition);
    auto row = batch.add_row();
    row[0] = account;
    row[1] = Cell::of(*parse_day("2026-03-01") - Day(1970, 1, 1));
    if (text.find_first_not_of("0123456789") == text.npos) {
      row[2] = Cell::of(std::int64_t{std::stoll(text)});
    } else {
      batch.drop_last_row();
      batch.rejects.push_back(Reject{{}, "found " + text + ", expected a number", "type", text});
    }
    for (const auto& [path, type] : unknown_when_parsed)
      if (std::none_of(spec.columns.begin(), spec.columns.end(), [&path = path](auto& c) { return c.path == path; }))
        batch.unknown_fields.emplace(path, type);
    return batch;
  }
  mutable std::vector<std::string> parsed;
  std::map<std::string, DataType> unknown_when_parsed;
  task<std::vector<Finding>> check() override { co_return std::vector<Finding>(); }

 private:
  Clock& clock_;
};

}  // namespace sluice::test
