#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.hpp"
#include "core/time.hpp"

namespace sluice {

namespace asio = boost::asio;
using boost::system::error_code;

template <typename T>
using task = asio::awaitable<T>;

class Clock;

// True for the exception that a cancelled co_await throws. A cancelled task is not an error: let it pass.
bool is_cancellation(const std::exception_ptr& error);

// What a failure says, as an Error; one that is no Error (a library's, a mistake of ours) is worth no other try.
// A cancellation, and what is no std::exception, is thrown again.
Error error_of(const std::exception_ptr& failure);

// Throws what a cancelled co_await throws.
[[noreturn]] void throw_cancelled();

// Children that never outlive the scope that joins them. The only way to spawn.
//   TaskGroup group(executor); group.spawn(f()); group.spawn(g()); co_await group.join();
// Between the first spawn and join nothing may throw. References into a child must outlive the join.
// When a child fails, the others are cancelled and join throws the first failure. When the joining task is cancelled,
// so are the children; join waits for them all the same.
class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  void spawn(task<void> child);
  // Asks every running child to stop; their cancellation is not a failure.
  void cancel();
  // How many children are still running.
  std::size_t running() const { return children_.size(); }
  task<void> join();

 private:
  struct Child {
    asio::cancellation_signal stop;
  };
  void finished(std::list<Child>::iterator child, const std::exception_ptr& error);

  asio::any_io_executor executor_;
  std::list<Child> children_;
  std::exception_ptr failure_;
  bool cancelled_ = false;
  asio::steady_timer changed_;
};

// Something that tasks wait for: `notify_all` wakes those that wait now.
class Signal {
 public:
  explicit Signal(asio::any_io_executor executor);
  task<void> wait();
  void notify_all();

 private:
  asio::steady_timer timer_;
};

// At most `permits` at a time, first come first served. `acquire(n)` takes n of them at once; more than there are in
// all is granted when nobody else holds any, so that one large batch cannot wait for ever.
class Semaphore {
 public:
  Semaphore(asio::any_io_executor executor, std::int64_t permits);

  class Permit {
   public:
    Permit() = default;
    Permit(Semaphore* owner, std::int64_t count) : owner_(owner), count_(count) {}
    Permit(Permit&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), count_(other.count_) {}
    Permit& operator=(Permit&& other) noexcept;
    ~Permit() { release(); }
    void release();

   private:
    Semaphore* owner_ = nullptr;
    std::int64_t count_ = 0;
  };

  task<Permit> acquire(std::int64_t count = 1);
  std::int64_t available() const { return permits_ - held_; }
  // From now on. Where more are held, nobody gets one until enough have come back.
  void set_permits(std::int64_t permits);

 private:
  bool fits(std::int64_t count) const { return held_ == 0 || held_ + count <= permits_; }
  std::int64_t permits_;
  std::int64_t held_ = 0;
  std::uint64_t next_ticket_ = 0;
  std::list<std::uint64_t> queue_;
  Signal changed_;
};

// Before work that takes a millisecond or more (a page of rows is taken apart): waits until the loop has turned some
// times since the last such piece was begun. What is small, a health check or a timer, then stands behind one of them,
// and not behind those of all slices.
task<void> take_turn();

namespace detail {
// Runs `body` on its own, deaf to the caller's cancellation, and returns once it has ended.
task<void> run_shielded(task<void> body);
// True when `body` ended within `limit`, false when it was cancelled because it did not.
task<bool> run_within(Clock& clock, Duration limit, task<void> body);

template <typename T>
task<void> store(task<T> operation, std::optional<T>& result) {
  result.emplace(co_await std::move(operation));
}
}  // namespace detail

// An operation that finishes although its parent is cancelled meanwhile; the cancellation is thrown when it has ended.
inline task<void> shield(task<void> operation) {
  co_await detail::run_shielded(std::move(operation));
}

template <typename T>
task<T> shield(task<T> operation) {
  std::optional<T> result;
  co_await detail::run_shielded(detail::store(std::move(operation), result));
  co_return std::move(*result);
}

// The result of `operation`, or nothing (for void: false) when it took longer than `limit`; then it has been cancelled
// and has ended.
inline task<bool> with_timeout(Clock& clock, Duration limit, task<void> operation) {
  co_return co_await detail::run_within(clock, limit, std::move(operation));
}

template <typename T>
task<std::optional<T>> with_timeout(Clock& clock, Duration limit, task<T> operation) {
  std::optional<T> result;
  const bool in_time = co_await detail::run_within(clock, limit, detail::store(std::move(operation), result));
  if (!in_time) result.reset();
  co_return result;
}

}  // namespace sluice
