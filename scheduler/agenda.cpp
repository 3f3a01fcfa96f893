#include "scheduler/agenda.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;

// A fire that is seen later than this was slept through: the clock is looked at once a minute.
constexpr Duration unnoticed = minutes(1);
// A clock that was ahead by more than this was wrong, and what was planned by it is void.
constexpr Duration believable = hours(24);
// A schedule of seconds and a month of downtime must not fill the memory.
constexpr std::size_t most_counted = 10'000, most_caught_up = 1'000;

bool by_schedule(const Fire& fire) {
  return fire.trigger == "schedule";
}

bool by_hand(const Fire& fire) {
  return fire.trigger == "manual" && !fire.begun;
}

}  // namespace

Agenda::Agenda(ScheduledPipeline pipeline, const PipelineState& remembered, Instant now)
    : pipeline_(std::move(pipeline)),
      offset_(pipeline_.schedule.offset(pipeline_.name)),
      paused_(remembered.paused),
      live_since_(now),
      considered_(remembered.last_planned.value_or(now)),
      given_up_(considered_),
      settled_(considered_),
      saved_(remembered.last_planned.value_or(Instant::min())) {
  plan_next();
}

void Agenda::plan_next() {
  next_ = pipeline_.schedule.next(considered_);
}

bool Agenda::ready() const {
  return !busy() && !pending_.empty() && (!held_until_ || by_hand(front()));
}

std::optional<Instant> Agenda::postponed_until() const {
  return pending_.empty() || by_hand(front()) ? std::nullopt : held_until_;
}

std::optional<Instant> Agenda::next_planned() const {
  return fires() ? next_ : std::nullopt;
}

std::optional<Instant> Agenda::next_due() const {
  const auto planned = next_planned();
  if (!planned) return {};
  return *planned + offset_;
}

std::optional<Instant> Agenda::wake() const {
  auto when = next_due();
  const auto sooner = [&](Instant other) { when = when ? std::min(*when, other) : other; };
  if (later_ && fires()) sooner(later_->due);
  if (const auto until = postponed_until(); until && fires()) sooner(*until);
  return when;
}

Agenda::Changes Agenda::look(Instant now) {
  Changes changes;
  if (!fires()) return changes;
  if (held_until_ && *held_until_ <= now) {
    for (auto& fire : pending_)
      if (fire.begun) fire.due = *held_until_;
    held_until_.reset();
  }
  if (next_ && *next_ + offset_ <= now) accept_due(due_until(now - offset_), now, changes);
  if (later_ && later_->due <= now) {
    const auto fire = *later_;
    later_.reset();
    offer(fire, now, changes);
  }
  return changes;
}

// The planned instants after `considered_` up to `until`; only the newer ones where they are too many to count.
std::vector<Instant> Agenda::due_until(Instant until) const {
  auto last_from = considered_;
  for (auto from = considered_;; from += (until - from) / 2) {
    std::vector<Instant> due;
    for (auto t = pipeline_.schedule.next(from); t && *t <= until && due.size() <= most_counted;
         t = pipeline_.schedule.next(*t))
      due.push_back(*t);
    if (due.size() <= most_counted && (!due.empty() || from == considered_)) return due;
    if (due.empty()) {
      until = from;
      from = last_from;
    }
    last_from = from;
  }
}

// What fell due is one on-time fire, or fires that were missed and of which `missed` says what becomes.
void Agenda::accept_due(const std::vector<Instant>& due, Instant now, Changes& changes) {
  if (due.empty()) return;
  considered_ = due.back();
  plan_next();
  const auto was_down = [&](Instant planned) { return planned + offset_ < live_since_; };
  const auto reason = was_down(due.front()) ? missed_by_ : std::string_view("down");
  const bool late = was_down(due.back()) || now - (due.back() + offset_) > unnoticed;

  auto wanted = due.end() - 1;
  if (pipeline_.schedule.missed == Missed::all)
    wanted = due.end() - static_cast<std::ptrdiff_t>(std::min(due.size(), most_caught_up));
  if (pipeline_.schedule.missed == Missed::none && late) wanted = due.end();
  miss(reason, std::vector<Instant>(due.begin(), wanted), changes);
  if (wanted == due.end()) return;

  // `all` is a chain of its own: each of its runs follows the one before, and `overlap` has no say.
  const bool chain = pipeline_.schedule.missed == Missed::all && (late || due.size() > 1);
  if (chain) drop_retry();
  for (auto planned = wanted; planned != due.end(); ++planned) {
    Fire fire(*planned, *planned + offset_, "schedule");
    fire.missed = planned + 1 != due.end() || late;
    if (chain)
      pending_.push_back(std::move(fire));
    else
      offer(std::move(fire), now, changes);
  }
}

void Agenda::drop_retry() {
  later_.reset();
  std::erase_if(pending_, [](const Fire& f) { return f.begun; });
}

// A fire that is due meets what is already there.
void Agenda::offer(Fire fire, Instant now, Changes& changes) {
  drop_late(now, changes);
  if (!fire.begun && !held_until_) drop_retry();  // it takes the place of a retry
  if (!busy() && pending_.empty()) {
    pending_.push_back(std::move(fire));
    return;
  }
  const auto overlap = pipeline_.schedule.overlap;
  if (overlap == Overlap::replace && !fire.begun) {
    std::vector<Instant> replaced;
    for (const auto& f : pending_)
      if (by_schedule(f) && !f.begun) replaced.push_back(f.planned);
    pending_.clear();
    pending_.push_back(std::move(fire));
    miss("overlap", replaced, changes);
    changes.cancel_running = busy();
  } else if (!by_schedule(fire) || fire.begun) {
    // A dependency is asked about again when the run has ended; a retry is no longer needed.
  } else if (overlap == Overlap::queue) {
    const auto queued = std::find_if(pending_.begin(), pending_.end(), [](const Fire& f) { return f.queued; });
    fire.queued = true;
    std::vector<Instant> replaced;
    if (queued != pending_.end()) {
      if (by_schedule(*queued)) replaced.push_back(queued->planned);
      pending_.erase(queued);
    }
    pending_.push_back(std::move(fire));
    miss("overlap", replaced, changes);
  } else {
    miss("overlap", fire.planned, changes);
  }
}

void Agenda::drop_late(Instant now, Changes& changes) {
  const auto& deadline = pipeline_.schedule.start_deadline;
  if (!deadline) return;
  const auto too_late = [&](const Fire& f) { return f.trigger != "manual" && !f.begun && now - f.due > *deadline; };
  std::vector<Instant> dropped;
  for (; !pending_.empty() && too_late(pending_.front()); pending_.pop_front()) {
    dropped.push_back(pending_.front().planned);
    if (!by_schedule(pending_.front())) succeeded_.clear();  // what it was to follow has had its chance
  }
  miss("deadline", dropped, changes);
}

Fire Agenda::begin() {
  current_ = pending_.front();
  current_settled_ = !by_schedule(*current_) || current_->begun;
  pending_.pop_front();
  later_.reset();
  held_until_.reset();
  succeeded_.clear();
  return *current_;
}

void Agenda::recorded() {
  if (!current_ || current_settled_) return;
  current_settled_ = true;
  settle(current_->planned);
}

// Fires may be settled out of order; what is remembered must not pass over one that is still owed.
void Agenda::settle(Instant planned) {
  given_up_ = std::max(given_up_, planned);
  auto owed = Instant::max();
  if (current_ && !current_settled_) owed = current_->planned;
  for (const auto& fire : pending_)
    if (by_schedule(fire) && !fire.begun) owed = std::min(owed, fire.planned);
  if (given_up_ < owed)
    settled_ = given_up_;
  else if (planned < owed)
    settled_ = std::max(settled_, planned);
}

void Agenda::miss(std::string_view reason, Instant planned, Changes& changes) {
  miss(reason, std::vector<Instant>{planned}, changes);
}

void Agenda::miss(std::string_view reason, const std::vector<Instant>& planned, Changes& changes) {
  if (planned.empty()) return;
  FireMissed missed{pipeline_.name, std::string(reason), planned.back()};
  missed.count = static_cast<std::int64_t>(planned.size());
  changes.missed.push_back(std::move(missed));
  settle(planned.back());
}

void Agenda::ended(Instant now, const RunEnded& ended, Rng& rng) {
  if (!current_) return;
  recorded();
  auto fire = *current_;
  current_.reset();
  fire.begun = true;
  const bool again = ended.passing && ended.outcome != Outcome::succeeded && ended.outcome != Outcome::cancelled;
  if (!again || !fires()) return;
  if (ended.wait && ended.outcome == Outcome::failed) held_until_ = now + *ended.wait;
  if (!pending_.empty()) return;
  if (held_until_) {
    pending_.push_back(std::move(fire));
    return;
  }
  // A quota, perhaps of one account alone, is no failure of the run.
  if (!ended.wait && !takes_retry(fire.attempt)) return;
  fire.due = now + std::max(backoff(fire.attempt, rng), ended.wait.value_or(Duration::zero()));
  if (!ended.wait) ++fire.attempt;
  later_ = std::move(fire);
}

void Agenda::take_up(const RunRecord& last, Instant now, Rng& rng) {
  if (!last.ended || !last.passing || last.trigger == "backfill" || !fires()) return;
  Fire fire(last.planned, now, last.trigger);
  fire.attempt = last.attempt;
  fire.begun = true;
  // A run that was cut short with the process did not fail; one that failed, or took the process with it, did.
  if (last.outcome != Outcome::cancelled) {
    if (!takes_retry(last.attempt)) return;
    const auto wait = backoff(last.attempt, rng);
    fire.due = std::clamp(*last.ended + wait, now, now + wait);
    ++fire.attempt;
  }
  later_ = std::move(fire);
}

// Doubles from the least to the most; the jitter keeps pipelines of one source apart.
Duration Agenda::backoff(int attempt, Rng& rng) const {
  const auto least = pipeline_.retry.least, most = std::max(least, pipeline_.retry.most);
  auto base = least;
  for (int i = 1; i < attempt && base < most; ++i) base *= 2;
  const auto low = std::max(least, std::min(base, most * 3 / 4));
  const auto high = std::max(low, std::min(base * 3 / 2, most));
  return microseconds(std::uniform_int_distribution<std::int64_t>(low.count(), high.count())(rng));
}

void Agenda::trigger(Instant now) {
  const auto refuse = [this](std::string_view why) {
    throw Error(Remedy::give_up, fmt::format("{} was not started: {}", pipeline_.name, why));
  };
  if (!pipeline_.enabled) refuse("it is disabled (enabled: false in its configuration)");
  if (pipeline_.schedule.overlap != Overlap::queue) {
    if (busy()) refuse("it is running; wait for the run to end, or cancel it");
    if (ready()) refuse("it is about to run: it waits for other runs to end (limits.concurrent_runs)");
  }
  const auto queued = [](const Fire& f) { return f.queued; };
  const bool at_once = !busy() && !ready();
  if (!at_once && std::any_of(pending_.begin(), pending_.end(), queued))
    refuse("a run is waiting already for the running one to end");
  Fire fire(now, now, "manual");
  fire.queued = !at_once;
  if (at_once) drop_retry();
  later_.reset();
  pending_.insert(at_once ? pending_.begin() : pending_.end(), std::move(fire));
}

bool Agenda::forget_waiting() {
  const bool any = !pending_.empty() || later_;
  const auto waiting = std::exchange(pending_, {});
  later_.reset();
  for (const auto& fire : waiting)
    if (by_schedule(fire)) settle(fire.planned);
  if (any) succeeded_.clear();
  return any;
}

// Waiting fires are owed again on resume, when `missed` decides.
void Agenda::pause() {
  paused_ = true;
  later_.reset();
  std::erase_if(pending_, [](const Fire& f) { return !by_hand(f); });
  considered_ = settled_;
  if (current_ && by_schedule(*current_)) considered_ = std::max(considered_, current_->planned);
  plan_next();
}

void Agenda::resume(Instant now) {
  if (!paused_) return;
  paused_ = false;
  live_since_ = now;
  missed_by_ = "paused";
  if (pipeline_.schedule.missed == Missed::none) succeeded_.clear();
}

void Agenda::configure(ScheduledPipeline pipeline, Instant now) {
  const bool same = pipeline.schedule == pipeline_.schedule && pipeline.enabled == pipeline_.enabled;
  pipeline_ = std::move(pipeline);
  if (same) return;
  offset_ = pipeline_.schedule.offset(pipeline_.name);
  live_since_ = now;
  if (!pipeline_.enabled) {
    later_.reset();
    pending_.clear();
  }
  // The new schedule owes nothing from before it was one.
  considered_ = std::max(considered_, now);
  settle(considered_);
  plan_next();
}

void Agenda::clock_stepped(Duration by) {
  if (later_) later_->due += by;
  if (held_until_) *held_until_ += by;
}

bool Agenda::clock_went_back(Instant now) {
  if (considered_ <= now + believable) return false;
  considered_ = given_up_ = settled_ = now;
  plan_next();
  return true;
}

const std::vector<std::string>& Agenda::after() const {
  static const std::vector<std::string> none;
  const auto* names = std::get_if<std::vector<std::string>>(&pipeline_.schedule.when);
  return names ? *names : none;
}

bool Agenda::may_follow() const {
  if (!fires() || after().empty() || (later_ && !later_->begun) || !pending_.empty()) return false;
  const auto unfollowed = [this](const std::string& name) { return succeeded_.contains(name); };
  if (!std::all_of(after().begin(), after().end(), unfollowed)) return false;
  return !busy() || pipeline_.schedule.overlap == Overlap::replace;
}

Agenda::Changes Agenda::follow(Instant now) {
  Changes changes;
  Fire fire(now, now + offset_, "dependency");
  if (offset_ > Duration::zero())
    later_ = std::move(fire);
  else
    offer(std::move(fire), now, changes);
  return changes;
}

}  // namespace sluice
