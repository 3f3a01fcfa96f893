#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/lane.hpp"
#include "scheduler/pipeline.hpp"

namespace sluice {

struct ReplayOptions {
  QuarantineFilter filter;
  bool dry_run = false;  // only map the rows; nothing is written
};

// What came of the quarantined rows of a stream.
struct ReplayResult {
  std::int64_t loaded = 0;            // dry_run: fit now
  std::int64_t skipped = 0;           // their key or window was loaded since; they left the quarantine
  std::int64_t refused = 0;           // still do not fit
  std::int64_t waiting = 0;           // whole answers, whose slices are read again by themselves
  std::vector<LoadFailure> failures;  // of slices whose rows stay as they are
};

// Maps a stream's quarantined rows again, as the connector, the profile and the transform are now, and loads those that
// fit: slice after slice, each in one transaction of the sink. Safe beside runs. A slice that fails leaves the others
// alone; throws Error when the table cannot be prepared or the quarantine not be read.
task<ReplayResult> replay_quarantine(const Pipeline& pipeline, const StreamPlan& plan, const ReplayOptions& options,
                                     RunContext& context);

}  // namespace sluice
