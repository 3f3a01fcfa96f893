#include "daemon/status_json.hpp"

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

Json instant(const std::optional<Instant>& when) {
  return when ? Json(format_instant(std::chrono::floor<std::chrono::seconds>(*when))) : Json(nullptr);
}

Json precise_instant(const std::optional<Instant>& when) {
  return when ? Json(format_instant(std::chrono::floor<std::chrono::milliseconds>(*when))) : Json(nullptr);
}

}  // namespace

std::string schedule_text(const Schedule& schedule) {
  if (const auto* cron = std::get_if<Cron>(&schedule.when))
    return fmt::format("cron {} ({})", cron->text(), schedule.zone_name);
  if (const auto* every = std::get_if<Duration>(&schedule.when)) return "every " + format_duration(*every);
  if (const auto* after = std::get_if<std::vector<std::string>>(&schedule.when))
    return fmt::format("after {}", fmt::join(*after, ", "));
  return "by hand";
}

std::string pretty(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json counts_json(const Counts& c) {
  return Json{{"read", c.read},           {"inserted", c.inserted},      {"updated", c.updated},
              {"unchanged", c.unchanged}, {"deleted", c.deleted},        {"duplicate", c.duplicate},
              {"filtered", c.filtered},   {"quarantined", c.quarantined}};
}

Json run_json(const RunRecord& run) {
  Json json{{"id", run.id}, {"pipeline", run.pipeline}, {"trigger", run.trigger}};
  json["outcome"] = run.outcome ? Json(to_string(*run.outcome)) : Json(nullptr);
  json["planned"] = precise_instant(run.planned);
  json["started"] = precise_instant(run.started);
  json["ended"] = precise_instant(run.ended);
  json["message"] = run.message;
  json["attempt"] = run.attempt;
  json["slices_published"] = run.slices_published;
  json["slices_failed"] = run.slices_failed;
  json["counts"] = counts_json(run.counts);
  return json;
}

Json pipeline_json(const Pipeline& pipeline, const PipelineStatus& status) {
  Json json{{"name", pipeline.name}, {"source", pipeline.source}, {"sink", pipeline.sink}};
  json["enabled"] = status.enabled;
  json["paused"] = status.paused;
  json["schedule"] = schedule_text(pipeline.schedule);
  json["running"] = status.running ? Json(*status.running) : Json(nullptr);
  json["running_since"] = instant(status.running_since);
  json["waiting"] = status.waiting;
  json["next_fire"] = instant(status.next_fire);
  json["next_retry"] = instant(status.next_retry);
  json["last_run"] = status.last_run ? Json(*status.last_run) : Json(nullptr);
  json["last_outcome"] = status.last_outcome ? Json(to_string(*status.last_outcome)) : Json(nullptr);
  json["last_ended"] = instant(status.last_ended);
  json["last_message"] = status.last_message;
  json["last_succeeded"] = instant(status.last_succeeded);
  json["consecutive_failures"] = status.consecutive_failures;
  if (pipeline.freshness) json["freshness"] = format_duration(*pipeline.freshness);
  auto& streams = json["streams"] = Json::array();
  for (const auto& stream : pipeline.streams)
    streams.push_back(Json{{"name", stream.name}, {"table", stream.table.name}, {"enabled", stream.enabled}});
  return json;
}

PipelineStatus status_from_state(const Pipeline& pipeline, const PipelineState& state,
                                 const std::vector<RunRecord>& runs) {
  PipelineStatus status;
  status.name = pipeline.name;
  status.enabled = pipeline.enabled;
  status.paused = state.paused;
  status.last_started = state.last_started;
  status.last_succeeded = state.last_succeeded;
  status.consecutive_failures = state.consecutive_failures;
  for (const auto& run : runs) {
    if (!run.outcome && run.trigger != "backfill" && !status.running) {
      status.running = run.id;
      status.running_since = run.started;
    }
    if (!run.outcome || run.trigger == "backfill" || status.last_run) continue;
    status.last_run = run.id;
    status.last_outcome = run.outcome;
    status.last_ended = run.ended;
    status.last_message = run.message;
  }
  return status;
}

}  // namespace sluice
