#include "core/json_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/clean_text.hpp"
#include "tests/fuzz/fuzz.hpp"

// JSON and UTF-8 are checked, repaired and escaped as a full parser would have it.

using namespace sluice;
using fuzz::require;
using nlohmann::json;

namespace {

json parse(std::string_view text) {
  return json::parse(text, nullptr, false);
}

void check_text(std::string_view text) {
  std::int64_t repaired = 0;
  const auto clean = clean_text(text, repaired);
  require(is_clean_text(clean), "repaired text is clean");
  require(is_clean_text(text) == (repaired == 0) && (clean == text) == (repaired == 0),
          "only what is dirty is repaired");
  std::string quoted;
  append_json_string(quoted, clean);
  require(parse(quoted) == clean, "a JSON string holds its text");
  require(check_json(quoted) == JsonState::clean, "a JSON string of clean text is clean");
}

// Of what the two parsers do not agree about on purpose, only these are left to the other one.
bool debatable(std::string_view text) {
  const bool long_number = std::any_of(text.begin(), text.end(), [](char c) { return c == 'e' || c == 'E'; }) ||
                           text.find("00000000000000000000") != text.npos || text.size() > 300;
  return long_number || !fuzz::comparable(text);
}

void check_document(std::string_view text) {
  const auto state = check_json(text);
  const bool accepted = json::accept(text);
  if (state == JsonState::clean && !debatable(text)) require(accepted, "what is clean is JSON");
  if (accepted && !debatable(text)) require(state != JsonState::broken, "what is JSON is not broken");
  if (state == JsonState::broken) return;
  std::int64_t repaired = 0;
  const auto clean = clean_json(text, repaired);
  require(check_json(clean) == JsonState::clean, "repaired JSON is clean");
  require((state == JsonState::dirty) == (repaired > 0), "only dirty JSON is repaired");
  require(state == JsonState::dirty || clean == text, "clean JSON stays as it is");
}

void check_string(std::string_view inner) {
  const auto quoted = "\"" + std::string(inner) + "\"";
  const auto expected = parse(quoted);
  std::string room(inner.size(), '\0');
  std::int64_t repaired = 0;
  const auto size = unescape_json(inner, room.data(), repaired);
  if (!expected.is_string() || check_json(quoted) != JsonState::clean) return;
  require(size.has_value() && repaired == 0, "a clean string needs no repair");
  require(room.substr(0, *size) == expected.get_ref<const std::string&>(), "escapes mean what they mean in JSON");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::Input(data, size).rest();
  check_text(text);
  check_document(text);
  check_string(text);
  return 0;
}
