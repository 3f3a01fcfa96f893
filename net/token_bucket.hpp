#pragma once
#include <optional>

#include "core/connector.hpp"
#include "core/time.hpp"

namespace sluice {

struct RateLimit {
  double per_second = 10;
  double burst = 20;
  double target = 0.75;                            // share of the API's own quota that we use
  double reserve = 0.30;                           // share of rate and quota that backfills leave to scheduled runs
  Duration first_pause = std::chrono::minutes(1);  // after a refusal that does not say how long to wait
};

// How fast one bucket (an app, an ad account) may be asked. A pure value: time is an argument, `now` is Clock::uptime.
// It paces before the limit is hit: as the API's own usage nears `target`, the rate falls until only a probe now and
// then is left; a throttle halves the rate and pauses; successes bring it back step by step (additive increase,
// multiplicative decrease). Backfills draw from a smaller pool of their own as well.
class TokenBucket {
 public:
  TokenBucket(RateLimit limit, Duration now);

  // What those who wait in front of a caller will take.
  struct Ahead {
    double scheduled = 0, backfill = 0;
  };
  // How long until `cost` can be taken (zero: now). Takes nothing, so a caller that goes away leaves nothing behind.
  Duration wait(Duration now, double cost, Priority priority, const Ahead& ahead) const;
  // A cost below zero gives back what was taken for nothing.
  void take(Duration now, double cost, Priority priority);

  void succeeded(Duration now);
  // The API refused. Nothing leaves for as long as it asked, where it did; else for `first_pause`, and twice that each
  // time it refuses again. At most for an hour: then one call finds out. `luck` (0…1) makes it up to a tenth longer.
  // True when trouble begins with it, false when it only goes on.
  bool throttled(Duration now, std::optional<Duration> asked, double luck);
  // What the API's headers say of its own quota: 0.5 is half used, above 1 is over. `regain`: how long until it is
  // usable again, where it says so. True when a pause begins.
  bool usage(Duration now, double fraction, std::optional<Duration> regain);

  double tokens(Duration now) const;
  // What is left for backfills.
  double backfill_tokens(Duration now) const;
  // As another process left them, so long ago.
  void restore(double tokens, double backfill_tokens, Duration ago);
  double rate() const { return rate(Priority::scheduled); }  // at present, per second
  std::optional<double> utilization() const { return utilization_; }
  Duration paused_until() const { return paused_until_; }
  // The API's own quota was used up to the target, and has not recovered since: calls go slowly.
  bool held_back() const { return held_back_; }

 private:
  struct Pool {
    double tokens = 0;
  };
  double share(Priority priority) const;
  double pace(Priority priority) const;
  double rate(Priority priority) const;
  double capacity(Priority priority) const;
  double refilled(const Pool& pool, Duration now, Priority priority) const;
  Duration wait_for(const Pool& pool, Duration now, double need, Priority priority) const;
  void refill(Duration now);
  bool pause(Duration now, Duration length);

  RateLimit limit_;
  Pool all_, backfill_;
  double factor_ = 1;  // of the configured rate
  Duration last_;
  Duration raised_;
  Duration paused_until_{};
  Duration next_pause_;
  bool in_trouble_ = false;
  bool held_back_ = false;
  std::optional<double> utilization_;
  double peak_ = 0;  // the highest usage of the last minute: an API's headers differ from one path to another
  Duration peak_at_{};
};

}  // namespace sluice
