#include "core/clean_text.hpp"

#include <simdjson.h>

#include <cstring>

#include "core/json_text.hpp"

namespace sluice {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

// How many bytes from `text`'s front are one character (>0), or how many to replace as one (<0). Unicode 15, table 3-7.
int utf8_step(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = at(0);
  if (lead == 0) return -1;
  if (lead < 0x80) return 1;
  const int size = lead >= 0xC2 && lead <= 0xDF ? 2 : (lead & 0xF0) == 0xE0 ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
  if (size == 0) return -1;
  // The second byte's range keeps out overlong forms, surrogates and what lies beyond U+10FFFF.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (int i = 1; i < size; ++i) {
    const auto place = static_cast<std::size_t>(i);
    if (place >= text.size()) return -i;
    const auto c = at(place);
    if (c < (i == 1 ? low : 0x80) || c > (i == 1 ? high : 0xBF)) return -i;
  }
  return size;
}

// Eight bytes at a time: most texts are short and ASCII.
bool is_plain(std::string_view text) {
  constexpr std::uint64_t ones = 0x0101010101010101U, highs = 0x8080808080808080U;
  while (text.size() >= 8) {
    std::uint64_t block;
    std::memcpy(&block, text.data(), 8);
    if (((block - ones) | block) & highs) return false;
    text.remove_prefix(8);
  }
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
}

}  // namespace

bool is_clean_text(std::string_view text) {
  if (is_plain(text)) return true;
  return std::memchr(text.data(), 0, text.size()) == nullptr && simdjson::validate_utf8(text.data(), text.size());
}

std::string clean_text(std::string_view text, std::int64_t& repaired) {
  std::string out;
  out.reserve(text.size() + 64);
  while (!text.empty()) {
    const auto step = utf8_step(text);
    const auto size = static_cast<std::size_t>(step > 0 ? step : -step);
    if (step < 0) ++repaired;
    out.append(step > 0 ? text.substr(0, size) : replacement);
    text.remove_prefix(size);
  }
  return out;
}

std::string clean_text(std::string_view text) {
  std::int64_t repaired = 0;
  return clean_text(text, repaired);
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  auto end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

bool clean_cell(Batch& batch, Cell& cell, Type type) {
  if (cell.kind != Kind::text || type == Type::bytes) return true;
  const auto text = batch.text(cell);
  if (type == Type::json) {
    const auto state = check_json(text);
    if (state == JsonState::dirty) cell = batch.add_text(clean_json(text, batch.repaired));
    return state != JsonState::broken;
  }
  if (!is_clean_text(text)) cell = batch.add_text(clean_text(text, batch.repaired));
  return true;
}

}  // namespace sluice
