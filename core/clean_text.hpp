#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/batch.hpp"

// What databases refuse in text becomes U+FFFD, in every sink alike, and is counted: bytes that are not UTF-8 (once for
// each run of them that begins like a character and is none), U+0000, and in JSON the escapes of halves of surrogate
// pairs.

namespace sluice {

bool is_clean_text(std::string_view text);
// Adds to `repaired` how many U+FFFD were put in.
std::string clean_text(std::string_view text, std::int64_t& repaired);
// Where nobody asks how many.
std::string clean_text(std::string_view text);

// The text where it has at most so many bytes, else its beginning and "…"; no character of UTF-8 is cut.
std::string shortened(std::string_view text, std::size_t most);

// The cell's text as databases take it, in `batch`, which counts the repairs. False: the type is json and the text is
// not JSON.
bool clean_cell(Batch& batch, Cell& cell, Type type);

}  // namespace sluice
