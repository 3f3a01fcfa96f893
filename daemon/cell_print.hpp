#pragma once
#include <optional>
#include <string>

#include "core/batch.hpp"

namespace sluice {

// A cell as people read it; nothing for NULL.
std::optional<std::string> print_cell(const Batch& batch, const Cell& cell, DataType type);
// What print_cell gave, as JSON: a JSON column's text as it is, for its numbers would lose digits in a double; else,
// and where that is not JSON, a text.
std::string json_of(const std::optional<std::string>& printed, Type type);

}  // namespace sluice
