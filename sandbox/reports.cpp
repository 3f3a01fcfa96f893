#include "sandbox/reports.hpp"

#include <nlohmann/json.hpp>

#include "sandbox/errors.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using OrderedJson = nlohmann::ordered_json;

void fail_as(Report& report, const std::string& codes) {
  const auto slash = codes.find('/');
  report.error_code = static_cast<int>(to_int(codes.substr(0, slash)).value_or(-2));
  report.error_subcode =
      static_cast<int>(slash == std::string::npos ? 2490547 : to_int(codes.substr(slash + 1)).value_or(2490547));
}

void strike(const World& world, Faults& faults, std::string_view subject, Report& report) {
  const auto& query = report.query;
  if (const auto codes = faults.strikes("report_fails", subject))
    fail_as(report, codes->empty() ? "-2/2490547" : *codes);
  if (const auto limit = faults.strikes("report_too_large", subject))
    if (exceeds(world, query, *limit, report.as_of)) fail_as(report, "-3/1504045");
  if (const auto field = faults.strikes("poison_field", subject)) {
    const auto poison = field->empty() ? "actions" : *field;
    if (std::ranges::find(query.fields, poison) != query.fields.end()) fail_as(report, "-2/2490547");
  }
  if (const auto at = faults.strikes("report_stalls", subject))
    report.stalls_at = static_cast<int>(to_int(*at).value_or(0));
  report.skipped = faults.strikes("report_skipped", subject).has_value();
}

void add_failure(const Report& report, OrderedJson& out) {
  out["error_code"] = report.error_code;
  out["error_subcode"] = report.error_subcode;
  out["error_message"] = report.error_subcode == 1504045 ? "Report Too Large" : "Report Failed";
  out["error_user_title"] = out["error_message"];
  out["error_user_msg"] = "The report could not be generated. Ask for less data, or try again later.";
}

// Meta: 100 % with Job Running is seen for a while before the end.
std::pair<std::string_view, int> progress(Duration passed, Duration delay) {
  const auto percent = static_cast<int>(passed * 100 / delay);
  if (percent < 10) return {"Job Not Started", 0};
  if (percent < 25) return {"Job Started", 0};
  if (percent < 90) return {"Job Running", percent};
  return {"Job Running", 100};
}

}  // namespace

Report& Reports::submit(InsightsQuery query, Instant now, std::string_view subject) {
  Report report;
  report.id = 600'000'000'000'000 + static_cast<std::int64_t>(hash_of(world_.seed(), 99) % 1'000'000'000) * 100'000 +
              ++submitted_;
  report.query = std::move(query);
  report.as_of = now;
  report.submitted = clock_.uptime();
  strike(world_, faults_, subject, report);
  const auto id = report.id;
  return reports_.insert_or_assign(id, std::move(report)).first->second;
}

Report* Reports::find(std::int64_t id) {
  const auto at = reports_.find(id);
  return at == reports_.end() ? nullptr : &at->second;
}

bool Reports::complete(const Report& report) const {
  return !failed(report) && !report.stalls_at && clock_.uptime() - report.submitted >= delay_;
}

OrderedJson Reports::poll(Report& report, std::string_view subject) {
  if (faults_.armed("not_exists_after_submit")) {
    const auto polls = faults_.strikes("not_exists_after_submit", subject);
    if (polls && report.polls++ < to_int(*polls).value_or(1)) throw no_such_object(std::to_string(report.id));
  }
  const auto& account = world_.accounts()[static_cast<std::size_t>(report.query.account)];
  const auto passed = clock_.uptime() - report.submitted;
  OrderedJson out;
  out["id"] = std::to_string(report.id);
  out["account_id"] = std::to_string(account.id);
  out["time_ref"] = unix_seconds(report.as_of);
  std::string_view status = "Job Completed";
  int percent = 100;
  if (passed < delay_) {
    std::tie(status, percent) = progress(passed, delay_);
  } else if (report.skipped) {
    status = "Job Skipped";
    percent = 0;
  } else if (failed(report)) {
    status = "Job Failed";
    percent = 0;
  }
  if (report.stalls_at) {
    status = *report.stalls_at == 0 ? "Job Started" : "Job Running";
    percent = *report.stalls_at;
  }
  if (complete(report) && faults_.strikes("hundred_running", subject)) status = "Job Running";
  if (status == "Job Completed") out["time_completed"] = unix_seconds(report.as_of + delay_);
  out["async_status"] = status;
  out["async_percent_completion"] = percent;
  out["date_start"] = format_day(report.query.since);
  out["date_stop"] = format_day(report.query.until);
  if (status == "Job Failed") add_failure(report, out);
  return out;
}

void Reports::require_results(Report& report, std::string_view subject) {
  if (!complete(report)) throw results_not_ready();
  if (faults_.armed("results_not_ready")) {
    const auto calls = faults_.strikes("results_not_ready", subject);
    if (calls && report.result_calls++ < to_int(*calls).value_or(1)) throw results_not_ready();
  }
  if (faults_.strikes("summary_param", subject))
    throw bad_parameter(
        "Cannot include impressions, spend in summary param because they weren't there while creating the report run.");
}

const std::vector<InsightRow>& Reports::rows(const Report& report) {
  for (const auto& [id, rows] : recent_)
    if (id == report.id) return rows;
  constexpr std::size_t kKept = 16;
  if (recent_.size() == kKept) recent_.pop_front();
  recent_.emplace_back(report.id, make_rows(world_, report.query, report.as_of));
  return recent_.back().second;
}

}  // namespace sluice::sandbox
