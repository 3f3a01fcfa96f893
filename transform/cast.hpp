#pragma once
#include <optional>
#include <string>

#include "core/batch.hpp"
#include "core/schema.hpp"

namespace sluice {

// Whether a column of type `from` can be cast to `to` at all.
bool can_cast(DataType from, DataType to);

// The value as the text that a person would write, and that every other type is read back from.
std::string text_of(const Batch& batch, const Cell& cell, DataType type);

// The cell as the other type, its text put into the batch's arena. NULL stays NULL. Nothing is ever guessed: a value
// that has no exact form in the new type (but for a decimal's surplus fraction digits, which are rounded half away from
// zero) gives nothing, and `fault` says why.
std::optional<Cell> cast_cell(Batch& batch, const Cell& cell, DataType from, DataType to, std::string& fault);

}  // namespace sluice
