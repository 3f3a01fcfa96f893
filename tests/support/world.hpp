#pragma once
#include <map>

#include "core/clock.hpp"
#include "core/task.hpp"

namespace sluice::test {

// A clock that stands still until everybody waits, then jumps to the next sleeper.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(asio::any_io_executor executor, Instant start);
  Instant now() const override { return start_ + uptime_ + step_; }
  Duration uptime() const override { return uptime_; }
  task<void> sleep_for(Duration d) override;
  // The administrator, or NTP, steps the wall clock; `uptime` does not notice.
  void step(Duration by) { step_ += by; }
  // Jumps to the next sleeper and wakes it; false when nobody sleeps.
  bool advance();

 private:
  struct Sleeper;
  asio::any_io_executor executor_;
  Instant start_;
  Duration uptime_{};
  Duration step_{};
  std::multimap<Duration, Sleeper*> sleepers_;
};

// An event loop in virtual time: `run` drives a task to its end, and fails the test when the task waits for something
// that will never come. Work on a Worker thread is waited for before time moves on.
class World {
 public:
  explicit World(Instant start = *parse_instant("2026-03-02T12:00:00Z"));
  ~World();
  asio::any_io_executor executor() { return io_.get_executor(); }
  asio::io_context& io() { return io_; }
  FakeClock& clock() { return clock_; }

  // Runs to the end; rethrows what the task threw.
  void run(task<void> t);
  template <typename T>
  T run(task<T> t) {
    std::optional<T> result;
    run(detail::store(std::move(t), result));
    return std::move(*result);
  }
  // Runs the task until `when` (virtual), then cancels it and waits for its end. True when it had ended by itself.
  bool run_until(Instant when, task<void> t);

 private:
  void drive(const bool& done);
  asio::io_context io_;
  FakeClock clock_;
};

}  // namespace sluice::test
