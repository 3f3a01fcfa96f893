#include "connectors/facebook_ads_reports.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/read_json.hpp"

namespace sluice::facebook {
namespace {

using nlohmann::json;

constexpr int most_submissions = 3;

std::string joined(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ","));
}

// Meta gives whole numbers as numbers or as text.
std::string plain(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

Headers report_parameters(const InsightsQuery& query, const ReportAsk& ask) {
  Filters filters;
  // Meta: without it, a report leaves out what was deleted since.
  filters.any_status(query.level == Level::account ? Level::ad : query.level);
  if (!ask.ids.empty()) filters.ids(ask.above, ask.ids);
  Headers parameters{
      {"level", std::string(to_string(query.level))},
      {"fields", joined(ask.fields)},
      // Meta: `until` is inclusive.
      {"time_range", fmt::format(R"({{"since":"{}","until":"{}"}})", format_day(ask.since), format_day(ask.until))},
      {"time_increment", "1"},
      {"filtering", filters.text()},
  };
  const auto add = [&](const char* name, const std::vector<std::string>& values) {
    if (!values.empty()) parameters.emplace_back(name, joined(values));
  };
  add("breakdowns", query.breakdowns);
  add("action_breakdowns", query.action_breakdowns);
  add("action_attribution_windows", query.attribution_windows);
  return parameters;
}

// How far a report is.
struct Standing {
  std::string status;
  int percent = 0;
  bool started() const { return percent > 0 || (status != "Job Not Started" && status != "Job Started"); }
  bool operator==(const Standing&) const = default;
};

// The error of a failed report, as replies have it.
json error_of_report(const json& report) {
  json error = {{"type", "report"}};
  for (const auto& [theirs, ours] :
       {std::pair("error_code", "code"), std::pair("error_subcode", "error_subcode"),
        std::pair("error_message", "message"), std::pair("error_user_title", "error_user_title"),
        std::pair("error_user_msg", "error_user_msg")})
    if (report.contains(theirs)) error[ours] = report[theirs];
  return error;
}

}  // namespace

std::string ReportAsk::describe() const {
  auto text = since == until ? format_day(since) : format_day(since) + ".." + format_day(until);
  if (!ids.empty()) text += fmt::format(", {} {}{}", ids.size(), to_string(above), ids.size() == 1 ? "" : "s");
  return text;
}

Reports::Reports(GraphApi& api) : api_(api) {}

Semaphore& Reports::slots(const std::string& account) {
  auto& slots = slots_[account];
  if (!slots) slots = std::make_unique<Semaphore>(api_.executor(), api_.reports().concurrency);
  return *slots;
}

task<std::string> Reports::submit(const InsightsQuery& query, const ReportAsk& ask, Caller caller) {
  const auto node = fmt::format("act_{}/insights", caller.account);
  auto parameters = report_parameters(query, ask);
  const auto answer = co_await api_.post(node, std::move(parameters), std::move(caller));
  const auto parsed = read_json(answer.body);
  // Meta's documentation shows a bare number where its servers send a text in an object.
  const auto id = plain(parsed.is_object() ? parsed.value("report_run_id", json()) : parsed);
  if (id.empty() || id.find_first_not_of("0123456789") != std::string::npos)
    throw Error(Remedy::retry, fmt::format("{}: the API took the report but gave it no number", node));
  co_return id;
}

task<Reports::State> Reports::watch(std::string report, Caller caller, std::string& why) {
  const auto& options = api_.reports();
  auto& clock = api_.clock();
  const auto began = clock.uptime();
  auto moved = began;
  auto pause = options.poll.least;
  Standing last;
  while (true) {
    if (pause > Duration::zero()) co_await clock.sleep_for(pause);
    pause = std::min(options.poll.most, pause + pause / 2);
    Headers no_parameters;
    const auto answer = co_await api_.get(report, std::move(no_parameters), caller);
    const auto parsed = read_json(answer.body);
    if (!parsed.is_object()) throw Error(Remedy::retry, fmt::format("report {}: the answer is not an object", report));

    Standing now;
    now.status = plain(parsed.value("async_status", json()));
    now.percent = std::atoi(plain(parsed.value("async_percent_completion", json())).c_str());
    // Meta: 100 % with "Job Running" happens, and "Job Completed" before 100 % would be read too early.
    if (now.status == "Job Completed" && now.percent >= 100) co_return State::complete;
    if (now.status == "Job Skipped") {
      why = "Meta dropped it (Job Skipped)";
      co_return State::lost;
    }
    if (now.status == "Job Failed") {
      const auto verdict = api_.dialect().judge_error(error_of_report(parsed), 0, "act_" + caller.account, true);
      const auto remedy = verdict.error->remedy();
      why = fmt::format("it failed: {}", verdict.error->what());
      if (remedy == Remedy::slow_down) {
        api_.throttled(verdict);
        co_return State::throttled;
      }
      const bool unexplained = !parsed.contains("error_code");
      if (!unexplained && remedy != Remedy::retry) throw Error(remedy, fmt::format("report {}: {}", report, why));
      co_return State::failed;
    }

    const auto at = clock.uptime();
    if (now != last) moved = at;
    last = now;
    why = fmt::format("it stayed at {} % ({})", now.percent, now.status);
    if (!now.started() && at - began >= options.start_timeout) co_return State::lost;
    if (at - moved >= options.stall_timeout || at - began >= options.timeout) co_return State::lost;
  }
}

task<std::optional<std::string>> Reports::complete(const InsightsQuery& query, const ReportAsk& ask, Caller caller,
                                                   std::optional<Error>& failure) {
  std::optional<std::string> report;
  // A report takes minutes: others read meanwhile. The calls in it are not on behalf of the slice then.
  auto* slice = std::exchange(caller.slice, nullptr);
  if (slice)
    co_await slice->away(make(query, ask, std::move(caller), report, failure));
  else
    co_await make(query, ask, std::move(caller), report, failure);
  co_return report;
}

task<void> Reports::make(const InsightsQuery& query, const ReportAsk& ask, Caller caller,
                         std::optional<std::string>& report, std::optional<Error>& failure) {
  failure.reset();
  const auto slot = co_await slots(caller.account).acquire();
  std::string why;
  State state{};
  for (int submission = 0; submission < most_submissions;) {
    try {
      report = co_await submit(query, ask, caller);
      state = co_await watch(*report, caller, why);
    } catch (const Error& error) {
      if (error.remedy() != Remedy::shrink) throw;
      failure = error;
      report.reset();
    }
    if (failure || state == State::complete) co_return;
    // A throttle says nothing about the report: the next submission waits for the end of the pause.
    if (state != State::throttled) ++submission;
  }
  const Error error(Remedy::retry,
                    fmt::format("act_{}: the report of {} was submitted {} times and never became complete: {}",
                                caller.account, ask.describe(), most_submissions, why));
  if (state != State::failed) throw error;
  // Meta: what fails again and again is mostly too large, whatever the error says.
  failure = error;
  report.reset();
}

}  // namespace sluice::facebook
