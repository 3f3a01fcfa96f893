#pragma once
#include <optional>
#include <stdexcept>
#include <string>

#include "core/time.hpp"

namespace sluice {

// What the one who catches an error can do about it.
enum class Remedy {
  retry,             // the same again, later
  slow_down,         // the other side is throttling: wait, without counting it as a failure
  shrink,            // ask for less: a smaller page, a shorter window, fewer columns
  postpone,          // nothing helps before `wait` is over, hours from now: end the run, another one starts then
  reauthenticate,    // the credential was refused: renew it once, then stop
  give_up,           // nothing a machine can do; the message tells a person what to do
  give_up_partition  // the same, and whatever else is asked of the partition (an account) would be refused like this
};

// The one exception type. `what()` is a single message for the user: what happened, where, and what to do.
class Error : public std::runtime_error {
 public:
  Error(Remedy remedy, const std::string& what, std::optional<Duration> wait = {})
      : std::runtime_error(what), remedy_(remedy), wait_(wait) {}

  Remedy remedy() const { return remedy_; }
  // How long the other side asked us to wait, where it did.
  std::optional<Duration> wait() const { return wait_; }
  // Every slice of the partition would fail like this.
  bool of_partition() const { return remedy_ == Remedy::give_up_partition || remedy_ == Remedy::reauthenticate; }
  // Worth another try by the pipeline's own `retry`, later: a passing cause.
  bool passing() const {
    return remedy_ == Remedy::retry || remedy_ == Remedy::slow_down || remedy_ == Remedy::postpone;
  }

 private:
  Remedy remedy_;
  std::optional<Duration> wait_;
};

}  // namespace sluice
