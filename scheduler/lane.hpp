#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/live_stream.hpp"

namespace sluice {

// Of a slice, a stream, a partition, or a whole run.
struct LoadFailure {
  std::string message;
  bool passing = false;
  std::optional<Duration> wait;  // no other run is worth while before that is over
  LoadFailure(std::string m, bool p) : message(std::move(m)), passing(p) {}
  LoadFailure(std::string m, const Error& e) : message(std::move(m)), passing(e.passing()) {
    if (e.remedy() == Remedy::postpone) wait = e.wait();
  }
};

// What came of a lane's slices.
struct LaneResult {
  Counts counts;
  std::int64_t published = 0, superseded = 0;
  std::vector<LoadFailure> failures;
  std::vector<std::string> incidents;  // of slices that were published
  std::optional<Instant> newest_read;  // start of the read of the last slice, when it was published
};

struct LaneJob {
  LaneId id;
  std::vector<PlannedSlice> slices;
  std::string days;   // see Sink::progress
  Progress progress;  // of the lane, as read
  Priority priority = Priority::scheduled;
  bool compare_all = false;  // a full refresh: believe nothing that an earlier read left behind
  std::string run;
  int parallel = 1;
  std::function<void()> published;  // called after each published slice: the run is alive

  explicit LaneJob(LaneId i) : id(std::move(i)) {}
};

// Brings one lane to its target. Slices are extracted side by side and published one at a time: those that move
// progress in their order, the others when they are ready. A slice that fails for good is reported, its followers are
// loaded all the same but no longer move progress. Throws only cancellation; `result` then holds what was done before
// it.
task<void> run_lane(LaneJob job, LiveStream& stream, RunContext& context, LaneResult& result);

}  // namespace sluice
