#pragma once
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "core/clock.hpp"
#include "core/events.hpp"
#include "daemon/log.hpp"
#include "daemon/metrics.hpp"

namespace sluice {

// An event as people and browsers follow it: a name and JSON. Empty name: not for them (requests, buckets).
struct LiveEvent {
  std::uint64_t id = 0;
  std::string name, json;
};
LiveEvent live_event(const Event& event, Instant now, const Log& log);

// Where everything that happens is said: passes it to the metrics, the log, and those who follow live.
class EventHub final : public Events {
 public:
  EventHub(asio::any_io_executor executor, const Clock& clock, Metrics& metrics, Log& log);
  void emit(const Event& event) override;

  // Somebody in this process who wants every event, at once: a progress bar. Until the listener is destroyed.
  using Listener = std::shared_ptr<std::function<void(const Event&)>>;
  Listener listen(std::function<void(const Event&)> callback);

  // Live events after `id`, as many as are still remembered (the newest thousand). A reader that is slow misses the
  // oldest; nobody waits for it.
  std::vector<LiveEvent> after(std::uint64_t id) const;
  std::uint64_t newest() const { return next_id_ - 1; }
  // Until there is something newer than `id`.
  task<void> wait_after(std::uint64_t id);

 private:
  bool too_soon(const Event& event);

  const Clock& clock_;
  Metrics& metrics_;
  Log& log_;
  std::deque<LiveEvent> ring_;
  std::uint64_t next_id_ = 1;
  std::map<std::string, Duration> last_progress_;  // of each run: when its slices' progress was last said
  std::list<std::weak_ptr<std::function<void(const Event&)>>> listeners_;
  Signal changed_;
};

}  // namespace sluice
