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

// Each list of the shorter document, and each object around it, is the beginning of the longer one's.
bool begins(const json& shorter, const json& longer) {
  if (shorter.is_array() && longer.is_array())
    return shorter.size() <= longer.size() && std::equal(shorter.begin(), shorter.end(), longer.begin());
  if (!shorter.is_object() || !longer.is_object() || shorter.size() != longer.size()) return shorter == longer;
  return std::all_of(shorter.items().begin(), shorter.items().end(), [&](const auto& member) {
    return longer.contains(member.key()) && begins(member.value(), longer[member.key()]);
  });
}

void check_shortened(std::string_view text) {
  for (const auto most : {text.size() / 2, text.size() * 9 / 10, text.size()}) {
    const auto shorter = shortened_json(text, most);
    require(shorter.size() <= most, "it is as short as it should be");
    if (most == text.size()) require(shorter == text, "what is short enough stays as it is");
    const auto longer = parse(text), document = parse(shorter);
    if (longer.is_discarded() || shorter.size() == most) continue;
    require(!document.is_discarded(), "JSON stays JSON, unless it had to be cut");
    require(begins(document, longer), "nothing but the last elements of its lists is missing");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::Input(data, size).rest();
  check_text(text);
  check_document(text);
  check_string(text);
  check_shortened(text);
  return 0;
}
