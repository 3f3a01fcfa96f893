#include "core/json_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sluice {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

// How many bytes from `text`'s front are one character (>0), or how many to replace as one (<0).
int utf8_step(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = at(0);
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

// The code unit of \uXXXX at the front, or -1.
int code_unit(std::string_view text) {
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') return -1;
  int unit = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + 6, unit, 16);
  // from_chars would take a minus sign.
  return error == std::errc() && end == text.data() + 6 && text[2] != '-' ? unit : -1;
}

bool is_high(int unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}
bool is_low(int unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

// What an escape at the front of `text` stands for.
struct Escape {
  std::size_t size = 0;  // of the escape; 0: it is not one
  int character = 0;     // -1: to be replaced
};

Escape read_escape(std::string_view text) {
  if (text.size() < 2) return {};
  switch (text[1]) {
    case '"':
    case '\\':
    case '/':
      return {2, text[1]};
    case 'b':
      return {2, '\b'};
    case 'f':
      return {2, '\f'};
    case 'n':
      return {2, '\n'};
    case 'r':
      return {2, '\r'};
    case 't':
      return {2, '\t'};
    default:
      break;
  }
  const auto unit = code_unit(text);
  if (unit < 0) return {};
  if (is_high(unit)) {
    const auto low = code_unit(text.substr(6));
    if (is_low(low)) return {12, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)};
  }
  return {6, unit == 0 || is_high(unit) || is_low(unit) ? -1 : unit};
}

std::size_t write_utf8(int c, char* out) {
  const auto tail = [c](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  if (c < 0x800) {
    out[0] = static_cast<char>(0xC0 | (c >> 6));
    out[1] = tail(0);
    return 2;
  }
  if (c < 0x10000) {
    out[0] = static_cast<char>(0xE0 | (c >> 12));
    out[1] = tail(6);
    out[2] = tail(0);
    return 3;
  }
  out[0] = static_cast<char>(0xF0 | (c >> 18));
  out[1] = tail(12);
  out[2] = tail(6);
  out[3] = tail(0);
  return 4;
}

}  // namespace

std::string repair_utf8(std::string_view text, std::int64_t& repaired) {
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

std::optional<std::size_t> unescape_json(std::string_view inner, char* out, std::int64_t& repaired) {
  char* const begin = out;
  while (!inner.empty()) {
    const auto plain = std::min(inner.find('\\'), inner.size());
    std::memcpy(out, inner.data(), plain);
    out += plain;
    inner.remove_prefix(plain);
    if (inner.empty()) break;
    const auto escape = read_escape(inner);
    if (escape.size == 0) return {};
    if (escape.character < 0) {
      ++repaired;
      std::memcpy(out, replacement.data(), replacement.size());
      out += replacement.size();
    } else {
      out += write_utf8(escape.character, out);
    }
    inner.remove_prefix(escape.size);
  }
  return static_cast<std::size_t>(out - begin);
}

std::optional<std::string> repair_json_escapes(std::string_view json, std::int64_t& repaired) {
  std::string out(json);
  for (auto at = out.find('\\'); at != std::string::npos; at = out.find('\\', at)) {
    const auto escape = read_escape(std::string_view(out).substr(at));
    if (escape.size == 0) return {};
    if (escape.character < 0) {
      ++repaired;
      out.replace(at, 6, "\\ufffd");
    }
    at += escape.size;
  }
  return out;
}

bool is_json_number(std::string_view token) {
  // PostgreSQL's numeric holds 131,072 digits before the point and 16,383 after it.
  if (token.size() > 10'000) return false;
  const auto skip_digits = [&] {
    const auto n = std::min(token.find_first_not_of("0123456789"), token.size());
    token.remove_prefix(n);
    return n;
  };
  if (token.starts_with('-')) token.remove_prefix(1);
  const bool zero = token.starts_with('0');
  const auto whole = skip_digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (token.starts_with('.')) {
    token.remove_prefix(1);
    if (skip_digits() == 0) return false;
  }
  if (token.starts_with('e') || token.starts_with('E')) {
    token.remove_prefix(1);
    if (token.starts_with('+') || token.starts_with('-')) token.remove_prefix(1);
    const auto digits = skip_digits();
    if (digits == 0 || digits > 3) return false;
  }
  return token.empty();
}

}  // namespace sluice
