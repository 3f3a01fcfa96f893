#pragma once
#include <optional>
#include <random>

#include "core/error.hpp"
#include "core/time.hpp"

namespace sluice {

using Rng = std::mt19937_64;

// Exponential back-off with full jitter, bounded by attempts and by time.
struct RetryPolicy {
  int attempts = 6;                          // tries in all
  Duration least = std::chrono::seconds(1);  // the first delay's upper bound
  Duration most = std::chrono::minutes(5);
  Duration within = std::chrono::minutes(15);  // from the first try; waits that the other side asked for do not count

  // How long to wait before the next try, or nothing: give up. `failures` counts this one; `spent` is the time since
  // the first try without the waits that were asked for. An error's own `wait` is honoured (capped at an hour), plus
  // jitter. Throttles (slow_down) are waited out and do not count as failures.
  std::optional<Duration> delay(int failures, Duration spent, const Error& error, Rng& rng) const;
};

}  // namespace sluice
