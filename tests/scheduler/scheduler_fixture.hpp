#pragma once
#include <catch2/catch.hpp>
#include <deque>
#include <functional>

#include "core/error.hpp"
#include "scheduler/scheduler.hpp"
#include "tests/support/events.hpp"
#include "tests/support/memory_state.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

// A pipeline, and its rules one after another: pipeline("a", "0 * * * *").missed(Missed::all).
struct Ruled : ScheduledPipeline {
  Ruled missed(Missed what) { return schedule.missed = what, *this; }
  Ruled overlap(Overlap what) { return schedule.overlap = what, *this; }
  Ruled start_deadline(Duration latest) { return schedule.start_deadline = latest, *this; }
  Ruled jitter(Duration most) { return schedule.jitter = most, *this; }
  Ruled retry_after(Duration wait) { return retry.least = retry.most = wait, *this; }
  Ruled disabled() { return enabled = false, *this; }
};

inline Ruled pipeline(std::string name, std::string_view cron = {}) {
  Ruled p;
  p.name = std::move(name);
  std::string fault;
  if (!cron.empty()) p.schedule.when = Cron::parse(cron, fault).value();
  return p;
}
inline Ruled every(std::string name, Duration interval) {
  auto p = pipeline(std::move(name));
  p.schedule.when = interval;
  return p;
}
inline Ruled after(std::string name, std::vector<std::string> others) {
  auto p = pipeline(std::move(name));
  p.schedule.when = std::move(others);
  return p;
}

// How a run goes; by itself it takes a minute and succeeds.
struct Play {
  Duration takes = 1min;
  Outcome outcome = Outcome::succeeded;
  bool passing = false;
  std::optional<Duration> wait;
  std::string error;  // thrown, as Error(retry) where passing, else give_up

  Play(Duration t = 1min, Outcome o = Outcome::succeeded, bool p = false) : takes(t), outcome(o), passing(p) {}
};

// Lives of a daemon on one state, from Monday 2026-03-02 12:00 on. Times are written "12:07", or "3T12:07" for another
// day of March; the log has a line for each start, cancellation and missed fire.
class Lives {
 public:
  World world;
  RecordedEvents events;
  MemoryState state{world.clock()};
  Rng rng{7};
  std::vector<ScheduledPipeline> pipelines;
  std::map<std::string, std::deque<Play>> plays;  // of each pipeline, one after another; then the usual
  int limit = 8;
  std::vector<RunRequest> requests;
  Texts log;
  int running = 0, most_running = 0;
  std::unique_ptr<Scheduler> scheduler;

  explicit Lives(std::vector<ScheduledPipeline> list = {}) : pipelines(std::move(list)) {}

  static Instant time(const std::string& text) {
    const auto t = text.find('T');
    const int day = t == text.npos ? 2 : std::stoi(text.substr(0, t));
    const auto clock = text.substr(t == text.npos ? 0 : t + 1);
    return parse_instant(fmt::format("2026-03-{:02}T{}{}Z", day, clock, clock.size() > 5 ? "" : ":00")).value();
  }
  static std::string text(Instant when) {
    auto t = format_instant(when).substr(9);  // "2T12:00:00Z"
    t.pop_back();
    if (t.ends_with(":00")) t.resize(t.size() - 3);
    return t.starts_with("2T") ? t.substr(2) : t;
  }

  // What happens during the next life.
  void at(const std::string& when, std::function<void()> action) {
    happens(when, [action = std::move(action)] { return just(action); });
  }
  void pause_at(const std::string& when, const std::string& name) {
    happens(when, [this, name] { return scheduler->pause(name); });
  }
  void resume_at(const std::string& when, const std::string& name) {
    happens(when, [this, name] { return scheduler->resume(name); });
  }
  void reload_at(const std::string& when, const std::vector<ScheduledPipeline>& list) {
    happens(when, [this, list] { return scheduler->replace_pipelines(list); });
  }
  void drain_at(const std::string& when, Duration timeout) {
    happens(when, [this, timeout] { return drain(timeout); });
  }
  Instant drained;
  // A backfill is asked for, which takes so long once it has its place.
  void backfill_at(const std::string& when, const std::string& name, Duration takes) {
    happens(when, [this, name, takes] { return scheduler->run_beside(play_backfill(name, takes)); });
  }
  // So long after the start of the life, whatever the wall clock says meanwhile.
  void after(Duration wait, std::function<void()> action) {
    happenings_.push_back([this, wait, action = std::move(action)] { return act_after(wait, action); });
  }

  // The daemon is started now, and killed at `until`: nothing that it does in dying is written down.
  void live_until(const std::string& until) {
    world.run(life(time(until), true));
    state.thaw();
  }
  // The daemon is started now, and stopped in order at `until`.
  void live_and_stop_at(const std::string& until) { world.run(life(time(until), false)); }
  void live_for(Duration uptime) { world.run(with_timeout(world.clock(), uptime, life(Instant::max(), false))); }
  void down_until(const std::string& until) { world.run(world.clock().sleep_until(time(until))); }

  // A life of which nothing needs telling, then none.
  void away(const std::string& from, const std::string& until) {
    live_until(from);
    happened();
    down_until(until);
  }

  // The planned instants of the runs that were made.
  std::string planned(std::size_t run) const { return text(requests.at(run).record.planned); }
  std::string planned_last() const { return planned(requests.size() - 1); }
  const RunRecord& first_record() const { return state.records.at(requests.at(0).record.id); }

  // The log since the last call.
  Texts happened() { return std::exchange(log, {}); }
  Texts notices() const {
    Texts all;
    for (const auto& notice : events.of<Notice>()) all.push_back(notice.pipeline + ": " + notice.message);
    return all;
  }
  PipelineStatus status(const std::string& name) const {
    for (const auto& s : scheduler->status())
      if (s.name == name) return s;
    throw std::out_of_range(name);
  }

  task<void> life(Instant until, bool killed) {
    Runner runner = [this](RunRequest request) { return play(std::move(request)); };
    scheduler = std::make_unique<Scheduler>(world.executor(), world.clock(), log_events_, state, rng, limit, runner);
    co_await scheduler->replace_pipelines(pipelines);
    TaskGroup group(world.executor());
    group.spawn(scheduler->run());
    const auto happening = std::exchange(happenings_, {});
    for (const auto& action : happening) group.spawn(action());
    group.spawn(end_at(until, killed, group));
    co_await group.join();
  }

 private:
  using Action = std::function<task<void>()>;
  void happens(const std::string& when, Action action) {
    happenings_.push_back([this, when = time(when), action = std::move(action)] { return act_at(when, action); });
  }

  static task<void> just(std::function<void()> action) {
    action();
    co_return;
  }

  task<void> act_at(Instant when, Action action) {
    co_await world.clock().sleep_until(when);
    auto work = action();
    co_await std::move(work);
  }

  task<void> act_after(Duration wait, std::function<void()> action) {
    co_await world.clock().sleep_for(wait);
    action();
  }

  task<void> drain(Duration timeout) {
    co_await scheduler->drain(timeout);
    drained = world.clock().now();
  }

  task<void> play_backfill(std::string name, Duration takes) {
    log.push_back(text(world.clock().now()) + ' ' + name + " backfill");
    most_running = std::max(most_running, ++running);
    co_await world.clock().sleep_for(takes);
    --running;
  }

  task<void> end_at(Instant until, bool killed, TaskGroup& group) {
    co_await world.clock().sleep_until(until);
    if (killed) state.freeze();
    dying_ = killed;
    group.cancel();
  }

  task<RunEnded> play(RunRequest request) {
    dying_ = false;
    const auto& record = request.record;
    requests.push_back(request);
    auto line = text(world.clock().now()) + ' ' + record.pipeline;
    if (record.trigger != "schedule") line += ' ' + record.trigger;
    if (record.attempt > 1) line += fmt::format(" attempt {}", record.attempt);
    if (request.up_to) line += " up to " + text(*request.up_to);
    log.push_back(line);
    auto& mine = plays[record.pipeline];
    Play play = mine.empty() ? Play() : mine.front();
    if (!mine.empty()) mine.pop_front();
    most_running = std::max(most_running, ++running);
    std::exception_ptr stopped;
    try {
      co_await world.clock().sleep_for(play.takes);
    } catch (...) {
      stopped = std::current_exception();
    }
    --running;
    if (stopped) {
      if (!dying_) log.push_back(text(world.clock().now()) + ' ' + record.pipeline + " cancelled");
      std::rethrow_exception(stopped);
    }
    if (!play.error.empty()) throw Error(play.passing ? Remedy::retry : Remedy::give_up, play.error);
    RunEnded ended;
    ended.run = record.id;
    ended.pipeline = record.pipeline;
    ended.trigger = record.trigger;
    ended.outcome = play.outcome;
    ended.passing = play.passing;
    ended.wait = play.wait;
    if (play.outcome != Outcome::succeeded) ended.message = "it went wrong";
    co_return ended;
  }

  // Missed fires stand in the log beside the starts.
  class LogMissed final : public Events {
   public:
    explicit LogMissed(Lives& lives) : lives_(lives) {}
    void emit(const Event& event) override {
      lives_.events.emit(event);
      const auto* missed = std::get_if<FireMissed>(&event);
      if (!missed) return;
      auto line = fmt::format("{} {} missed {} ({})", text(lives_.world.clock().now()), missed->pipeline,
                              text(missed->planned), missed->reason);
      if (missed->count > 1) line += fmt::format(" and {} before", missed->count - 1);
      lives_.log.push_back(line);
    }

   private:
    Lives& lives_;
  };

  std::vector<Action> happenings_;
  LogMissed log_events_{*this};
  bool dying_ = false;
};

}  // namespace sluice::test
