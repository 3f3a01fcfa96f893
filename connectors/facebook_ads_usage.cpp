#include "connectors/facebook_ads_usage.hpp"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "connectors/facebook_ads_dialect.hpp"
#include "core/read_json.hpp"

namespace sluice {
namespace {

using nlohmann::json;

// Numbers come as numbers or as text, and may be missing.
double number(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0;
  if (found->is_number()) return found->get<double>();
  if (!found->is_string()) return 0;
  const auto text = found->get<std::string>();
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return std::isfinite(value) ? value : 0;
}

double most_of(const json& object, std::initializer_list<const char*> names) {
  double most = 0;
  for (const auto* name : names) most = std::max(most, number(object, name));
  return most;
}

json header(const HttpResponse& response, std::string_view name) {
  const auto text = response.header(name);
  auto parsed = text ? read_json(*text) : json();
  return parsed.is_object() ? parsed : json::object();
}

// At most a day, whatever is said.
Duration seconds(double n) {
  return std::chrono::seconds(n > 0 ? static_cast<std::int64_t>(std::min(n, 86'400.0)) : 0);
}

class Reader {
 public:
  Reader(const HttpResponse& response, const std::string& bucket)
      : response_(response), account_(bucket.empty() ? facebook_app_bucket : bucket) {}

  FacebookUsage read() {
    // Meta: percent of the quota everywhere.
    const auto app = header(response_, "x-app-usage");
    if (!app.empty()) add(facebook_app_bucket, most_of(app, {"call_count", "total_time", "total_cputime"}), {});

    const auto account = header(response_, "x-ad-account-usage");
    if (!account.empty()) {
      // Meta: reset_time_duration is in seconds, and always there; without a refusal it matters once the quota is
      // used up.
      const auto percent = number(account, "acc_id_util_pct");
      const auto reset = seconds(number(account, "reset_time_duration"));
      usage_.wait = std::max(usage_.wait, reset);
      add(account_, percent, percent >= 100 && reset > Duration::zero() ? std::optional(reset) : std::nullopt);
      note_tier(account);
    }

    // Meta: one list per business or ad account, one entry per kind of use.
    for (const auto& entries : header(response_, "x-business-use-case-usage"))
      for (const auto& entry : entries)
        if (entry.is_object()) add_use_case(entry);

    const auto insights = header(response_, "x-fb-ads-insights-throttle");
    if (!insights.empty()) {
      add(facebook_app_bucket, number(insights, "app_id_util_pct"), {});
      add(account_, number(insights, "acc_id_util_pct"), {});
      note_tier(insights);
    }
    return std::move(usage_);
  }

 private:
  void add_use_case(const json& entry) {
    // Meta: estimated_time_to_regain_access is in minutes.
    const auto regain = seconds(number(entry, "estimated_time_to_regain_access") * 60);
    add(account_, most_of(entry, {"call_count", "total_time", "total_cputime"}),
        regain > Duration::zero() ? std::optional(regain) : std::nullopt);
    note_tier(entry);
  }

  void add(const std::string& bucket, double percent, std::optional<Duration> regain) {
    usage_.wait = std::max(usage_.wait, regain.value_or(Duration::zero()));
    for (auto& known : usage_.buckets) {
      if (known.bucket != bucket) continue;
      known.fraction = std::max(known.fraction, percent / 100);
      known.regain = std::max(known.regain, regain);
      return;
    }
    usage_.buckets.emplace_back(bucket, percent / 100, regain);
  }

  void note_tier(const json& object) {
    if (object.value("ads_api_access_tier", json()) == "development_access") usage_.development_tier = true;
  }

  const HttpResponse& response_;
  std::string account_;
  FacebookUsage usage_;
};

}  // namespace

FacebookUsage read_facebook_usage(const HttpResponse& response, const std::string& bucket) {
  return Reader(response, bucket).read();
}

}  // namespace sluice
