#include "core/task.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <new>
#include <system_error>

#include "core/clock.hpp"

namespace sluice {
namespace {

// Waits for `timer` to be cancelled by its owner. True when the waiting task itself was cancelled instead (or before).
// Only for tasks that have called throw_if_cancelled(false).
task<bool> wait_unless_cancelled(asio::steady_timer& timer) {
  error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return (co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none;
}

// Boost 1.81: a coroutine that ends without ever having been suspended is posted once more by co_spawn, outside its own
// try block; were it cancelled meanwhile, that would throw into io_context::run.
task<void> run_child(task<void> child) {
  std::exception_ptr failure;
  try {
    co_await std::move(child);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(false);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

bool is_cancellation(const std::exception_ptr& error) {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

namespace {

// A thread that cannot be made is said by the standard library's exception, or by Boost's.
template <typename E>
Error system_failure(const E& error, const std::string& message) {
  const std::error_code code = error.code();
  if (code != std::errc::resource_unavailable_try_again) return {Remedy::give_up, message};
  return {Remedy::retry, "no thread can be made: give the process more of them (TasksMax=, ulimit -u) or more memory"};
}

}  // namespace

Error error_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& e) {
    return e;
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) throw;
    return system_failure(e, e.code().message());  // what() of Beast and Asio holds a signature
  } catch (const std::bad_alloc&) {
    return Error(Remedy::retry,
                 "no memory is left: give the process more (MemoryMax=, ulimit -v), or lower limits.memory");
  } catch (const std::system_error& e) {
    return system_failure(e, e.what());
  } catch (const std::exception& e) {
    return Error(Remedy::give_up, e.what());
  }
}

void throw_cancelled() {
  throw boost::system::system_error(asio::error::operation_aborted);
}

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(std::move(executor)), changed_(executor_, asio::steady_timer::time_point::max()) {}

TaskGroup::~TaskGroup() {
  if (!children_.empty()) std::terminate();  // a child would go on with references into a scope that is gone
}

void TaskGroup::spawn(task<void> child) {
  const auto at = children_.emplace(children_.end());
  if (cancelled_) at->stop.emit(asio::cancellation_type::terminal);
  asio::co_spawn(executor_, run_child(std::move(child)),
                 asio::bind_cancellation_slot(at->stop.slot(),
                                              [this, at](const std::exception_ptr& error) { finished(at, error); }));
  // A signal emitted before the slot was connected is lost: repeat it.
  if (cancelled_) at->stop.emit(asio::cancellation_type::terminal);
}

void TaskGroup::cancel() {
  cancelled_ = true;
  // A child may end, and leave the list, while its signal is being emitted.
  for (auto child = children_.begin(); child != children_.end();) {
    const auto here = child++;
    here->stop.emit(asio::cancellation_type::terminal);
  }
}

void TaskGroup::finished(std::list<Child>::iterator child, const std::exception_ptr& error) {
  children_.erase(child);
  if (error && !failure_ && !(cancelled_ && is_cancellation(error))) {
    failure_ = error;
    cancel();
  }
  changed_.cancel();
}

task<void> TaskGroup::join() {
  co_await asio::this_coro::throw_if_cancelled(false);
  bool told = false;
  while (!children_.empty()) {
    const bool cancelled = co_await wait_unless_cancelled(changed_);
    if (cancelled && !told) {
      told = true;
      cancel();
      // The signal has been passed on; from here the wait must be able to wait again.
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    }
  }
  if (told) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    // Whatever has failed meanwhile: a signal comes once, and who catches the failure would go on for ever.
    throw_cancelled();
  }
  co_await asio::this_coro::throw_if_cancelled(true);
  cancelled_ = false;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

namespace {

// Of one loop.
class LongWork final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;
  explicit LongWork(asio::execution_context& loop) : service(loop) {}
  bool begun = false;  // and the loop has not yet turned as often as it should
  // What is small mostly takes several turns: a request is accepted, read, answered.
  static void rest(const asio::any_io_executor& executor, LongWork& work, int turns = 5) {
    work.begun = turns > 0;
    if (turns > 0) asio::post(executor, [executor, &work, turns] { rest(executor, work, turns - 1); });
  }

 private:
  void shutdown() override {}
};

}  // namespace

task<void> take_turn() {
  const auto executor = co_await asio::this_coro::executor;
  auto& work = asio::use_service<LongWork>(asio::query(executor, asio::execution::context));
  while (work.begun) co_await asio::post(executor, asio::use_awaitable);
  LongWork::rest(executor, work);
}

Signal::Signal(asio::any_io_executor executor) : timer_(std::move(executor), asio::steady_timer::time_point::max()) {}

task<void> Signal::wait() {
  error_code ignored;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if ((co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none) throw_cancelled();
}

void Signal::notify_all() {
  timer_.cancel();
}

Semaphore::Semaphore(asio::any_io_executor executor, std::int64_t permits)
    : permits_(permits), changed_(std::move(executor)) {}

Semaphore::Permit& Semaphore::Permit::operator=(Permit&& other) noexcept {
  if (this == &other) return *this;
  release();
  owner_ = std::exchange(other.owner_, nullptr);
  count_ = other.count_;
  return *this;
}

void Semaphore::Permit::release() {
  if (!owner_) return;
  owner_->held_ -= count_;
  owner_->changed_.notify_all();
  owner_ = nullptr;
}

void Semaphore::set_permits(std::int64_t permits) {
  permits_ = permits;
  changed_.notify_all();
}

task<Semaphore::Permit> Semaphore::acquire(std::int64_t count) {
  struct Place {
    Semaphore& semaphore;
    std::list<std::uint64_t>::iterator at;
    ~Place() {
      semaphore.queue_.erase(at);
      semaphore.changed_.notify_all();  // the next in line may fit as well
    }
  };
  {
    Place place{*this, queue_.insert(queue_.end(), next_ticket_++)};
    while (place.at != queue_.begin() || !fits(count)) co_await changed_.wait();
    held_ += count;
  }
  co_return Permit(this, count);
}

namespace detail {

task<void> run_shielded(task<void> body) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer done(executor, asio::steady_timer::time_point::max());
  bool ended = false;
  std::exception_ptr failure;
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::co_spawn(executor, std::move(body), [&](const std::exception_ptr& error) {
    ended = true;
    failure = error;
    done.cancel();
  });
  bool cancelled = false;
  while (!ended) {
    cancelled = co_await wait_unless_cancelled(done) || cancelled;
    // One signal makes every later wait return at once: forget it here, raise it again below.
    if (cancelled && !ended) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  }
  if (cancelled) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    throw_cancelled();  // as in join
  }
  co_await asio::this_coro::throw_if_cancelled(true);
  if (failure) std::rethrow_exception(failure);
}

namespace {
task<void> run_then_cancel(task<void> body, TaskGroup& group, bool& in_time) {
  co_await std::move(body);
  in_time = true;
  group.cancel();
}

task<void> sleep_then_cancel(Clock& clock, Duration limit, TaskGroup& group) {
  co_await clock.sleep_for(limit);
  group.cancel();
}
}  // namespace

task<bool> run_within(Clock& clock, Duration limit, task<void> body) {
  TaskGroup group(co_await asio::this_coro::executor);
  bool in_time = false;
  group.spawn(run_then_cancel(std::move(body), group, in_time));
  group.spawn(sleep_then_cancel(clock, limit, group));
  co_await group.join();
  co_return in_time;
}

}  // namespace detail
}  // namespace sluice
