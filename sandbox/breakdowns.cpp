#include "sandbox/insights.hpp"

namespace sluice::sandbox {
namespace {

const std::map<std::string_view, std::vector<std::string_view>>& table() {
  static const std::vector<std::string_view> hours = {
      "00:00:00 - 00:59:59", "01:00:00 - 01:59:59", "02:00:00 - 02:59:59", "03:00:00 - 03:59:59", "04:00:00 - 04:59:59",
      "05:00:00 - 05:59:59", "06:00:00 - 06:59:59", "07:00:00 - 07:59:59", "08:00:00 - 08:59:59", "09:00:00 - 09:59:59",
      "10:00:00 - 10:59:59", "11:00:00 - 11:59:59", "12:00:00 - 12:59:59", "13:00:00 - 13:59:59", "14:00:00 - 14:59:59",
      "15:00:00 - 15:59:59", "16:00:00 - 16:59:59", "17:00:00 - 17:59:59", "18:00:00 - 18:59:59", "19:00:00 - 19:59:59",
      "20:00:00 - 20:59:59", "21:00:00 - 21:59:59", "22:00:00 - 22:59:59", "23:00:00 - 23:59:59"};
  static const std::map<std::string_view, std::vector<std::string_view>> values = {
      {"age", {"18-24", "25-34", "35-44", "45-54", "55-64", "65+", "Unknown"}},
      {"gender", {"female", "male", "unknown"}},
      {"country", {"DE", "US", "JP", "IN", "BR", "NZ", "unknown"}},
      {"region", {"Bayern", "California", "Tōkyō", "Mahārāshtra", "Unknown"}},
      {"publisher_platform", {"facebook", "instagram", "audience_network", "messenger"}},
      {"platform_position", {"feed", "facebook_reels", "instagram_stories", "marketplace", "rewarded_video"}},
      {"device_platform", {"mobile_app", "mobile_web", "desktop"}},
      {"impression_device", {"android_smartphone", "iphone", "ipad", "desktop"}},
      {"product_id", {"5983858725075630, Tent", "5983858725075631, Lamp", "5983858725075632, Mug"}},
      {"comscore_market", {"Los Angeles, CA", "New York, NY"}},
      {"frequency_value", {"1", "2", "3", "4", "5", "6-10"}},
      {"hourly_stats_aggregated_by_advertiser_time_zone", hours},
      {"hourly_stats_aggregated_by_audience_time_zone", hours},
  };
  return values;
}

}  // namespace

const std::vector<std::string_view>* breakdown_values(std::string_view name) {
  const auto at = table().find(name);
  return at == table().end() ? nullptr : &at->second;
}

// Meta: the combinations of breakdowns that may be asked for together.
bool valid_breakdowns(const std::vector<std::string>& names) {
  const std::set<std::string> asked(names.begin(), names.end());
  if (asked.size() != names.size()) return false;
  if (asked.size() == 1) return *asked.begin() != "impression_device" && *asked.begin() != "platform_position";
  static const std::set<std::set<std::string>> combinations = {
      {},
      {"age", "gender"},
      {"publisher_platform", "impression_device"},
      {"publisher_platform", "device_platform"},
      {"publisher_platform", "platform_position"},
      {"publisher_platform", "platform_position", "impression_device"},
      {"publisher_platform", "platform_position", "device_platform"},
  };
  return combinations.contains(asked);
}

}  // namespace sluice::sandbox
