#include "daemon/event_hub.hpp"

#include <nlohmann/json.hpp>

#include "daemon/status_json.hpp"

namespace sluice {
namespace {

constexpr std::size_t remembered = 1000;
constexpr Duration progress_every = std::chrono::milliseconds(250);

using nlohmann::json;

double in_seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

struct ToJson {
  std::string& name;

  json operator()(const RunStarted& e) const {
    name = "run_started";
    return {{"run", e.run},
            {"pipeline", e.pipeline},
            {"trigger", e.trigger},
            {"planned", format_instant(e.planned)},
            {"started", format_instant(e.started)}};
  }
  json operator()(const RunPlanned& e) const {
    name = "run_planned";
    return {{"run", e.run}, {"pipeline", e.pipeline}, {"slices", e.slices}};
  }
  json operator()(const RunEnded& e) const {
    name = "run_ended";
    return {{"run", e.run},
            {"pipeline", e.pipeline},
            {"trigger", e.trigger},
            {"outcome", to_string(e.outcome)},
            {"message", e.message},
            {"seconds", in_seconds(e.took)},
            {"counts", counts_json(e.counts)},
            {"slices_published", e.slices_published},
            {"slices_failed", e.slices_failed}};
  }
  json operator()(const SliceStarted& e) const {
    name = "slice_started";
    return {{"run", e.run}, {"pipeline", e.pipeline}, {"stream", e.stream}, {"slice", e.slice}};
  }
  json operator()(const SliceProgress& e) const {
    name = "slice_progress";
    return {{"run", e.run}, {"pipeline", e.pipeline}, {"stream", e.stream}, {"slice", e.slice}, {"rows", e.rows}};
  }
  json operator()(const SliceEnded& e) const {
    name = "slice_ended";
    return {{"run", e.run},
            {"pipeline", e.pipeline},
            {"stream", e.stream},
            {"slice", e.slice},
            {"outcome", to_string(e.outcome)},
            {"message", e.message},
            {"seconds", in_seconds(e.took)},
            {"counts", counts_json(e.counts)}};
  }
  json operator()(const WatermarkMoved& e) const {
    name = "watermark";
    return {{"pipeline", e.pipeline}, {"stream", e.stream}, {"watermark", format_instant(e.watermark)}};
  }
  json operator()(const QuarantineSize& e) const {
    name = "quarantine";
    return {{"pipeline", e.pipeline}, {"stream", e.stream}, {"rows", e.rows}};
  }
  json operator()(const SchemaChanged& e) const {
    name = "schema_changed";
    return {{"pipeline", e.pipeline},
            {"stream", e.stream},
            {"column", e.column},
            {"action", e.action},
            {"message", e.message}};
  }
  json operator()(const SinkState& e) const {
    name = "sink";
    return {{"sink", e.sink}, {"up", e.up}, {"message", e.message}};
  }
  json operator()(const Throttled& e) const {
    name = "throttled";
    return {{"source", e.source}, {"bucket", e.bucket}, {"message", e.message}, {"pause_seconds", in_seconds(e.pause)}};
  }
  json operator()(const FireMissed& e) const {
    name = "fire_missed";
    return {{"pipeline", e.pipeline}, {"reason", e.reason}, {"planned", format_instant(e.planned)}, {"count", e.count}};
  }
  json operator()(const Notice& e) const {
    name = "notice";
    return {{"level", to_string(e.level)}, {"pipeline", e.pipeline}, {"stream", e.stream}, {"message", e.message}};
  }
  template <typename Other>
  json operator()(const Other&) const {
    return nullptr;
  }
};

}  // namespace

LiveEvent live_event(const Event& event, Instant now, const Log& log) {
  LiveEvent live;
  auto body = std::visit(ToJson{live.name}, event);
  if (live.name.empty()) return live;
  body["time"] = format_instant(std::chrono::floor<std::chrono::milliseconds>(now));
  if (body.contains("message")) body["message"] = log.scrub(body["message"].get_ref<const std::string&>());
  live.json = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return live;
}

EventHub::EventHub(asio::any_io_executor executor, const Clock& clock, Metrics& metrics, Log& log)
    : clock_(clock), metrics_(metrics), log_(log), changed_(std::move(executor)) {}

void EventHub::emit(const Event& event) {
  const auto now = clock_.now();
  metrics_.on(event);
  for (auto at = listeners_.begin(); at != listeners_.end();) {
    if (const auto listener = at->lock()) {
      (*listener)(event);
      ++at;
    } else {
      at = listeners_.erase(at);
    }
  }
  log_.on(event, now);  // after a progress bar has made room
  if (too_soon(event)) return;
  auto live = live_event(event, now, log_);
  if (live.name.empty()) return;
  live.id = next_id_++;
  ring_.push_back(std::move(live));
  if (ring_.size() > remembered) ring_.pop_front();
  changed_.notify_all();
}

bool EventHub::too_soon(const Event& event) {
  if (const auto* ended = std::get_if<RunEnded>(&event)) last_progress_.erase(ended->run);
  const auto* progress = std::get_if<SliceProgress>(&event);
  if (!progress) return false;
  const auto now = clock_.uptime();
  const auto [last, first] = last_progress_.try_emplace(progress->run, now);
  if (!first && now - last->second < progress_every) return true;
  last->second = now;
  return false;
}

EventHub::Listener EventHub::listen(std::function<void(const Event&)> callback) {
  auto listener = std::make_shared<std::function<void(const Event&)>>(std::move(callback));
  listeners_.push_back(listener);
  return listener;
}

std::vector<LiveEvent> EventHub::after(std::uint64_t id) const {
  const auto from = std::find_if(ring_.begin(), ring_.end(), [&](const LiveEvent& e) { return e.id > id; });
  return {from, ring_.end()};
}

task<void> EventHub::wait_after(std::uint64_t id) {
  while (newest() <= id) co_await changed_.wait();
}

}  // namespace sluice
