#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/schema.hpp"

// The names of Meta's API: fields with their types, breakdowns, statuses.

namespace sluice::facebook {

struct Field {
  std::string_view name;
  DataType type;
};

std::span<const Field> insight_fields();
std::span<const Field> account_fields();
std::span<const Field> campaign_fields();
std::span<const Field> adset_fields();
std::span<const Field> ad_fields();
std::span<const Field> creative_fields();

// For the column's comment: units and what the name does not say; mostly empty.
std::string field_comment(std::string_view field);

std::span<const std::string_view> breakdowns();
std::span<const std::string_view> action_breakdowns();
std::span<const std::string_view> attribution_windows();
// Whether an insight counts people, not what they did. With breakdowns Meta leaves these out of rows that are older
// than 13 months; by the hour it has none of them.
bool counts_people(std::string_view field);
// Breakdowns whose value is an object with an id.
bool is_asset_breakdown(std::string_view name);

enum class Level { account, campaign, adset, ad };
std::string_view to_string(Level level);
Level parse_level(std::string_view name);  // of the four names

// All that an object of the level can be in: asked for in full, archived and deleted objects are given too.
std::span<const std::string_view> effective_statuses(Level level);

}  // namespace sluice::facebook
