#pragma once
#include <string>
#include <string_view>

// What databases refuse in text: bytes that are not UTF-8 and U+0000. Both become U+FFFD, in every sink alike.

namespace sluice {

bool is_clean_text(std::string_view text);
std::string clean_text(std::string_view text);

enum class JsonState {
  clean,
  dirty,  // valid, but it holds text that a database refuses (\u0000, half a surrogate pair, bad UTF-8): see clean_json
  broken
};
// Strict RFC 8259, at most 1000 levels deep, numbers that a decimal of 16,000 digits can hold.
JsonState check_json(std::string_view json);
// Of a `dirty` one.
std::string clean_json(std::string_view json);

}  // namespace sluice
