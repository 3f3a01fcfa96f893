#pragma once
#include <span>
#include <string_view>

// The words that Meta's API knows: breakdowns, attribution windows, levels, statuses.

namespace sluice::facebook {

std::span<const std::string_view> breakdowns();
std::span<const std::string_view> action_breakdowns();
std::span<const std::string_view> attribution_windows();
// Breakdowns whose value is an object with an id.
bool is_asset_breakdown(std::string_view name);

enum class Level { account, campaign, adset, ad };
std::string_view to_string(Level level);
Level parse_level(std::string_view name);  // of the four names

// All that an object of the level can be in: asked for in full, archived and deleted objects are given too.
std::span<const std::string_view> effective_statuses(Level level);

}  // namespace sluice::facebook
