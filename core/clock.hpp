#pragma once
#include "core/task.hpp"
#include "core/time.hpp"

namespace sluice {

// Two times: the wall clock (`now`), which can be stepped and says when things happened and when schedules fire, and
// `uptime`, which only ever advances and is what waiting is measured in.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  virtual Duration uptime() const = 0;
  virtual task<void> sleep_for(Duration d) = 0;
  // Until the wall clock shows `when`; a clock that is stepped is noticed within a minute.
  task<void> sleep_until(Instant when);
};

class RealClock final : public Clock {
 public:
  explicit RealClock(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Instant now() const override;
  Duration uptime() const override;
  task<void> sleep_for(Duration d) override;

 private:
  asio::any_io_executor executor_;
};

}  // namespace sluice
