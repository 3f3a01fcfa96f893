#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "core/cell.hpp"
#include "core/schema.hpp"

namespace sluice {

// A value read from text: either a number or another text.
struct CellText {
  Cell cell;
  std::optional<std::string> text;
};

// Reads the text of a value as the type; false when it does not say such a value exactly (a decimal with more digits
// after the point than its scale is rounded, half away from zero).
bool parse_cell_text(std::string_view text, DataType type, CellText& out);

}  // namespace sluice
