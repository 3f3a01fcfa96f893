#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// JSON as text: whether it is JSON, and its strings. What no database can hold is repaired as core/clean_text.hpp says.

namespace sluice {

enum class JsonState {
  clean,
  dirty,  // valid, but it holds text that databases refuse (\u0000, half a surrogate pair, bad UTF-8): see clean_json
  broken
};
// Strict RFC 8259, at most 1000 levels deep, numbers that a decimal of 16,000 digits can hold.
JsonState check_json(std::string_view json);
// Of a `dirty` one. Adds to `repaired` how many U+FFFD were put in.
std::string clean_json(std::string_view json, std::int64_t& repaired);

// The size of the JSON number at the front of `text`, as check_json takes it; 0: there is none.
std::size_t json_number_size(std::string_view text);

// Writes what stands between the quotes of a JSON string, its escapes resolved and repaired, to `out`, which has room
// for `inner.size()` bytes. The size written; nothing when an escape is not one.
std::optional<std::size_t> unescape_json(std::string_view inner, char* out, std::int64_t& repaired);

// The document with fewer elements in its outermost lists, so that it has at most about `most` bytes and is JSON all
// the same; what is no JSON, or too long without them, is cut.
std::string shortened_json(std::string_view json, std::size_t most);

// Appends `text` as a JSON string.
void append_json_string(std::string& out, std::string_view text);

}  // namespace sluice
