#include "core/retry.hpp"

#include <algorithm>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr Duration longest_asked = 1h;
constexpr Duration default_throttle = 1min;

Duration up_to(Duration most, Rng& rng) {
  return Duration(std::uniform_int_distribution<Duration::rep>(0, std::max<Duration::rep>(0, most.count()))(rng));
}

}  // namespace

std::optional<Duration> RetryPolicy::delay(int failures, Duration spent, const Error& error, Rng& rng) const {
  const auto asked = error.wait() ? std::clamp<Duration>(*error.wait(), 0s, longest_asked) : Duration::zero();
  if (error.remedy() == Remedy::slow_down) {
    const auto pause = error.wait() ? std::max<Duration>(asked, 1s) : default_throttle;
    return pause + up_to(pause / 10, rng);
  }
  if (error.remedy() != Remedy::retry || failures >= attempts) return {};
  Duration bound = std::min(least, most);
  for (int i = 1; i < failures && bound < most; ++i) bound = std::min(bound * 2, most);
  const auto jitter = up_to(bound, rng);
  if (spent + jitter > within) return {};
  return asked + jitter;
}

}  // namespace sluice
