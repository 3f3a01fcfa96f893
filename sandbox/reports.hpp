#pragma once
#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <unordered_map>

#include "core/clock.hpp"
#include "sandbox/faults.hpp"
#include "sandbox/insights.hpp"

namespace sluice::sandbox {

// An asynchronous report run.
struct Report {
  std::int64_t id = 0;
  InsightsQuery query;
  Instant as_of;         // what was known then is what it shows
  Duration submitted{};  // uptime
  int polls = 0;
  int result_calls = 0;
  std::optional<int> stalls_at;  // percent
  bool skipped = false;
  int error_code = 0;
  int error_subcode = 0;
};

class Reports {
 public:
  Reports(const World& world, Faults& faults, Clock& clock, Duration delay)
      : world_(world), faults_(faults), clock_(clock), delay_(delay) {}

  // Takes the faults that strike a submission into account; what they do shows while the report is polled.
  Report& submit(InsightsQuery query, Instant now, std::string_view subject);
  Report* find(std::int64_t id);
  // What a poll answers; throws not-found where the fault says so.
  nlohmann::ordered_json poll(Report& report, std::string_view subject);
  // Throws unless the results can be had.
  void require_results(Report& report, std::string_view subject);
  const std::vector<InsightRow>& rows(const Report& report);
  std::int64_t submitted() const { return submitted_; }

 private:
  bool failed(const Report& report) const { return report.error_code != 0 || report.skipped; }
  bool complete(const Report& report) const;

  const World& world_;
  Faults& faults_;
  Clock& clock_;
  Duration delay_;
  std::int64_t submitted_ = 0;
  std::unordered_map<std::int64_t, Report> reports_;
  // Results are made when they are asked for; the last few are kept, since pages follow each other.
  std::deque<std::pair<std::int64_t, std::vector<InsightRow>>> recent_;
};

}  // namespace sluice::sandbox
