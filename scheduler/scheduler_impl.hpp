#pragma once
#include <map>
#include <set>
#include <tuple>

#include "scheduler/run.hpp"
#include "scheduler/scheduler.hpp"

namespace sluice {

class Scheduler::Impl {
 public:
  Impl(asio::any_io_executor executor, Clock& clock, Events& events, StateStore& state, Rng& rng, int concurrent_runs,
       Runner runner)
      : executor_(executor),
        clock_(clock),
        events_(events),
        state_(state),
        rng_(rng),
        concurrent_runs_(concurrent_runs),
        runner_(std::move(runner)),
        changed_(executor),
        save_(executor),
        ended_(executor),
        stop_(executor),
        places_(executor),
        replacing_(executor, 1),
        backfills_(executor, some_of(concurrent_runs)),
        started_counting_(clock.now() - clock.uptime()) {}

  task<void> replace(std::vector<ScheduledPipeline> pipelines);
  task<void> run();
  task<void> drain(Duration timeout);
  task<void> run_beside(task<void> backfill);
  std::optional<std::string> trigger(const std::string& name);
  task<void> pause(std::string name, bool paused);
  void cancel(const std::string& name, const std::string& why);
  void set_concurrent_runs(int runs);
  bool running(const std::string& name) const;
  int running() const { return running_ + beside_; }
  std::vector<PipelineStatus> status() const;
  std::optional<std::pair<std::string, Instant>> next_fire() const;

 private:
  struct Running {
    std::string id;
    Instant since;
    TaskGroup* body = nullptr;   // to cancel it by
    std::string cancelled = {};  // why: by a person, or for a newer fire; empty: it is not

    void cancel(std::string why) {
      if (!cancelled.empty()) return;
      cancelled = std::move(why);
      if (body) body->cancel();
    }
    std::string why_cancelled() const { return cancelled.empty() ? "cut short: the daemon was stopped" : cancelled; }
  };

  struct Entry {
    Agenda agenda;
    std::uint64_t number;  // of those that fall due together, the first in the file goes first
    std::optional<Running> running;
    bool removed = false;
    std::optional<Instant> wake, ready;   // its places in the queues
    std::optional<Instant> succeeded;     // end of the newest succeeded run
    Instant free_since = Instant::min();  // end of its last run in this process
    PipelineStatus last;                  // only what is remembered of runs

    Entry(ScheduledPipeline pipeline, const PipelineState& state, std::uint64_t n, Instant now)
        : agenda(std::move(pipeline), state, now), number(n) {}
    const std::string& name() const { return agenda.pipeline().name; }
    void remember(const RunRecord& run) {
      last.last_run = run.id;
      last.last_outcome = run.outcome;
      last.last_ended = run.ended;
      last.last_message = run.message;
    }
  };
  using EntryPtr = std::shared_ptr<Entry>;
  // Loads and saves at a time: those that wait together share the state's transactions.
  static constexpr std::size_t together = 256;
  using Place = std::tuple<Instant, std::uint64_t, Entry*>;

  Entry& find(const std::string& name) const;
  task<void> load(ScheduledPipeline pipeline, EntryPtr& loaded);
  void let_go(const EntryPtr& entry);

  task<void> loop();
  task<void> wait_for_change();
  void look_at_clock();
  Instant next_wake() const { return std::get<Instant>(*timers_.begin()); }
  void apply(Entry& entry, const Agenda::Changes& changes);
  void place(Entry& entry);
  void recall_successes(Entry& entry, const std::vector<std::string>& known);
  void consider_following(Entry& entry);
  void start_ready();
  void start(Entry& entry);

  task<void> execute(EntryPtr entry, RunRequest request);
  task<void> record_and_run(Entry& entry, RunRequest request, RunEnded& ended);
  task<void> save_end(RunRecord record);
  void finish(Entry& entry, const RunRecord& record, const RunEnded& ended);

  task<void> save_loop();
  task<void> save_settled(EntryPtr entry, std::exception_ptr& failure);
  task<void> pause_after_failure(int failures, std::string what, std::exception_ptr failure);
  task<void> wait_for_stop();
  task<void> wait_for_idle();
  void stop_runs();
  void nudge();
  bool full() const { return running() >= concurrent_runs_; }
  bool over() const { return draining_ && running_ == 0; }

  asio::any_io_executor executor_;
  Clock& clock_;
  Events& events_;
  StateStore& state_;
  Rng& rng_;
  int concurrent_runs_;
  Runner runner_;

  std::map<std::string, EntryPtr> entries_;
  std::map<std::string, EntryPtr> leaving_;                    // no longer in the file, and still running
  std::map<std::string, std::vector<std::string>> followers_;  // pipeline → those that fire after it
  std::set<Place> timers_;                                     // by when they want to look at the clock
  std::set<Place> ready_;  // fires that wait for their start, by since when they could
  TaskGroup* group_ = nullptr;
  std::set<TaskGroup*> bodies_;  // of the runs, to cancel them by
  std::uint64_t next_number_ = 0;
  int running_ = 0, beside_ = 0;  // fired runs, backfills
  bool draining_ = false, stopping_ = false, dirty_ = false;
  Signal changed_, save_, ended_, stop_, places_;
  Semaphore replacing_;  // the pipelines, one list at a time
  Semaphore backfills_;
  Instant started_counting_;  // what the wall clock says that uptime counts from; it jumps when the clock is stepped
};

}  // namespace sluice
