#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/sink.hpp"

namespace sluice::test {

// A sink that keeps everything in maps: for testing what drives a sink. Its rules are the real sinks' in short.
class MemorySink final : public Sink {
 public:
  using Row = std::map<std::string, std::string>;

  task<std::vector<std::string>> plan(const Table& table) override;
  task<std::map<std::string, std::string>> prepare(const Table& table) override;
  task<Progress> progress(const LaneId& lane, const std::string& table, const std::string& days) override;
  task<std::vector<std::pair<LaneId, Progress>>> lanes(const std::string& pipeline) override;
  task<std::vector<DayWindow>> loaded_days(const std::string&, const std::string&) override {
    co_return std::vector<DayWindow>();
  }
  task<std::vector<std::string>> loaders(const std::string& table) override { co_return loaded_by[table]; }
  task<std::vector<std::string>> columns_of(const std::string& table) override { co_return columns[table]; }
  task<std::unique_ptr<Load>> open(const Table& table, const LaneId& lane, const Slice& slice, const std::string& run,
                                   Instant read_started) override;
  task<std::int64_t> count_quarantined(const std::string& pipeline, const std::string& stream) override;
  task<std::vector<QuarantinedRow>> quarantined(const std::string& pipeline, const std::string& stream,
                                                const QuarantineFilter& filter, std::size_t limit) override;
  task<std::vector<QuarantinedRead>> quarantined_reads(const std::string& pipeline, const std::string& stream,
                                                       const QuarantineFilter& filter) override;
  task<std::int64_t> drop_quarantined(const std::string&, const std::string&, const QuarantineFilter&) override {
    co_return 0;
  }
  task<std::int64_t> prune(Instant) override { co_return 0; }
  task<std::vector<Finding>> check(std::vector<std::string>) override { co_return std::vector<Finding>(); }
  task<void> close() override { co_return; }

  // What a test looks at, and how it makes trouble.
  std::map<std::string, std::vector<Row>> rows;           // table → rows
  std::map<std::string, std::vector<Reject>> quarantine;  // "stream slice" → its rejects; a row's id is its raw text
  std::map<LaneId, Progress> progresses;
  std::map<LaneId, std::pair<std::string, std::string>> ends;  // lane → table, days
  std::map<std::string, std::vector<std::string>> loaded_by;   // table → pipelines
  std::vector<std::string> published;                          // slice ids, in order
  std::map<std::string, std::vector<std::string>> columns;     // table → columns
  std::vector<Error> fail_prepares;                            // thrown by the next, first first
  std::vector<Error> fail_publishes;                           // thrown by the next publishes, first first
  std::vector<Error> fail_replays;                             // the same of replays
  std::vector<std::string> replayed;                           // "lane run slice" of those that went through
  std::vector<Error> fail_progresses;                          // thrown by the next questions for it, first first
  std::function<task<void>(const Slice&)> before_publish;      // waited for by each publish
  std::function<task<void>(const Slice&)> before_stage;        // by each batch
  bool lose_next_commit_reply = false;                         // published, and yet an error
  std::vector<std::string> without;                            // columns left out, as told
  std::vector<bool> complete;
  std::vector<bool> compared_all;
  int open_loads = 0;
};

}  // namespace sluice::test
