#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/connector.hpp"
#include "core/events.hpp"
#include "core/retry.hpp"
#include "core/sink.hpp"
#include "core/state.hpp"
#include "scheduler/pipeline.hpp"
#include "scheduler/plan.hpp"

namespace sluice {

// How many of `all` backfills, or the slices of one lane, may take together: one is left to the others.
constexpr int some_of(int all) {
  return std::max(1, all - 1);
}

// Slices, and a run's other calls to its sink, are tried by this. Bounded by attempts alone: a report, or a throttle's
// pause, may take longer than any limit on time.
constexpr RetryPolicy retry_within_run{3, std::chrono::seconds(1), std::chrono::minutes(1)};

// A source as all its runs share it.
struct SharedSource {
  Connector& connector;
  Semaphore places;           // slices being extracted
  Semaphore backfill_places;  // those of backfills
  SharedSource(Connector& c, const asio::any_io_executor& executor)
      : connector(c), places(executor, c.parallel_slices()), backfill_places(executor, some_of(c.parallel_slices())) {}
};

// A sink as all its runs share it.
struct SharedSink {
  Sink& sink;
  Semaphore permits;           // slices that hold, or may soon hold, one of its connections
  Semaphore backfill_permits;  // those of backfills
  int connections;
  SharedSink(Sink& s, const asio::any_io_executor& executor, int n)
      : sink(s), permits(executor, n), backfill_permits(executor, some_of(n)), connections(n) {}
};

// What runs leave for later runs of the same process.
struct Remembered {
  // (pipeline, stream, partition) → start of the read of its newest published window.
  std::map<std::tuple<std::string, std::string, std::string>, Instant> watermarks;
  // Partitions already reported as inactive: pipeline/stream/partition.
  std::set<std::string> reported_inactive;
  // False: that the partition is left out was said before.
  bool report(const LaneId& lane) {
    return reported_inactive.insert(lane.pipeline + '/' + lane.stream + '/' + lane.partition).second;
  }
};

struct RunContext {
  asio::any_io_executor executor;
  SharedSource& source;
  SharedSink& sink;
  Semaphore& memory;  // bytes of batches in flight, all runs together
  Clock& clock;
  Events& events;
  Rng& rng;
  Remembered& remembered;
};

// What of a pipeline to run.
struct RunOptions {
  std::vector<std::string> streams;  // empty: all that are enabled
  bool full_refresh = false;
  std::optional<Backfill> backfill;
  std::optional<Instant> up_to;                // stands for a missed fire: reads no further than here
  int parallel = 0;                            // slices of one lane at a time; 0: as many as the source takes
  std::function<std::string()> why_cancelled;  // asked for the message of a run that was
};

// One run of a pipeline from its first request to its outcome. Of `run` it reads what is known before a run: id,
// pipeline, trigger, planned, started, delay. Gives the event that it emitted at its end. A failed slice stops neither
// other partitions nor other streams. Cancelled from outside it returns too, with what it had done.
task<RunEnded> run_pipeline(const Pipeline& pipeline, const RunRecord& run, const RunOptions& options,
                            RunContext& context);

}  // namespace sluice
