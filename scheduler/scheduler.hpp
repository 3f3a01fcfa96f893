#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/retry.hpp"
#include "core/state.hpp"
#include "scheduler/agenda.hpp"

namespace sluice {

// "20260302T120000Z-7f3a": sorts by start; no two of one process are the same.
std::string make_run_id(Instant start);

// One run that is to be made.
struct RunRequest {
  RunRecord record;              // id, pipeline, trigger, planned, started, attempt, delay
  std::optional<Instant> up_to;  // `missed: all`: this run stands for a missed fire and reads no further than here
  std::function<std::string()> why_cancelled;  // for its message, should it be
};
// Makes it, from RunStarted to RunEnded. An Error that it throws is the run's failure.
using Runner = std::function<task<RunEnded>(RunRequest)>;

// One pipeline as people see it.
struct PipelineStatus {
  std::string name;
  bool enabled = true, paused = false;
  bool waiting = false;                // a fire waits for its start
  std::optional<std::string> running;  // the run's id
  std::optional<Instant> running_since;
  std::optional<Instant> next_fire;  // jitter included
  std::optional<Instant> next_retry;
  std::optional<Outcome> last_outcome;  // of the newest run that has ended and was not a backfill
  std::optional<std::string> last_run;
  std::optional<Instant> last_ended;
  std::string last_message;
  std::optional<Instant> last_started, last_succeeded;
  std::int64_t consecutive_failures = 0;
};

// Fires pipelines when they are due and sees their runs through. What has been fired is in the state before a run
// begins: an instant never fires twice, whatever becomes of the process or the clock.
//
// A start is written down as an open run first and as the settled instant second. A process that dies in between
// leaves both an open run, which the next one closes as interrupted, and the fire owed, which the next one treats as it
// treats any that fell due while nobody was there (`missed`).
class Scheduler {
 public:
  Scheduler(asio::any_io_executor executor, Clock& clock, Events& events, StateStore& state, Rng& rng,
            int concurrent_runs, Runner runner);
  ~Scheduler();

  // Takes over a new list; the first time before `run`. Unchanged pipelines keep their next fire; runs go on even where
  // their pipeline is gone. Throws when the state cannot be read; then everything is as before.
  task<void> replace_pipelines(std::vector<ScheduledPipeline> pipelines);
  // Fires until drained. Cancelled, it cancels the runs and waits for their end; a new process takes them up again.
  task<void> run();
  // Starts nothing more and lets what is running end within `timeout`, backfills too; then cancels the runs that were
  // fired, and waits for their end. A backfill that still goes on is its owner's to cancel.
  task<void> drain(Duration timeout);
  // How many may run at a time, from now on; those that run go on.
  void set_concurrent_runs(int runs);

  // Awaits `backfill`, which is a run like the others, as soon as there is a place for it among the concurrent runs
  // that no fire waits for. Backfills leave one place to the fires where there are several. Not while draining: cancel
  // it.
  task<void> run_beside(task<void> backfill);

  // By hand. These throw Error(give_up) with the reason where it cannot be.
  // The id of the run, or nothing when it waits for another run to end.
  std::optional<std::string> trigger(const std::string& pipeline);
  task<void> pause(std::string pipeline);
  task<void> resume(std::string pipeline);
  // The running run, else what waits for its start. A retry that was planned is dropped too. `why` becomes the run's
  // message: "cancelled by …".
  void cancel(const std::string& pipeline, const std::string& why);

  int running() const;  // backfills too
  // A run of it that was fired goes on, if perhaps the pipeline is in the list no more.
  bool running(const std::string& pipeline) const;
  std::vector<PipelineStatus> status() const;
  // Which pipeline fires next, and when, jitter included; nothing where none will.
  std::optional<std::pair<std::string, Instant>> next_fire() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
