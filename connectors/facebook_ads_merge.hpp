#pragma once
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "core/batch.hpp"
#include "core/schema.hpp"

namespace sluice::facebook {

using KeyPlaces = std::vector<std::pair<std::size_t, Type>>;

KeyPlaces key_places(const StreamSpec& stream);

// Adds the rows of `from`, as they are.
void append_rows(Batch& to, const Batch& from);

// Rows of one report that had to be asked for in two halves of its fields: those with the same key become one row. A
// row that was rejected in either half is no row.
Batch merge_by_key(const Batch& a, const Batch& b, std::span<const std::pair<std::size_t, Type>> key);

// A row that is made of what was asked for, as the stream's rows are stored.
nlohmann::json guarded(const StreamSpec& stream, const nlohmann::json& row);

}  // namespace sluice::facebook
