#pragma once
#include <optional>
#include <string>

#include "core/batch.hpp"

namespace sluice {

// A cell as people read it; nothing for NULL.
std::optional<std::string> print_cell(const Batch& batch, const Cell& cell, DataType type);

}  // namespace sluice
