#pragma once
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>

#include "core/task.hpp"

namespace sluice {

// One thread for calls that block (SQLite), so that the loop never does. Calls run one after another,
// in the order they were made: an object that is only ever used inside `run` needs no lock.
class Worker {
 public:
  Worker() : pool_(1) {}
  ~Worker() { pool_.join(); }

  // Runs `call` on the thread and gives its result, or its exception, to the caller on the loop. Once begun it is not
  // interrupted: a cancelled caller waits for its end.
  template <typename F>
  task<std::invoke_result_t<F>> run(F call);

  // Calls under way in the whole process. Virtual time does not advance while there are any.
  static std::int64_t in_flight() { return in_flight_.load(); }

 private:
  asio::thread_pool pool_;
  static inline std::atomic<std::int64_t> in_flight_{0};
};

template <typename F>
task<std::invoke_result_t<F>> Worker::run(F call) {
  using Result = std::invoke_result_t<F>;
  constexpr bool is_void = std::is_void_v<Result>;
  using Stored = std::conditional_t<is_void, bool, std::optional<std::conditional_t<is_void, bool, Result>>>;
  struct Job {
    std::exception_ptr failure;
    Stored result{};
    bool done = false;
  };
  const auto loop = co_await asio::this_coro::executor;
  auto job = std::make_shared<Job>();
  auto finished = std::make_shared<Signal>(loop);
  auto work = std::make_shared<F>(std::move(call));
  ++in_flight_;
  asio::post(pool_, [job, finished, work, loop,
                     keep = asio::prefer(loop, asio::execution::outstanding_work.tracked)]() mutable {
    try {
      if constexpr (is_void)
        (*work)();
      else
        job->result.emplace((*work)());
    } catch (...) {
      job->failure = std::current_exception();
    }
    work.reset();
    asio::post(loop, [job, finished] {
      job->done = true;
      --in_flight_;
      finished->notify_all();
    });
  });
  const auto wait = [](Job& awaited, Signal& signal) -> task<void> {
    while (!awaited.done) co_await signal.wait();
  };
  auto waiting = wait(*job, *finished);
  co_await shield(std::move(waiting));
  if (job->failure) std::rethrow_exception(job->failure);
  if constexpr (!is_void) co_return std::move(*job->result);
}

}  // namespace sluice
