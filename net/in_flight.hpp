#pragma once
#include <map>
#include <memory>
#include <string>

#include "core/task.hpp"

namespace sluice {

// How many requests may be under way at once, where an API counts them for an account: whatever sources and pipelines
// they come from. One for the process.
class InFlightLimits {
 public:
  // The permits called `name`, the same for all that ask for them while one holds them.
  std::shared_ptr<Semaphore> of(const asio::any_io_executor& executor, const std::string& name, std::int64_t permits) {
    auto& known = known_[name];
    auto limit = known.lock();
    if (!limit) known = limit = std::make_shared<Semaphore>(executor, permits);
    return limit;
  }

 private:
  std::map<std::string, std::weak_ptr<Semaphore>> known_;
};

}  // namespace sluice
