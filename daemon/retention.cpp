#include "daemon/retention.hpp"

#include <fmt/format.h>

#include "core/error.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr Duration after_start = 5s;  // those that were missed go first
constexpr Duration look_every = 1min;
constexpr Duration once_in = 24h;
constexpr Duration again_after = 1h;

}  // namespace

task<void> Retention::run() {
  co_await clock_.sleep_for(after_start);
  for (;;) {
    const auto memories = memories_();
    for (const auto& memory : memories) {
      auto& turn = turns_[memory.name];
      if (clock_.uptime() >= turn.next) co_await forget(memory, turn);
    }
    co_await clock_.sleep_for(look_every);
  }
}

task<void> Retention::forget(const Memory& memory, Turn& turn) {
  std::exception_ptr failure;
  try {
    auto forgetting = memory.forget();
    co_await std::move(forgetting);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure && is_cancellation(failure)) std::rethrow_exception(failure);
  turn.next = clock_.uptime() + (failure ? again_after : once_in);
  if (failure && !turn.failing)
    events_.emit(Notice{Level::warning,
                        {},
                        {},
                        fmt::format("{}: what is older than retention cannot be removed: {}; it is tried again each "
                                    "hour",
                                    memory.name, error_of(failure).what())});
  turn.failing = failure != nullptr;
}

}  // namespace sluice
