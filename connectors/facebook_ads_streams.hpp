#pragma once
#include <string>
#include <vector>

#include "connectors/facebook_ads_fields.hpp"
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
};
InsightsQuery insights_query(const StreamSpec& stream);

// The `fields` parameter of an object stream.
std::string object_fields(const StreamSpec& stream);

// The level's own id: "ad_id".
std::string id_field(Level level);

}  // namespace sluice::facebook
