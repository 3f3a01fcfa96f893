#pragma once
#include <boost/asio/co_spawn.hpp>
#include <optional>

#include "core/task.hpp"

namespace sluice::test {

// Runs a task to its end on a loop of its own, in real time.
inline void run_on(asio::io_context& io, task<void> work) {
  std::exception_ptr failure;
  bool done = false;
  asio::co_spawn(io, std::move(work), [&](const std::exception_ptr& error) {
    failure = error;
    done = true;
  });
  io.restart();
  while (!done) io.run_one();
  if (failure) std::rethrow_exception(failure);
}

template <typename T>
T run_on(asio::io_context& io, task<T> work) {
  std::optional<T> result;
  run_on(io, detail::store(std::move(work), result));
  return std::move(*result);
}

}  // namespace sluice::test
