#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "scheduler/run.hpp"

namespace sluice {

// A stream while a run is loading it. Slices hold on to the plan they began with; a field that turns up is added by
// replacing the plan.
class LiveStream {
 public:
  LiveStream(const StreamPlan& plan, std::string pipeline, RunContext& context);
  std::shared_ptr<const StreamPlan> plan() const { return plan_; }
  // Makes or alters the table. Throws what Sink::prepare throws.
  task<void> prepare();
  // Adds the fields (path → type) as columns of the stream and of its table; those it has already are left alone. A
  // field whose column's name is taken, or cannot be made, is left out and said.
  task<void> add_fields(std::map<std::string, DataType> fields);
  // It was left out.
  bool refused(const std::string& path) const { return refused_.contains(path); }
  // Says once per run and field that the source gives a field which nobody asked for.
  void note_unknown(const std::map<std::string, DataType>& fields);

 private:
  void refuse(const std::string& path, const std::string& why);

  std::shared_ptr<const StreamPlan> plan_;
  std::string pipeline_;
  RunContext& context_;
  Semaphore altering_;
  std::set<std::string> noted_, refused_;
};

struct LaneFailure {
  std::string message;
  bool passing = false;
  std::optional<Duration> wait;  // no other run is worth while before that is over
  LaneFailure(std::string m, bool p) : message(std::move(m)), passing(p) {}
  LaneFailure(std::string m, const Error& e) : message(std::move(m)), passing(e.passing()) {
    if (e.remedy() == Remedy::postpone) wait = e.wait();
  }
};

// What came of a lane's slices.
struct LaneResult {
  Counts counts;
  std::int64_t published = 0, superseded = 0;
  std::vector<LaneFailure> failures;
  std::vector<std::string> incidents;  // of slices that were published
  std::optional<Instant> newest_read;  // start of the read of the last slice, when it was published
};

struct LaneJob {
  LaneId id;
  std::vector<PlannedSlice> slices;
  std::string days;          // see Sink::progress
  std::int64_t version = 0;  // of the lane's progress, as read
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
