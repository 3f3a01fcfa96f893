#include "sinks/clean_text.hpp"

#include <simdjson.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace sluice {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";
constexpr int deepest = 1000;                // PostgreSQL's own limit is its stack
constexpr std::int64_t most_digits = 16000;  // PostgreSQL: numeric has up to 16383 digits after the point

// Length of the well-formed UTF-8 sequence at the start of `text`; 0: there is none. Unicode 15, table 3-7.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef)
    return continues(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && continues(2) ? 3 : 0;
  if (first >= 0xf0 && first <= 0xf4)
    return continues(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && continues(2) && continues(3) ? 4
                                                                                                                  : 0;
  return 0;
}

constexpr std::uint64_t repeated(unsigned char byte) {
  return 0x0101010101010101ULL * byte;
}
constexpr std::uint64_t zero_bytes(std::uint64_t v) {
  return (v - repeated(1)) & ~v & repeated(0x80);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_high(int unit) {
  return unit >= 0xd800 && unit < 0xdc00;
}
bool is_low(int unit) {
  return unit >= 0xdc00 && unit < 0xe000;
}

class JsonChecker {
 public:
  explicit JsonChecker(std::string_view json) : at_(json.data()), end_(json.data() + json.size()) {}

  bool run() {
    do {
      if (!value()) return false;
    } while (more());
    skip_space();
    return !broken_ && at_ == end_;
  }
  bool dirty() const { return dirty_; }

 private:
  // A scalar, an empty container, or the beginnings of containers up to the first scalar inside.
  bool value() {
    for (;;) {
      skip_space();
      if (at_ == end_) return false;
      switch (*at_) {
        case '"':
          return string();
        case 't':
          return literal("true");
        case 'f':
          return literal("false");
        case 'n':
          return literal("null");
        case '{':
        case '[': {
          if (depth_ == deepest) return false;
          const bool object = *at_++ == '{';
          skip_space();
          if (at_ != end_ && *at_ == (object ? '}' : ']')) return ++at_, true;
          is_object_[static_cast<std::size_t>(depth_++)] = object;
          if (object && !key()) return false;
          break;
        }
        default:
          return number();
      }
    }
  }

  // After a value: closes what closes; true when another value must follow.
  bool more() {
    while (depth_ > 0) {
      skip_space();
      if (at_ == end_) return fail();
      const bool object = is_object_[static_cast<std::size_t>(depth_ - 1)];
      const char c = *at_++;
      if (c == ',') {
        if (!object) return true;
        skip_space();
        return key() || fail();
      }
      if (c != (object ? '}' : ']')) return fail();
      --depth_;
    }
    return false;
  }

  bool fail() {
    broken_ = true;
    return false;
  }

  bool key() {
    if (at_ == end_ || *at_ != '"' || !string()) return false;
    skip_space();
    return at_ != end_ && *at_++ == ':';
  }

  bool string() {
    ++at_;
    for (;;) {
      while (end_ - at_ >= 8) {
        std::uint64_t block;
        std::memcpy(&block, at_, 8);
        const auto control = (block - repeated(0x20)) & ~block & repeated(0x80);
        if (control | zero_bytes(block ^ repeated('"')) | zero_bytes(block ^ repeated('\\'))) break;
        at_ += 8;
      }
      if (at_ == end_) return false;
      const char c = *at_++;
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !escape()) return false;
    }
  }

  bool escape() {
    if (at_ == end_) return false;
    const char c = *at_++;
    if (c != 'u') return std::strchr("\"\\/bfnrt", c) != nullptr && c != '\0';
    const int unit = hex4();
    if (unit < 0) return false;
    if (unit == 0 || is_low(unit)) dirty_ = true;
    if (!is_high(unit)) return true;
    if (end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u') {
      const auto* second = at_;
      at_ += 2;
      if (const int low = hex4(); is_low(low)) return true;
      at_ = second;
    }
    dirty_ = true;
    return true;
  }

  int hex4() {
    if (end_ - at_ < 4) return -1;
    int unit = 0;
    for (int i = 0; i < 4; ++i) {
      const int digit = hex_digit(*at_++);
      if (digit < 0) return -1;
      unit = unit * 16 + digit;
    }
    return unit;
  }

  bool digits() {
    const auto* from = at_;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return at_ != from;
  }

  bool number() {
    const auto* from = at_;
    if (*at_ == '-') ++at_;
    if (at_ == end_) return false;
    if (*at_ == '0')
      ++at_;
    else if (!digits())
      return false;
    if (at_ != end_ && *at_ == '.' && (++at_, !digits())) return false;
    std::int64_t size = at_ - from;
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      const auto* exponent = at_;
      if (!digits()) return false;
      std::int64_t value = 0;
      for (const auto* d = exponent; d != at_ && value <= most_digits; ++d) value = value * 10 + (*d - '0');
      size += value;
    }
    return size <= most_digits;
  }

  bool literal(std::string_view word) {
    if (static_cast<std::size_t>(end_ - at_) < word.size() || std::memcmp(at_, word.data(), word.size()) != 0)
      return false;
    at_ += word.size();
    return true;
  }

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }

  const char* at_;
  const char* end_;
  int depth_ = 0;
  bool dirty_ = false;
  bool broken_ = false;
  std::array<bool, deepest> is_object_;
};

int unit_at(std::string_view json, std::size_t at) {
  if (at + 6 > json.size() || json[at] != '\\' || json[at + 1] != 'u') return -1;
  int unit = 0;
  for (std::size_t i = at + 2; i < at + 6; ++i) unit = unit * 16 + hex_digit(json[i]);
  return unit;
}

}  // namespace

bool is_clean_text(std::string_view text) {
  if (text.empty()) return true;
  return std::memchr(text.data(), 0, text.size()) == nullptr && simdjson::validate_utf8(text.data(), text.size());
}

std::string clean_text(std::string_view text) {
  std::string clean;
  clean.reserve(text.size() + 8);
  while (!text.empty()) {
    const auto length = sequence_length(text);
    if (length == 0 || text[0] == '\0')
      clean += replacement;
    else
      clean += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return clean;
}

JsonState check_json(std::string_view json) {
  JsonChecker checker(json);
  if (!checker.run()) return JsonState::broken;
  return checker.dirty() || !simdjson::validate_utf8(json.data(), json.size()) ? JsonState::dirty : JsonState::clean;
}

std::string clean_json(std::string_view json) {
  auto clean = clean_text(json);
  for (std::size_t at = 0; at < clean.size(); ++at) {
    if (clean[at] != '\\') continue;
    const int unit = unit_at(clean, at);
    if (is_high(unit) && is_low(unit_at(clean, at + 6)))
      at += 11;
    else if (unit == 0 || is_high(unit) || is_low(unit))
      clean.replace(at, 6, "\\ufffd"), at += 5;
    else
      ++at;  // the escaped character
  }
  return clean;
}

}  // namespace sluice
