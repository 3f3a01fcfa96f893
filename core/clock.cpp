#include "core/clock.hpp"

namespace sluice {

task<void> Clock::sleep_until(Instant when) {
  for (auto left = when - now(); left > Duration::zero(); left = when - now())
    co_await sleep_for(std::min<Duration>(left, std::chrono::minutes(1)));
}

Instant RealClock::now() const {
  return std::chrono::floor<Duration>(std::chrono::system_clock::now());
}

Duration RealClock::uptime() const {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch());
}

task<void> RealClock::sleep_for(Duration d) {
  asio::steady_timer timer(executor_, d);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace sluice
