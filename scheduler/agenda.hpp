#pragma once
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/events.hpp"
#include "core/retry.hpp"
#include "core/state.hpp"
#include "scheduler/pipeline.hpp"

namespace sluice {

// What the scheduler has to know of a pipeline.
struct ScheduledPipeline {
  std::string name;
  bool enabled = true;
  Schedule schedule;
  RunRetry retry;

  ScheduledPipeline() = default;
  explicit ScheduledPipeline(const Pipeline& p)
      : name(p.name), enabled(p.enabled), schedule(p.schedule), retry(p.retry) {}
};

// One start that a pipeline is owed.
struct Fire {
  Instant planned;      // the schedule's instant; for others, when they were asked for
  Instant due;          // planned, jitter included
  std::string trigger;  // schedule, manual, dependency
  int attempt = 1;
  bool missed = false;  // fell due while nobody was there to run it
  bool queued = false;  // waits for the previous run to end
  bool begun = false;   // a run was made for it: this is another try, and the fire itself is settled

  Fire(Instant p, Instant d, std::string t) : planned(p), due(d), trigger(std::move(t)) {}
};

// The fires of one pipeline: which is next, which wait for their start, which were given up. It knows the rules and
// nothing else: time is an argument, nothing waits.
class Agenda {
 public:
  // What looking at the clock brought about.
  struct Changes {
    std::vector<FireMissed> missed;
    bool cancel_running = false;  // the running run makes way for a newer fire
  };

  // A pipeline that was never seen before owes nothing from before `now`.
  Agenda(ScheduledPipeline pipeline, const PipelineState& remembered, Instant now);

  const ScheduledPipeline& pipeline() const { return pipeline_; }
  bool paused() const { return paused_; }
  bool busy() const { return current_.has_value(); }
  // A fire waits for its start; neither a run of this pipeline nor a quota stands in its way.
  bool ready() const;
  const Fire& front() const { return pending_.front(); }
  std::size_t waiting() const { return pending_.size(); }
  const std::optional<Fire>& later() const { return later_; }
  // Until when a quota that is used up keeps the waiting fire from its start.
  std::optional<Instant> postponed_until() const;
  // The planned instant of the next fire, and when it falls due; nothing for those that have none, or may not fire.
  std::optional<Instant> next_planned() const;
  std::optional<Instant> next_due() const;
  // When `look` should be called next.
  std::optional<Instant> wake() const;

  // Everything that has fallen due goes where the rules want it.
  Changes look(Instant now);
  // Gives up waiting fires that are later than start_deadline allows.
  void drop_late(Instant now, Changes& changes);
  // The first waiting fire is started now.
  Fire begin();
  // The start is remembered: the fire is settled.
  void recorded();
  // The run is over. Plans the retry that the pipeline is due, if any. One that loaded nothing because a quota is used
  // up waits for its start until that is back, with the fires that fall due meanwhile behind it: for `overlap` it goes
  // on.
  void ended(Instant now, const RunEnded& ended, Rng& rng);
  // The process that ran it is gone: `last` is the pipeline's newest run.
  void take_up(const RunRecord& last, Instant now, Rng& rng);

  // By hand. Throws Error(give_up) that says why not.
  void trigger(Instant now);
  // The retry that was planned is not wanted any more.
  void drop_retry();
  // Forgets what waits for its start, as far as a person may want; true when there was something.
  bool forget_waiting();
  void pause();
  void resume(Instant now);
  void configure(ScheduledPipeline pipeline, Instant now);
  // The wall clock was set forward by so much, or back: what waits for a time, and not for an instant, goes on to.
  void clock_stepped(Duration by);
  // True when the clock had been so wrong, before it was set back, that the schedule starts anew from `now`.
  bool clock_went_back(Instant now);

  // The pipelines that it fires after; empty for others.
  const std::vector<std::string>& after() const;
  // One of them has succeeded since this pipeline's last start.
  void succeeded(const std::string& name) { succeeded_.insert(name); }
  // All of them have; and nothing of this pipeline stands in the way of a fire.
  bool may_follow() const;
  Changes follow(Instant now);

  // The newest planned instant that is settled together with all before it.
  Instant settled() const { return settled_; }
  bool unsaved() const { return settled_ > saved_ && next_.has_value(); }
  void saved(Instant settled) { saved_ = std::max(saved_, settled); }

 private:
  bool fires() const { return pipeline_.enabled && !paused_; }
  std::vector<Instant> due_until(Instant until) const;
  void plan_next();
  void accept_due(const std::vector<Instant>& due, Instant now, Changes& changes);
  void offer(Fire fire, Instant now, Changes& changes);
  void settle(Instant planned);
  void miss(std::string_view reason, const std::vector<Instant>& planned, Changes& changes);
  void miss(std::string_view reason, Instant planned, Changes& changes);
  Duration backoff(int attempt, Rng& rng) const;
  bool takes_retry(int attempt) const { return attempt < pipeline_.retry.runs; }

  ScheduledPipeline pipeline_;
  Duration offset_{};
  bool paused_ = false;
  Instant live_since_;                   // fires that fell due before it were missed…
  std::string_view missed_by_ = "down";  // …because the process was down, or the pipeline paused
  Instant considered_;                   // newest planned instant that was looked at: waiting, current or settled
  Instant given_up_, settled_;           // newest settled instant; newest with nothing owed before it
  Instant saved_;
  std::optional<Instant> next_;  // planned
  std::deque<Fire> pending_;
  std::optional<Fire> current_;
  bool current_settled_ = false;
  std::optional<Fire> later_;          // a retry, or a dependency's jitter
  std::optional<Instant> held_until_;  // a quota is used up: of the waiting fires only a person's may start
  std::set<std::string> succeeded_;    // of `after`, those that have not been followed yet
};

}  // namespace sluice
