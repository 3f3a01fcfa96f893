#include <fmt/format.h>

#include <random>

#include "core/error.hpp"
#include "scheduler/scheduler_impl.hpp"

namespace sluice {
std::string make_run_id(Instant start) {
  static std::uint16_t number = static_cast<std::uint16_t>(std::random_device()());
  const auto civil = cctz::convert(std::chrono::floor<std::chrono::seconds>(start), utc());
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z-{:04x}", civil.year(), civil.month(), civil.day(), civil.hour(),
                     civil.minute(), civil.second(), number++);
}

task<void> Scheduler::Impl::execute(EntryPtr entry, RunRequest request) {
  auto record = request.record;
  RunEnded ended;
  ended.run = record.id;
  ended.pipeline = record.pipeline;
  ended.trigger = record.trigger;
  ended.outcome = Outcome::cancelled;
  std::exception_ptr failure;
  TaskGroup body(executor_);
  entry->running->body = &body;
  bodies_.insert(&body);
  const auto started = clock_.uptime();
  body.spawn(record_and_run(*entry, std::move(request), ended));
  if (!entry->running->cancelled.empty() || stopping_) body.cancel();
  try {
    co_await body.join();
  } catch (...) {
    failure = std::current_exception();
  }
  entry->running->body = nullptr;
  bodies_.erase(&body);
  // From here on it is about writing down the end, which a cancelled run has too.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  if (failure && !is_cancellation(failure)) {
    const auto error = error_of(failure);
    ended.outcome = Outcome::failed;
    ended.message = error.what();
    ended.passing = error.passing();
    if (error.remedy() == Remedy::postpone) ended.wait = error.wait();
    ended.took = clock_.uptime() - started;
    events_.emit(ended);
  }
  record.ended = std::max(clock_.now(), record.started);
  record.outcome = ended.outcome;
  record.message = ended.message;
  record.counts = ended.counts;
  record.slices_published = ended.slices_published;
  record.slices_failed = ended.slices_failed;
  record.passing = ended.passing;
  record.watermarks = ended.watermarks;
  if (ended.outcome == Outcome::cancelled) {
    record.message = entry->running->why_cancelled();
    record.passing = entry->running->cancelled.empty();  // the next process takes it up
  }
  co_await save_end(record);
  finish(*entry, record, ended);
}

task<void> Scheduler::Impl::record_and_run(Entry& entry, RunRequest request, RunEnded& ended) {
  for (int failures = 0;; ++failures) {
    std::exception_ptr failure;
    try {
      co_await state_.run_started(request.record);
      entry.agenda.recorded();
      if (const auto settled = entry.agenda.settled(); entry.agenda.unsaved()) {
        co_await state_.set_last_planned(request.record.pipeline, settled);
        entry.agenda.saved(settled);
      }
    } catch (...) {
      failure = std::current_exception();
    }
    if (!failure) break;
    if (is_cancellation(failure)) std::rethrow_exception(failure);
    co_await pause_after_failure(failures, request.record.pipeline + " cannot start", failure);
  }
  auto run = runner_(std::move(request));
  ended = co_await std::move(run);
}

task<void> Scheduler::Impl::save_end(RunRecord record) {
  for (int failures = 0;; ++failures) {
    std::exception_ptr failure;
    try {
      co_await state_.run_ended(record);
    } catch (...) {
      failure = std::current_exception();
    }
    // The next process closes the record that this one could not.
    if (!failure || (stopping_ && failures > 0)) co_return;
    co_await pause_after_failure(failures, "the end of run " + record.id + " is not written down", failure);
  }
}

void Scheduler::Impl::finish(Entry& entry, const RunRecord& record, const RunEnded& ended) {
  const auto now = clock_.now();
  entry.running.reset();
  entry.free_since = now;
  --running_;
  entry.agenda.ended(now, ended, rng_);
  entry.remember(record);
  if (entry.removed) leaving_.erase(entry.name());
  if (ended.outcome == Outcome::succeeded) {
    entry.last.consecutive_failures = 0;
    entry.last.last_succeeded = record.started;
    entry.succeeded = record.ended;
    if (!entry.removed)
      for (const auto& name : followers_[entry.name()])
        if (const auto found = entries_.find(name); found != entries_.end()) {
          found->second->agenda.succeeded(entry.name());
          consider_following(*found->second);
        }
  } else if (ended.outcome != Outcome::cancelled) {
    ++entry.last.consecutive_failures;
  }
  consider_following(entry);
  ended_.notify_all();
  nudge();
}

task<void> Scheduler::Impl::run_beside(task<void> backfill) {
  const auto turn = co_await backfills_.acquire();
  while (draining_ || !ready_.empty() || full()) co_await places_.wait();
  ++beside_;
  std::exception_ptr failure;
  try {
    co_await std::move(backfill);
  } catch (...) {
    failure = std::current_exception();
  }
  --beside_;
  ended_.notify_all();
  nudge();
  if (failure) std::rethrow_exception(failure);
}

// Writes down what was settled without a run: fires that were missed.
task<void> Scheduler::Impl::save_loop() {
  for (int failures = 0;;) {
    std::vector<EntryPtr> unsaved;
    for (const auto& [name, entry] : entries_)
      if (entry->agenda.unsaved() && unsaved.size() < together) unsaved.push_back(entry);
    if (unsaved.empty() && over()) co_return;
    if (unsaved.empty()) {
      co_await save_.wait();
      continue;
    }
    std::exception_ptr failure;
    TaskGroup group(executor_);
    for (const auto& entry : unsaved) group.spawn(save_settled(entry, failure));
    co_await group.join();
    if (failure && (over() || stopping_)) co_return;
    if (failure) co_await pause_after_failure(failures, "which fires were missed is not written down", failure);
    failures = failure ? failures + 1 : 0;
  }
}

task<void> Scheduler::Impl::save_settled(EntryPtr entry, std::exception_ptr& failure) {
  const auto settled = entry->agenda.settled();
  try {
    co_await state_.set_last_planned(entry->name(), settled);
    entry->agenda.saved(settled);
  } catch (...) {
    failure = std::current_exception();
  }
}

// Says it once, not at each try.
task<void> Scheduler::Impl::pause_after_failure(int failures, std::string what, std::exception_ptr failure) {
  if (failures == 0)
    events_.emit(Notice{Level::error, "", "",
                        fmt::format("{}: the state cannot be written: {}; it is tried again "
                                    "until it can (see state.url)",
                                    what, error_of(failure).what())});
  const auto wait = std::min<Duration>(std::chrono::seconds(1 << std::min(failures, 6)), std::chrono::minutes(1));
  co_await with_timeout(clock_, wait, wait_for_stop());
}

task<void> Scheduler::Impl::wait_for_stop() {
  while (!stopping_) co_await stop_.wait();
}

}  // namespace sluice
