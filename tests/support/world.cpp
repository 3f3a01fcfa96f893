#include "tests/support/world.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>

#include "core/worker.hpp"

namespace sluice::test {

struct FakeClock::Sleeper {
  asio::steady_timer timer;
  bool woken = false;
  explicit Sleeper(const asio::any_io_executor& executor) : timer(executor, asio::steady_timer::time_point::max()) {}
};

FakeClock::FakeClock(asio::any_io_executor executor, Instant start) : executor_(std::move(executor)), start_(start) {}

task<void> FakeClock::sleep_for(Duration d) {
  Sleeper sleeper(executor_);
  const auto at = sleepers_.emplace(uptime_ + std::max(d, Duration::zero()), &sleeper);
  error_code ignored;
  co_await sleeper.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (sleeper.woken) co_return;
  sleepers_.erase(at);
  throw_cancelled();
}

bool FakeClock::advance() {
  if (sleepers_.empty()) return false;
  uptime_ = std::max(uptime_, sleepers_.begin()->first);
  auto* next = sleepers_.begin()->second;
  sleepers_.erase(sleepers_.begin());
  next->woken = true;
  next->timer.cancel();
  return true;
}

World::World(Instant start) : clock_(io_.get_executor(), start) {}

World::~World() = default;

void World::drive(const bool& done) {
  while (!done) {
    io_.restart();
    if (io_.poll() > 0) continue;
    if (Worker::in_flight() > 0) {
      io_.run_one_for(std::chrono::seconds(10));
      continue;
    }
    if (!clock_.advance()) throw std::logic_error("the task waits for something that will never come");
  }
}

void World::run(task<void> t) {
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(io_, std::move(t), [&](const std::exception_ptr& error) {
    failure = error;
    done = true;
  });
  drive(done);
  if (failure) std::rethrow_exception(failure);
}

bool World::run_until(Instant when, task<void> t) {
  const auto left = when - clock_.now();
  return run(with_timeout(clock_, left, std::move(t)));
}

}  // namespace sluice::test
