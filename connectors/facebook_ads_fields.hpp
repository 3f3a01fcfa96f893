#pragma once
#include <span>
#include <string>
#include <string_view>

#include "core/schema.hpp"

// The fields of Meta's API and their types.

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
// Whether an insight counts people, not what they did. With breakdowns Meta leaves these out of rows that are older
// than 13 months; by the hour it has none of them.
bool counts_people(std::string_view field);

}  // namespace sluice::facebook
