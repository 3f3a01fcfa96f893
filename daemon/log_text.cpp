#include <array>

#include "daemon/log.hpp"

namespace sluice {
namespace {

constexpr std::array<std::string_view, 13> secret_parameters{
    "access_token", "appsecret_proof",   "client_secret",   "refresh_token", "password", "passcode", "app_secret",
    "input_token",  "fb_exchange_token", "developer_token", "assertion",     "api_key",  "signature"};

bool word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool ends_value(char c) {
  return c == '&' || c == ' ' || c == '"' || c == '\'' || c == '#' || c == '\n' || c == ',';
}

// The length of the well-formed UTF-8 sequence at the front, and its code point; 0 when it is none.
std::size_t decode(std::string_view text, std::uint32_t& point) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = byte(0);
  const std::size_t size = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
  if (size == 0 || size > text.size()) return 0;
  point = size == 1 ? lead : lead & (0xffu >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if (byte(i) >> 6 != 2) return 0;
    point = point << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return 0;
  return size;
}

bool shown(std::uint32_t point) {
  if (point < 0x20 || (point >= 0x7f && point < 0xa0)) return false;        // C0 (ESC among them), DEL, C1
  if (point == 0x2028 || point == 0x2029 || point == 0xfeff) return false;  // line separators, byte order mark
  if (point >= 0x200b && point <= 0x200f) return false;                     // zero width, direction marks
  return !(point >= 0x202a && point <= 0x202e) && !(point >= 0x2066 && point <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  out.reserve(std::min(text.size(), limit));
  while (!text.empty()) {
    if (out.size() >= limit) return out + "…";
    std::uint32_t point = 0;
    const auto size = decode(text, point);
    if (size == 0)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    else if (shown(point))
      out += text.substr(0, size);
    else if (point == '\n')
      out += "\\n";
    else if (point == '\t')
      out += "\\t";
    else if (point == '\r')
      out += "\\r";
    else
      out += fmt::format("\\u{:04x}", point);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

std::string without_credentials(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const bool starts_word = i == 0 || !word_char(text[i - 1]);
    const auto rest = text.substr(i);
    const auto* name =
        starts_word ? std::find_if(secret_parameters.begin(), secret_parameters.end(),
                                   [&](auto n) {
                                     return rest.size() > n.size() && rest.starts_with(n) && rest[n.size()] == '=';
                                   })
                    : secret_parameters.end();
    if (name != secret_parameters.end()) {
      out.append(*name).append("=***");
      i += name->size() + 1;
      while (i < text.size() && !ends_value(text[i])) ++i;
      continue;
    }
    if (rest.starts_with("://")) {
      const auto authority = rest.substr(3, rest.find_first_of("/? \"'", 3) - 3);
      const auto at = authority.rfind('@');
      const auto colon = authority.find(':');
      if (at != std::string_view::npos && colon < at) {
        out.append("://").append(without_credentials(authority.substr(0, colon))).append(":***");
        i += 3 + at;
        continue;
      }
    }
    out += text[i++];
  }
  return out;
}

std::optional<Level> parse_level(std::string_view text) {
  for (const auto level : {Level::debug, Level::info, Level::warning, Level::error})
    if (text == to_string(level)) return level;
  return {};
}

std::string_view to_string(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return {};
}

}  // namespace sluice
