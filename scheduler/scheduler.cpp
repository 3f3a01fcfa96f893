// What is scheduled, and when it fires; scheduler_runs.cpp begins what is due and waits for it, by the function that
// the daemon gave (Engine::run of app_engine.cpp); scheduler_impl.hpp holds what both share.
#include "scheduler/scheduler.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/settings.hpp"
#include "scheduler/scheduler_impl.hpp"

namespace sluice {
namespace {

// The wall clock may be stepped while the loop sleeps.
constexpr Duration clock_check = std::chrono::minutes(1);
// Less than this is the clock's own pace.
constexpr Duration least_step = std::chrono::seconds(1);

}  // namespace

Scheduler::Impl::Entry& Scheduler::Impl::find(const std::string& name) const {
  if (const auto found = entries_.find(name); found != entries_.end()) return *found->second;
  std::vector<std::string> known;
  for (const auto& [n, entry] : entries_) known.push_back(n);
  auto message = fmt::format("there is no pipeline \"{}\"", name);
  if (const auto near = nearest_name(name, known)) message += fmt::format("; did you mean \"{}\"?", *near);
  throw Error(Remedy::give_up, message);
}

task<void> Scheduler::Impl::replace(std::vector<ScheduledPipeline> pipelines) {
  const auto turn = co_await replacing_.acquire();
  std::map<std::string, EntryPtr> chosen;
  for (const auto& p : pipelines) {
    const auto found = entries_.find(p.name);
    const auto leaving = leaving_.find(p.name);
    chosen[p.name] = found != entries_.end() ? found->second : leaving != leaving_.end() ? leaving->second : nullptr;
  }
  for (std::size_t next = 0; next < pipelines.size();) {
    TaskGroup group(executor_);
    for (; next < pipelines.size() && group.running() < together; ++next)
      if (auto& entry = chosen[pipelines[next].name]; !entry) group.spawn(load(pipelines[next], entry));
    co_await group.join();
  }

  const auto now = clock_.now();
  const auto old = std::exchange(entries_, std::move(chosen));
  followers_.clear();
  for (auto& p : pipelines) {
    auto& entry = *entries_[p.name];
    if (std::exchange(entry.removed, false)) leaving_.erase(p.name);
    const auto known = old.contains(p.name) ? entry.agenda.after() : std::vector<std::string>();
    entry.agenda.configure(std::move(p), now);
    for (const auto& name : entry.agenda.after()) followers_[name].push_back(entry.name());
    recall_successes(entry, known);
  }
  for (const auto& [name, entry] : old)
    if (!entries_.contains(name)) let_go(entry);
  for (const auto& [name, entry] : entries_) consider_following(*entry);
  nudge();
  save_.notify_all();
}

// Its run goes on, and keeps a pipeline of the same name from being run twice should it come back.
void Scheduler::Impl::let_go(const EntryPtr& entry) {
  entry->removed = true;
  place(*entry);
  if (entry->running) leaving_[entry->name()] = entry;
}

task<void> Scheduler::Impl::load(ScheduledPipeline pipeline, EntryPtr& loaded) {
  const auto name = pipeline.name;
  const auto orphans = co_await state_.close_orphans(name);
  const auto remembered = co_await state_.pipeline(name);
  const auto recent = co_await state_.runs(name, 10);
  const auto now = clock_.now();
  auto entry = std::make_shared<Entry>(std::move(pipeline), remembered, next_number_++, now);
  entry->last.last_started = remembered.last_started;
  entry->last.last_succeeded = entry->succeeded = remembered.last_succeeded;
  entry->last.consecutive_failures = remembered.consecutive_failures;
  for (const auto& run : orphans)
    events_.emit(Notice{Level::warning, name, "",
                        fmt::format("run {} was interrupted: the process that made it is gone", run.id)});
  const auto newest = std::find_if(recent.begin(), recent.end(),
                                   [](const RunRecord& run) { return run.ended && run.trigger != "backfill"; });
  if (newest != recent.end()) {
    auto run = *newest;
    for (const auto& orphan : orphans)
      if (orphan.id == run.id) run.passing = true;
    entry->remember(run);
    entry->agenda.take_up(run, now, rng_);
  }
  for (const auto& run : recent)
    if (run.outcome == Outcome::succeeded && run.trigger != "backfill" && run.ended)
      entry->succeeded = std::max(entry->succeeded.value_or(*run.ended), *run.ended);
  if (entry->agenda.clock_went_back(now))
    events_.emit(Notice{Level::warning, name, "",
                        "its last fire lies more than a day ahead of the clock, which must have been wrong then: the "
                        "schedule starts anew from now"});
  loaded = std::move(entry);
}

task<void> Scheduler::Impl::run() {
  TaskGroup group(executor_);
  group_ = &group;
  group.spawn(loop());
  group.spawn(save_loop());
  std::exception_ptr failure;
  try {
    co_await group.join();
  } catch (...) {
    failure = std::current_exception();
  }
  group_ = nullptr;
  if (failure) std::rethrow_exception(failure);
}

task<void> Scheduler::Impl::loop() {
  while (!over()) {
    dirty_ = false;
    look_at_clock();
    start_ready();
    if (dirty_ || over()) continue;
    auto wait = clock_check;
    if (!timers_.empty() && !draining_) wait = std::clamp<Duration>(next_wake() - clock_.now(), Duration::zero(), wait);
    std::exception_ptr stopped;
    try {
      co_await with_timeout(clock_, wait, wait_for_change());
    } catch (...) {
      stopped = std::current_exception();
    }
    if (stopped) {
      draining_ = stopping_ = true;
      stop_.notify_all();
      std::rethrow_exception(stopped);
    }
  }
  save_.notify_all();
}

task<void> Scheduler::Impl::wait_for_change() {
  while (!dirty_) co_await changed_.wait();
}

void Scheduler::Impl::nudge() {
  dirty_ = true;
  changed_.notify_all();
}

void Scheduler::Impl::look_at_clock() {
  const auto now = clock_.now();
  const auto step = now - clock_.uptime() - started_counting_;
  if (step >= least_step || step <= -least_step) {
    started_counting_ += step;
    for (const auto& [name, entry] : entries_) {
      entry->agenda.clock_stepped(step);
      if (entry->agenda.clock_went_back(now))
        events_.emit(Notice{Level::warning, name, "",
                            "the clock was set back by more than a day: the schedule starts anew from now"});
      place(*entry);
    }
  }
  if (draining_) return;
  while (!timers_.empty() && next_wake() <= now) {
    auto& entry = *std::get<Entry*>(*timers_.begin());
    apply(entry, entry.agenda.look(now));
  }
}

void Scheduler::Impl::apply(Entry& entry, const Agenda::Changes& changes) {
  for (const auto& missed : changes.missed) events_.emit(missed);
  if (changes.cancel_running && entry.running)
    entry.running->cancel("replaced by the fire of " + format_instant(entry.agenda.front().planned));
  place(entry);
}

// Puts the entry where its agenda wants it in the queues.
void Scheduler::Impl::place(Entry& entry) {
  const auto move = [&](std::set<Place>& queue, std::optional<Instant>& at, std::optional<Instant> to) {
    if (at == to) return;
    if (at) queue.erase(Place(*at, entry.number, &entry));
    if (to) queue.insert(Place(*to, entry.number, &entry));
    at = to;
  };
  const bool gone = entry.removed;
  move(timers_, entry.wake, gone ? std::nullopt : entry.agenda.wake());
  std::optional<Instant> ready;
  // Many missed fires of one pipeline do not all go before what fell due since: each waits its turn.
  if (!gone && entry.agenda.ready()) ready = std::max(entry.agenda.front().due, entry.free_since);
  move(ready_, entry.ready, ready);
  if (entry.agenda.unsaved()) save_.notify_all();
}

// What its pipelines to come after did before it knew of them. In the same process it is told instead: the wall clock
// may be set back between a start and a success.
void Scheduler::Impl::recall_successes(Entry& entry, const std::vector<std::string>& known) {
  if (entry.agenda.pipeline().schedule.missed == Missed::none) return;
  for (const auto& name : entry.agenda.after()) {
    const auto found = entries_.find(name);
    if (found == entries_.end() || std::find(known.begin(), known.end(), name) != known.end()) continue;
    const auto& succeeded = found->second->succeeded;
    if (succeeded && succeeded > entry.last.last_started) entry.agenda.succeeded(name);
  }
}

// Fires it when each pipeline it comes after has succeeded since.
void Scheduler::Impl::consider_following(Entry& entry) {
  if (!draining_ && !entry.removed && entry.agenda.may_follow()) return apply(entry, entry.agenda.follow(clock_.now()));
  place(entry);
}

void Scheduler::Impl::start_ready() {
  while (group_ && !draining_ && !full() && !ready_.empty()) {
    auto& entry = *std::get<Entry*>(*ready_.begin());
    Agenda::Changes changes;
    entry.agenda.drop_late(clock_.now(), changes);
    apply(entry, changes);
    if (entry.agenda.ready()) start(entry);
  }
  if (!draining_ && ready_.empty() && !full()) places_.notify_all();
}

void Scheduler::Impl::start(Entry& entry) {
  const auto now = clock_.now();
  const auto fire = entry.agenda.begin();
  RunRequest request;
  request.record.id = make_run_id(now);
  request.record.pipeline = entry.name();
  request.record.trigger = fire.trigger;
  request.record.planned = fire.planned;
  request.record.started = now;
  request.record.attempt = fire.attempt;
  request.record.delay = std::max(Duration::zero(), now - fire.due);
  if (fire.missed && entry.agenda.pipeline().schedule.missed == Missed::all) request.up_to = fire.planned;
  // A run outlives neither its entry nor what stands in it.
  request.why_cancelled = [&entry] { return entry.running->why_cancelled(); };
  entry.running = Running{request.record.id, now};
  entry.last.last_started = now;
  ++running_;
  place(entry);
  group_->spawn(execute(entries_.at(entry.name()), std::move(request)));
}

task<void> Scheduler::Impl::drain(Duration timeout) {
  draining_ = true;
  nudge();
  const bool in_time = co_await with_timeout(clock_, timeout, wait_for_idle());
  if (in_time) co_return;
  stop_runs();
  while (running_ > 0) co_await ended_.wait();
}

task<void> Scheduler::Impl::wait_for_idle() {
  while (running() > 0) co_await ended_.wait();
}

void Scheduler::Impl::stop_runs() {
  stopping_ = true;
  stop_.notify_all();
  // A run may end, and leave the set, while it is being cancelled.
  while (!bodies_.empty()) bodies_.extract(bodies_.begin()).value()->cancel();
}

std::optional<std::string> Scheduler::Impl::trigger(const std::string& name) {
  auto& entry = find(name);
  if (draining_) throw Error(Remedy::give_up, fmt::format("{} was not started: the daemon is stopping", name));
  entry.agenda.trigger(clock_.now());
  const bool was_running = entry.running.has_value();
  place(entry);
  start_ready();
  nudge();
  if (was_running || !entry.running) return {};
  return entry.running->id;
}

task<void> Scheduler::Impl::pause(std::string name, bool paused) {
  find(name);
  co_await state_.set_paused(name, paused);
  auto& entry = find(name);
  if (paused)
    entry.agenda.pause();
  else
    entry.agenda.resume(clock_.now());
  consider_following(entry);
  nudge();
}

void Scheduler::Impl::cancel(const std::string& name, const std::string& why) {
  auto& entry = find(name);
  if (entry.running && entry.running->cancelled.empty()) {
    entry.running->cancel(why);
    entry.agenda.drop_retry();
  } else if (!entry.agenda.forget_waiting()) {
    throw Error(Remedy::give_up, fmt::format("{} is not running", name));
  }
  place(entry);
}

void Scheduler::Impl::set_concurrent_runs(int runs) {
  concurrent_runs_ = runs;
  backfills_.set_permits(some_of(runs));
  nudge();
}

bool Scheduler::Impl::running(const std::string& name) const {
  const auto entry = entries_.find(name);
  return leaving_.contains(name) || (entry != entries_.end() && entry->second->running);
}

namespace {

std::optional<Instant> next_fire_of(const Agenda& agenda) {
  const auto& later = agenda.later();
  return later && !later->begun ? later->due : agenda.next_due();
}

}  // namespace

std::vector<PipelineStatus> Scheduler::Impl::status() const {
  std::vector<PipelineStatus> all;
  for (const auto& [name, entry] : entries_) {
    auto status = entry->last;
    const auto& agenda = entry->agenda;
    status.name = name;
    status.enabled = agenda.pipeline().enabled;
    status.paused = agenda.paused();
    status.next_retry = agenda.postponed_until();
    status.waiting = agenda.waiting() > 0 && !status.next_retry;
    if (entry->running) {
      status.running = entry->running->id;
      status.running_since = entry->running->since;
    }
    status.next_fire = next_fire_of(agenda);
    if (const auto& later = agenda.later(); later && later->begun) status.next_retry = later->due;
    all.push_back(std::move(status));
  }
  return all;
}

std::optional<std::pair<std::string, Instant>> Scheduler::Impl::next_fire() const {
  const Entry* next = nullptr;
  std::optional<Instant> when;
  for (const auto& [name, entry] : entries_) {
    const auto due = next_fire_of(entry->agenda);
    if (!due || (when && *when <= *due)) continue;
    next = entry.get();
    when = due;
  }
  if (!next) return {};
  return std::pair(next->name(), *when);
}

Scheduler::Scheduler(asio::any_io_executor executor, Clock& clock, Events& events, StateStore& state, Rng& rng,
                     int concurrent_runs, Runner runner)
    : impl_(
          std::make_unique<Impl>(std::move(executor), clock, events, state, rng, concurrent_runs, std::move(runner))) {}

Scheduler::~Scheduler() = default;

task<void> Scheduler::replace_pipelines(std::vector<ScheduledPipeline> pipelines) {
  co_await impl_->replace(std::move(pipelines));
}
task<void> Scheduler::run() {
  co_await impl_->run();
}
task<void> Scheduler::drain(Duration timeout) {
  co_await impl_->drain(timeout);
}
task<void> Scheduler::run_beside(task<void> backfill) {
  co_await impl_->run_beside(std::move(backfill));
}
std::optional<std::string> Scheduler::trigger(const std::string& pipeline) {
  return impl_->trigger(pipeline);
}
task<void> Scheduler::pause(std::string pipeline) {
  co_await impl_->pause(std::move(pipeline), true);
}
task<void> Scheduler::resume(std::string pipeline) {
  co_await impl_->pause(std::move(pipeline), false);
}
void Scheduler::cancel(const std::string& pipeline, const std::string& why) {
  impl_->cancel(pipeline, why);
}
void Scheduler::set_concurrent_runs(int runs) {
  impl_->set_concurrent_runs(runs);
}
bool Scheduler::running(const std::string& pipeline) const {
  return impl_->running(pipeline);
}
int Scheduler::running() const {
  return impl_->running();
}
std::vector<PipelineStatus> Scheduler::status() const {
  return impl_->status();
}

std::optional<std::pair<std::string, Instant>> Scheduler::next_fire() const {
  return impl_->next_fire();
}

}  // namespace sluice
