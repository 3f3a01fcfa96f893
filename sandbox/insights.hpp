#pragma once
#include <array>
#include <string>
#include <vector>

#include "sandbox/query.hpp"

namespace sluice::sandbox {

enum Count : std::size_t {
  impressions,
  reach,
  clicks,
  unique_clicks,
  link_clicks,
  spend,
  reactions,
  video_views,
  video_half,
  video_full,
  landings,
  // Conversions by how they came: after a click within a day, in 2 to 7 days, in 8 to 28 days; within a day of a view.
  cart_d1,
  cart_d7,
  cart_d28,
  cart_view,
  purchase_d1,
  purchase_d7,
  purchase_d28,
  purchase_view,
  revenue_d1,
  revenue_d7,
  revenue_d28,
  revenue_view,
  kCounts
};

// What one ad (or many) did in some time. Money is in minor units.
struct Measures {
  bool delivered = false;
  std::array<std::int64_t, kCounts> counts{};

  std::int64_t operator[](Count which) const { return counts[which]; }
  Measures& operator+=(const Measures& other);
  bool all_zero() const;
};

enum class Level { account, campaign, adset, ad };

struct InsightsQuery {
  int account = 0;
  std::int64_t scope = 0;  // the campaign, ad set or ad asked; 0: the account
  Level level = Level::account;
  std::vector<std::string> fields;
  Day since;
  Day until;                                 // inclusive
  std::vector<std::pair<Day, Day>> periods;  // one row each
  std::vector<std::string> breakdowns;
  std::vector<std::string> action_breakdowns;
  std::vector<std::string> windows;
  std::vector<Filter> filters;
};

struct InsightRow {
  Day since;
  Day until;
  const Object* object = nullptr;  // null at account level
  std::vector<std::string_view> breakdown_values;
  Measures measures;
};

// Checks the parameters as Meta does. `scope` is a campaign's, ad set's or ad's id, or 0 for the whole account.
InsightsQuery parse_insights(const Params& params, const Account& account, const Object* scope, Instant now);

// What an ad did on a day of its account, as it was known at `as_of`: the last days are still being attributed.
Measures ad_day(const World& world, const Object& ad, Day day, Instant as_of);
// The same where every ad delivers on every day and nothing is restated: it depends on the day of the week alone.
Measures settled_ad_day(const World& world, const Object& ad, Day day);

// All rows of a report as of an instant, periods first, then objects, then breakdowns.
std::vector<InsightRow> make_rows(const World& world, const InsightsQuery& query, Instant as_of);

// Whether a report is above a limit: "days:28", "rows:5000"; every report is above an empty one.
bool exceeds(const World& world, const InsightsQuery& query, std::string_view limit, Instant as_of);

// The values a breakdown has, or nothing when there is no such breakdown.
const std::vector<std::string_view>* breakdown_values(std::string_view name);
bool valid_breakdowns(const std::vector<std::string>& names);

}  // namespace sluice::sandbox
