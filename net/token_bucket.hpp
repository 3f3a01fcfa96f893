#pragma once
#include <optional>

#include "core/connector.hpp"
#include "core/time.hpp"

namespace sluice {

struct RateLimit {
  double per_second = 10;
  double burst = 20;
  double target = 0.75;   // share of the API's own quota that we use
  double reserve = 0.30;  // share of the rate that backfills leave to scheduled runs
};

// How fast one bucket (an app, an ad account) may be asked. A pure value: time is an argument, `now` is Clock::uptime.
// It paces before the limit is hit: as the API's own usage nears `target`, the rate falls; a throttle halves it and
// pauses; successes bring it back step by step (additive increase, multiplicative decrease).
class TokenBucket {
 public:
  TokenBucket(RateLimit limit, Duration now);

  // Takes `cost` tokens and says how long the caller must wait before it may use them (zero: now).
  Duration reserve(Duration now, double cost, Priority priority);
  // Gives back what a caller that went away had reserved.
  void cancel(double cost);
  void succeeded(Duration now);
  // The API refused: nothing leaves for `pause`, then the rate starts from half of what it was.
  void throttled(Duration now, Duration pause);
  // What the API's headers say of its own quota: 0.5 is half used, above 1 is over. `regain`: how long until it is
  // usable again, where it says so.
  void usage(Duration now, double fraction, std::optional<Duration> regain);

  double tokens(Duration now) const;
  double rate() const;  // at present, per second
  std::optional<double> utilization() const { return utilization_; }
  Duration paused_until() const { return paused_until_; }

 private:
  void refill(Duration now);
  RateLimit limit_;
  double tokens_;
  double factor_ = 1;  // of the configured rate
  Duration last_;
  Duration paused_until_{};
  std::optional<double> utilization_;
};

}  // namespace sluice
