#pragma once
#include <optional>
#include <string_view>

#include "core/schema.hpp"

// What fields of the Google Ads API are, where that is known without asking it.

namespace sluice::google {

std::optional<DataType> known_type(std::string_view field);
// The type of a field of which the field metadata service gives the `data_type` ("INT64", "ENUM", …); repeated fields
// are lists.
DataType type_of(std::string_view field, std::string_view data_type, bool repeated);
// The API leaves these out of a row where they are 0 or false, because their proto has no presence; all others are
// left out where there is no value.
bool is_zero_when_missing(std::string_view field);

}  // namespace sluice::google
