#include "core/json_text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "core/clean_text.hpp"

namespace sluice {
namespace {

constexpr int deepest = 1000;                // PostgreSQL's own limit is its stack
constexpr std::int64_t most_digits = 16000;  // PostgreSQL: numeric has up to 16383 digits after the point

constexpr std::uint64_t repeated(unsigned char byte) {
  return 0x0101010101010101ULL * byte;
}
// The lowest bit set is the first zero byte's.
constexpr std::uint64_t zero_bytes(std::uint64_t v) {
  return (v - repeated(1)) & ~v & repeated(0x80);
}

bool is_json_digit(char c) {
  return c >= '0' && c <= '9';
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
        const auto special = control | zero_bytes(block ^ repeated('"')) | zero_bytes(block ^ repeated('\\'));
        if (special != 0) {
          at_ += std::countr_zero(special) / 8;
          break;
        }
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
    const auto found = read_escape({at_ - 1, static_cast<std::size_t>(end_ - at_) + 1});
    if (found.size == 0) return false;
    if (found.character < 0) dirty_ = true;
    at_ += found.size - 1;
    return true;
  }

  bool number() {
    const auto size = json_number_size({at_, static_cast<std::size_t>(end_ - at_)});
    at_ += size;
    return size > 0;
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

}  // namespace

JsonState check_json(std::string_view json) {
  JsonChecker checker(json);
  if (!checker.run()) return JsonState::broken;
  return checker.dirty() || !simdjson::validate_utf8(json.data(), json.size()) ? JsonState::dirty : JsonState::clean;
}

std::string clean_json(std::string_view json, std::int64_t& repaired) {
  auto out = clean_text(json, repaired);
  for (auto at = out.find('\\'); at != std::string::npos; at = out.find('\\', at)) {
    const auto escape = read_escape(std::string_view(out).substr(at));
    if (escape.character < 0) {
      ++repaired;
      out.replace(at, 6, "\\ufffd");
    }
    at += std::max<std::size_t>(escape.size, 1);
  }
  return out;
}

std::size_t json_number_size(std::string_view text) {
  std::size_t at = 0;
  const auto skip = [&](char a, char b) { return at < text.size() && (text[at] == a || text[at] == b) && ++at; };
  const auto digits = [&] {
    const auto from = at;
    while (at < text.size() && is_json_digit(text[at])) ++at;
    return at > from;
  };
  skip('-', '-');
  if (!skip('0', '0') && !digits()) return 0;
  if (skip('.', '.') && !digits()) return 0;
  auto size = static_cast<std::int64_t>(at);
  if (skip('e', 'E')) {
    skip('+', '-');
    const auto from = at;
    if (!digits()) return 0;
    std::int64_t exponent = 0;
    for (auto i = from; i < at && exponent <= most_digits; ++i) exponent = exponent * 10 + (text[i] - '0');
    size += exponent;
  }
  return size <= most_digits ? at : 0;
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
    if (escape.character < 0) ++repaired;
    out += write_utf8(escape.character < 0 ? 0xFFFD : escape.character, out);
    inner.remove_prefix(escape.size);
  }
  return static_cast<std::size_t>(out - begin);
}

std::string shortened_json(std::string_view json, std::size_t most) {
  if (json.size() <= most) return std::string(json);
  const auto full = most - std::min<std::size_t>(most / 4, 64u << 10);  // what follows the lists has room too
  std::string shorter, open;
  std::size_t from = 0;  // what follows is not yet in `shorter`
  std::size_t list = 0;  // how deep the outermost list is; 0: in none
  std::size_t fits = 0;  // the end of the last of its elements that has room
  bool leaving_out = false, in_text = false;
  const auto leave_out_where_full = [&](std::size_t end) {
    leaving_out = shorter.size() + (end - from) > full;
    if (leaving_out) shorter += json.substr(from, fits - from);
  };
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      open += c;
      if (c == '{' || list != 0) continue;
      list = open.size();
      fits = 0;
    } else if ((c == '}' || c == ']') && !open.empty()) {
      if (list == open.size()) {
        list = 0;
        if (!leaving_out && fits != 0) leave_out_where_full(i);
        if (leaving_out) from = i;
        leaving_out = false;
      }
      open.pop_back();
    } else if (c == ',' && list != 0 && list == open.size() && !leaving_out) {
      if (fits == 0) fits = i;  // the first is kept in any case
      leave_out_where_full(i);
      if (!leaving_out) fits = i;
    }
  }
  if (!leaving_out) shorter += json.substr(from);
  if (shorter.size() > most) shorter.resize(most);
  return shorter;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  out += '"';
}

}  // namespace sluice
