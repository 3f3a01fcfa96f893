#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/events.hpp"
#include "core/task.hpp"
#include "core/time.hpp"

namespace sluice {

// One execution of a pipeline, as it is remembered.
struct RunRecord {
  std::string id;  // sortable by start: "20260302T120000Z-7f3a"
  std::string pipeline;
  std::string trigger;  // schedule, manual, backfill, dependency
  Instant planned, started;
  std::optional<Instant> ended;  // nothing: still running
  std::optional<Outcome> outcome;
  std::string message;
  Counts counts;
  std::int64_t slices_published = 0, slices_failed = 0;
  int attempt = 1;                            // of the pipeline's own `retry`
  bool passing = false;                       // ended for a cause that may pass: a new process takes it up again
  Duration delay{};                           // from the planned instant, jitter included, to the start; not kept
  std::map<std::string, Instant> watermarks;  // of the streams whose watermark it moved; kept with the pipeline
};

// What is remembered of a pipeline between its runs.
struct PipelineState {
  std::optional<Instant> last_planned;    // newest planned instant that was fired or given up (missed)
  std::optional<Instant> last_started;    // of a run that was not a backfill
  std::optional<Instant> last_succeeded;  // start of the newest succeeded run that was not a backfill
  std::int64_t consecutive_failures = 0;
  bool paused = false;
  std::map<std::string, Instant> watermarks;  // of its streams, as they were last told
};

// What sluice itself remembers: runs and schedules. How far data has been loaded is not here but in the sinks.
class StateStore {
 public:
  virtual ~StateStore() = default;
  virtual task<PipelineState> pipeline(const std::string& name) = 0;
  virtual task<void> set_paused(const std::string& pipeline, bool paused) = 0;
  // The fire of `planned` is settled (a run was started, or it was missed): it never fires again.
  virtual task<void> set_last_planned(const std::string& pipeline, Instant planned) = 0;
  virtual task<void> run_started(const RunRecord& run) = 0;
  // Also moves the pipeline's last_succeeded and consecutive_failures (not for backfills) and its watermarks.
  virtual task<void> run_ended(const RunRecord& run) = 0;
  // Newest first; of all pipelines when `pipeline` is empty.
  virtual task<std::vector<RunRecord>> runs(const std::string& pipeline, std::size_t limit) = 0;
  virtual task<std::optional<RunRecord>> run(const std::string& id) = 0;
  // Ends the records of runs that a killed process left open: failed, "interrupted: the process ended". Gives them.
  virtual task<std::vector<RunRecord>> close_orphans(const std::string& pipeline) = 0;
  // Throws when the store cannot be read and written.
  virtual task<void> probe() = 0;
};

}  // namespace sluice
