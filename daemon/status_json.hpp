#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/state.hpp"
#include "daemon/configuration.hpp"
#include "daemon/control.hpp"
#include "scheduler/scheduler.hpp"

// The JSON of pipelines and runs: what the HTTP API answers and `-o json` prints.

namespace sluice {

// As a person reads it, a line break at its end. What is no UTF-8 becomes U+FFFD.
std::string pretty(const Json& json);

Json counts_json(const Counts& counts);
Json run_json(const RunRecord& run);
Json pipeline_json(const Pipeline& pipeline, const PipelineStatus& status);
// What can be said without a daemon, from the state alone.
PipelineStatus status_from_state(const Pipeline& pipeline, const PipelineState& state,
                                 const std::vector<RunRecord>& runs);
// "cron 7 * * * * (Europe/London)", "every 15m", "after google", "by hand"
std::string schedule_text(const Schedule& schedule);

}  // namespace sluice
