#pragma once
#include "core/clock.hpp"

namespace sluice::fuzz {

struct StillClock final : Clock {
  Instant now() const override { return Instant(std::chrono::hours(500'000)); }
  Duration uptime() const override { return std::chrono::hours(1); }
  task<void> sleep_for(Duration) override { co_return; }
};

}  // namespace sluice::fuzz
