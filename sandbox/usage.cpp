#include "sandbox/usage.hpp"

#include <cmath>

namespace sluice::sandbox {
namespace {

// The app's quota is that of so many accounts.
constexpr double kAppShare = 10;

std::string number(double value, bool whole, bool as_string) {
  const auto text = whole ? fmt::format("{}", std::lround(value)) : fmt::format("{:.2f}", value);
  return as_string ? fmt::format("\"{}\"", text) : text;
}

std::string business_entry(std::string_view type, double percent, int minutes, bool as_strings) {
  const auto n = number(percent, true, as_strings);
  // Meta leaves keys out now and then.
  const auto cpu = as_strings ? std::string() : fmt::format("\"total_cputime\":{},", n);
  return fmt::format(
      R"({{"type":"{}","call_count":{},{}"total_time":{},"estimated_time_to_regain_access":{},"ads_api_access_tier":"standard_access"}})",
      type, n, cpu, n, as_strings ? fmt::format("\"{}\"", minutes) : std::to_string(minutes));
}

}  // namespace

void Usage::count(const Account* account) {
  percent(0);
  buckets_[0].used += 1 / kAppShare;
  if (account == nullptr) return;
  percent(account->id);
  buckets_[account->id].used += 1;
}

double Usage::percent(std::int64_t key) {
  auto& bucket = buckets_[key];
  const auto now = clock_.uptime();
  const auto passed = std::chrono::duration<double>(now - bucket.since) / std::chrono::seconds(300);
  bucket.used = std::max(0.0, bucket.used - passed * quota_);
  bucket.since = now;
  return 100 * bucket.used / quota_;
}

HeaderList Usage::headers(const Account* account, bool insights, const Pretence* pretence, bool as_strings) {
  HeaderList out;
  const double app = pretence != nullptr ? pretence->percent : percent(0);
  const auto a = number(app, true, as_strings);
  out.emplace_back("x-app-usage", fmt::format(R"({{"call_count":{},"total_time":{},"total_cputime":{}}})", a, a, a));
  if (account == nullptr) return out;
  const double used = pretence != nullptr ? pretence->percent : percent(account->id);
  const int minutes = pretence != nullptr ? pretence->regain_minutes : used >= 100 ? 1 : 0;
  const auto wait = used >= 100 ? std::max(60, minutes * 60) : 0;  // Meta: seconds here, minutes below
  out.emplace_back(
      "x-ad-account-usage",
      fmt::format(R"({{"acc_id_util_pct":{},"reset_time_duration":{},"ads_api_access_tier":"standard_access"}})",
                  number(used, false, as_strings), wait));
  // The entry that matters is not always the first.
  out.emplace_back(
      "x-business-use-case-usage",
      fmt::format(R"({{"{}":[{},{}]}})", account->id,
                  business_entry("ads_management", insights ? used / 2 : used, insights ? 0 : minutes, as_strings),
                  business_entry("ads_insights", insights ? used : used / 2, insights ? minutes : 0, as_strings)));
  if (insights)
    out.emplace_back(
        "x-fb-ads-insights-throttle",
        fmt::format(R"({{"app_id_util_pct":{},"acc_id_util_pct":{},"ads_api_access_tier":"standard_access"}})",
                    number(app, false, as_strings), number(used, false, as_strings)));
  return out;
}

}  // namespace sluice::sandbox
