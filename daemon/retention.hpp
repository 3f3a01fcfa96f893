#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/events.hpp"

namespace sluice {

// Somewhere that forgets what is older than `retention`: the state, a sink.
struct Memory {
  std::string name;                            // "sink warehouse"
  std::function<task<std::int64_t>()> forget;  // gives how much that was; throws Error
  Memory(std::string n, std::function<task<std::int64_t>()> f) : name(std::move(n)), forget(std::move(f)) {}
};

// Lets each forget once a day, one after another. What fails is said once, and tried again each hour until it succeeds.
class Retention {
 public:
  // `memories` is asked each time: a reload may have changed them.
  Retention(Clock& clock, Events& events, std::function<std::vector<Memory>()> memories)
      : clock_(clock), events_(events), memories_(std::move(memories)) {}
  // Until it is cancelled.
  task<void> run();

 private:
  struct Turn {
    Duration next{};  // uptime
    bool failing = false;
  };
  task<void> forget(const Memory& memory, Turn& turn);

  Clock& clock_;
  Events& events_;
  std::function<std::vector<Memory>()> memories_;
  std::map<std::string, Turn> turns_;
};

}  // namespace sluice
