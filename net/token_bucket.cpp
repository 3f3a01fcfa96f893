#include "net/token_bucket.hpp"

#include <algorithm>
#include <cmath>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr Duration shortest_pause = 1s;  // "retry after 0" must not become a busy loop
constexpr Duration longest_pause = 1h;
constexpr Duration full_pause = 1min;  // after headers that say that all is used up
constexpr Duration peak_holds = 1min;
// With the quota used up to the target, a call this often still finds out whether it has recovered; ten times more
// rarely towards its end, so that these calls do not use up the rest of a small one.
constexpr Duration probe_every = 30s;
constexpr double probe_stretch = 9;
constexpr Duration raise_every = 5s;
constexpr double raise_by = 0.05;
constexpr double least_factor = 0.05;
// Up to this share of the target the API's usage does not matter.
constexpr double slow_down_from = 0.8;
constexpr double rounding = 1e-6;

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

Duration from_seconds(double s) {
  const double most = seconds(24h);
  return Duration(static_cast<std::int64_t>(std::ceil(std::min(s, most) * 1e6)));
}

}  // namespace

TokenBucket::TokenBucket(RateLimit limit, Duration now)
    : limit_(limit), last_(now), raised_(now), next_pause_(limit.first_pause) {
  all_.tokens = capacity(Priority::scheduled);
  backfill_.tokens = capacity(Priority::backfill);
}

double TokenBucket::share(Priority priority) const {
  return priority == Priority::backfill ? 1 - limit_.reserve : 1;
}

double TokenBucket::pace(Priority priority) const {
  const double target = limit_.target * share(priority);
  const double from = target * slow_down_from;
  if (!utilization_ || peak_ <= from) return 1;
  return std::max(0.0, (target - peak_) / (target - from));
}

double TokenBucket::rate(Priority priority) const {
  const double most = limit_.per_second * share(priority);
  const double target = limit_.target * share(priority);
  const double excess = utilization_ && target < 1 ? std::clamp((peak_ - target) / (1 - target), 0.0, 1.0) : 0;
  const double probing = 1 / (seconds(probe_every) * (1 + probe_stretch * excess));
  return std::max(most * factor_ * pace(priority), std::min(most, probing));
}

double TokenBucket::capacity(Priority priority) const {
  return std::max(1.0, limit_.burst * share(priority) * factor_ * pace(priority));
}

double TokenBucket::refilled(const Pool& pool, Duration now, Priority priority) const {
  const auto elapsed = std::max(Duration::zero(), now - std::max(last_, paused_until_));
  return std::min(capacity(priority), pool.tokens + seconds(elapsed) * rate(priority));
}

void TokenBucket::refill(Duration now) {
  all_.tokens = refilled(all_, now, Priority::scheduled);
  backfill_.tokens = refilled(backfill_, now, Priority::backfill);
  last_ = std::max(last_, now);
}

Duration TokenBucket::wait_for(const Pool& pool, Duration now, double need, Priority priority) const {
  const double missing = need - refilled(pool, now, priority);
  const auto paused = std::max(Duration::zero(), paused_until_ - now);
  return missing <= rounding ? paused : paused + from_seconds(missing / rate(priority));
}

Duration TokenBucket::wait(Duration now, double cost, Priority priority, const Ahead& ahead) const {
  // A call that costs more than the bucket holds leaves when it is full, and those after it wait longer.
  const double need = std::min(cost, capacity(Priority::scheduled)) + ahead.scheduled;
  if (priority == Priority::scheduled) return wait_for(all_, now, need, priority);
  const double own = std::min(cost, capacity(Priority::backfill)) + ahead.backfill;
  return std::max(wait_for(all_, now, need + ahead.backfill, Priority::scheduled),
                  wait_for(backfill_, now, own, Priority::backfill));
}

void TokenBucket::take(Duration now, double cost, Priority priority) {
  refill(now);
  all_.tokens -= cost;
  if (priority == Priority::backfill) backfill_.tokens -= cost;
}

void TokenBucket::succeeded(Duration now) {
  if (now < paused_until_) return;  // it left before the pause and says nothing about what comes after
  in_trouble_ = false;
  next_pause_ = limit_.first_pause;
  if (factor_ >= 1 || now - raised_ < raise_every) return;
  refill(now);
  factor_ = std::min(1.0, factor_ + raise_by);
  raised_ = now;
}

bool TokenBucket::pause(Duration now, Duration length) {
  paused_until_ = std::max(paused_until_, now + std::min(length, longest_pause));
  return !std::exchange(in_trouble_, true);
}

bool TokenBucket::throttled(Duration now, std::optional<Duration> asked, double luck) {
  const bool same = now < paused_until_;  // several calls were under way when the first was refused
  if (same && !asked) return false;
  if (!same) {
    refill(now);
    factor_ = std::max(least_factor, factor_ / 2);
    raised_ = now;
    all_.tokens = std::min(all_.tokens, 1.0);
    backfill_.tokens = std::min(backfill_.tokens, 1.0);
  }
  const auto length = asked ? std::clamp(*asked, shortest_pause, longest_pause) : next_pause_;
  if (!asked) next_pause_ = std::min(next_pause_ * 2, longest_pause);
  return pause(now, length + from_seconds(seconds(length) * luck / 10));
}

bool TokenBucket::usage(Duration now, double fraction, std::optional<Duration> regain) {
  refill(now);
  utilization_ = fraction;
  if (fraction >= peak_ || now - peak_at_ >= peak_holds) {
    peak_ = fraction;
    peak_at_ = now;
  }
  refill(now);  // what it holds shrinks with the pace
  if (peak_ >= limit_.target) held_back_ = true;
  if (peak_ <= limit_.target * slow_down_from) held_back_ = false;
  if (regain && *regain > Duration::zero()) return pause(now, *regain);
  if (fraction >= 1) return pause(now, full_pause);
  return false;
}

double TokenBucket::backfill_tokens(Duration now) const {
  return refilled(backfill_, now, Priority::backfill);
}

void TokenBucket::restore(double tokens, double backfill_tokens, Duration ago) {
  const auto grown = [&](double left, Priority priority) {
    return std::min(capacity(priority), left + seconds(std::max(ago, Duration::zero())) * rate(priority));
  };
  all_.tokens = grown(tokens, Priority::scheduled);
  backfill_.tokens = grown(backfill_tokens, Priority::backfill);
}

double TokenBucket::tokens(Duration now) const {
  return refilled(all_, now, Priority::scheduled);
}

}  // namespace sluice
