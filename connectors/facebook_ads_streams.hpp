#pragma once
#include <string>
#include <vector>

#include "connectors/facebook_ads_enumerations.hpp"
#include "core/schema.hpp"

namespace sluice::facebook {

std::span<const Option> stream_options();

// The streams as they are without options.
std::vector<StreamSpec> catalogue();
StreamSpec configure(const std::string& from, const Settings& options, Faults& faults);

// What an insights stream asks for. `fields` holds neither breakdowns nor the day, which come by themselves.
struct InsightsQuery {
  Level level = Level::ad;
  std::vector<std::string> fields;
  std::vector<std::string> breakdowns, action_breakdowns, attribution_windows;
  bool hourly() const;
};
InsightsQuery insights_query(const StreamSpec& stream);

// Meta keeps 37 months, and 13 of hours and of people by breakdowns.
inline constexpr int kept_months = 37;
inline constexpr int kept_months_in_parts = 13;
// The first day of those that are kept, `today` being the account's.
Day first_kept(Day today, int months);

// The `fields` parameter of an object stream.
std::string object_fields(const StreamSpec& stream);

// The level's own id: "ad_id".
std::string id_field(Level level);

}  // namespace sluice::facebook
