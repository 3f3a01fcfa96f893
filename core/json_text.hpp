#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Repairs of JSON's text. What no database can hold becomes U+FFFD and is counted: bytes that are not UTF-8, U+0000,
// and halves of surrogate pairs.

namespace sluice {

// Each maximal run of bytes that cannot be UTF-8 becomes one U+FFFD.
std::string repair_utf8(std::string_view text, std::int64_t& repaired);

// Writes what stands between the quotes of a JSON string, its escapes resolved, to `out`, which has room for
// `inner.size()` bytes. The size written; nothing when an escape is not one.
std::optional<std::size_t> unescape_json(std::string_view inner, char* out, std::int64_t& repaired);

// A JSON text with the escapes that jsonb refuses made harmless; nothing when an escape is not one.
std::optional<std::string> repair_json_escapes(std::string_view json, std::int64_t& repaired);

// A JSON number as RFC 8259 has it, of a size that databases take.
bool is_json_number(std::string_view token);

}  // namespace sluice
