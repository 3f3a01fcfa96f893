#include "sandbox/text.hpp"

#include <openssl/evp.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace sluice::sandbox {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '~';
}

}  // namespace

std::string url_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (unreserved(c))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string encode_cursor(std::string_view plain) {
  std::string base64(4 * ((plain.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()),
                      reinterpret_cast<const unsigned char*>(plain.data()), static_cast<int>(plain.size()));
  base64.resize(static_cast<std::size_t>(size));
  std::string out;
  for (const char c : base64) {
    if (c == '=')
      out += "ZD";
    else
      out += c;
  }
  return out;
}

std::optional<std::string> decode_cursor(std::string_view cursor) {
  // Each "=" became two characters, so the length tells how many there were.
  std::string base64(cursor);
  const std::size_t padding = base64.size() % 4;
  if (padding == 3) return std::nullopt;
  for (std::size_t i = 0; i < padding; ++i) {
    if (!base64.ends_with("ZD")) return std::nullopt;
    base64.resize(base64.size() - 2);
  }
  base64.append(padding, '=');
  if (base64.empty() || base64.size() % 4 != 0) return std::nullopt;
  std::string out(base64.size(), '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(base64.data()), static_cast<int>(base64.size()));
  if (size < 0) return std::nullopt;
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

std::string json_string(std::string_view text) {
  return nlohmann::json(std::string(text)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  std::string part;
  int depth = 0;
  for (const char c : text) {
    if (c == '{' || c == '(' || c == '[') ++depth;
    if (c == '}' || c == ')' || c == ']') --depth;
    if (c == ',' && depth == 0) {
      if (!part.empty()) out.push_back(std::move(part));
      part.clear();
    } else if (c != ' ' || depth > 0) {
      part += c;
    }
  }
  if (!part.empty()) out.push_back(std::move(part));
  return out;
}

std::optional<std::int64_t> to_int(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::string format_meta_time(Instant when, const Zone& zone) {
  return cctz::format("%Y-%m-%dT%H:%M:%S%z", std::chrono::floor<std::chrono::seconds>(when), zone);
}

std::int64_t unix_seconds(Instant when) {
  return std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count();
}

}  // namespace sluice::sandbox
