#include "core/decimal.hpp"

#include <cstdlib>
#include <string>

#include "tests/fuzz/fuzz.hpp"

// Numbers keep their value on the way to the canonical form, rounding is half away from zero.

using namespace sluice;
using fuzz::require;

namespace {

using Wide = __int128;

// ±0.DIGITS × 10^exponent, DIGITS without zeros at either end.
struct Number {
  bool negative = false;
  std::string digits;
  long exponent = 0;
  bool operator==(const Number&) const = default;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// By the grammar of core/decimal.hpp.
std::optional<Number> read(std::string_view text) {
  Number number;
  std::size_t at = 0;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) number.negative = text[at++] == '-';
  while (at < text.size() && is_digit(text[at])) number.digits += text[at++];
  number.exponent = static_cast<long>(number.digits.size());
  if (at < text.size() && text[at] == '.')
    for (++at; at < text.size() && is_digit(text[at]);) number.digits += text[at++];
  if (number.digits.empty()) return {};
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    std::string exponent;
    if (++at < text.size() && (text[at] == '-' || text[at] == '+')) exponent += text[at++];
    const auto first = at;
    while (at < text.size() && is_digit(text[at])) exponent += text[at++];
    const auto value = std::strtol(exponent.c_str(), nullptr, 10);
    if (at == first || value > 300 || value < -300) return {};
    number.exponent += value;
  }
  if (at != text.size()) return {};
  const auto leading = number.digits.find_first_not_of('0');
  if (leading == std::string::npos) return Number();
  number.digits.erase(0, leading);
  number.digits.erase(number.digits.find_last_not_of('0') + 1);
  number.exponent -= static_cast<long>(leading);
  return number;
}

Wide power(int exponent) {
  Wide value = 1;
  while (exponent-- > 0) value *= 10;
  return value;
}

Wide integer(std::string_view digits) {
  Wide value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  return value;
}

std::string print(bool negative, Wide value, int scale) {
  std::string digits;
  for (; value > 0 || static_cast<int>(digits.size()) <= scale; value /= 10)
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
  digits.insert(digits.size() - static_cast<std::size_t>(scale), ".");
  return (negative ? "-" : "") + digits;
}

void check_rounding(std::string_view canonical, int precision, int scale) {
  const bool negative = canonical.starts_with('-');
  const auto plain = canonical.substr(negative ? 1 : 0);
  const auto point = std::min(plain.find('.'), plain.size());
  const auto fraction = static_cast<int>(plain.size() - point) - (point < plain.size() ? 1 : 0);
  const auto rounded = round_decimal(canonical, precision, scale);
  require(!rounded || is_canonical_decimal(*rounded), "a rounded decimal is canonical");
  if (plain.size() > 18 || scale > 18) return;  // more than Wide holds
  auto exact =
      integer(plain.substr(0, point)) * power(fraction) + integer(plain.substr(std::min(point + 1, plain.size())));
  if (fraction <= scale) {
    exact *= power(scale - fraction);
  } else {
    const auto unit = power(fraction - scale);
    exact = exact / unit + (exact % unit * 2 >= unit ? 1 : 0);
  }
  require(rounded.has_value() == (exact < power(precision)), "what fits after rounding is kept, and nothing else");
  if (rounded) require(read(*rounded) == read(print(negative, exact, scale)), "rounding is half away from zero");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto precision = 1 + static_cast<int>(input.pick(38));
  const auto scale = static_cast<int>(input.pick(static_cast<std::size_t>(precision) + 1));
  const auto text = input.rest();

  const auto expected = read(text);
  const auto canonical = canonical_decimal(text);
  require(canonical.has_value() == expected.has_value(), "exactly what is a number is taken for one");
  if (!canonical) {
    require(!is_canonical_decimal(text), "what is no number is not canonical");
    return 0;
  }
  require(is_canonical_decimal(*canonical), "the canonical form is canonical");
  require(is_canonical_decimal(text) == (text == *canonical), "a canonical number is its own canonical form");
  require(read(*canonical) == expected, "the canonical form has the number's value");
  check_rounding(*canonical, precision, scale);

  const auto whole = decimal_to_int64(*canonical);
  const auto plain = canonical->starts_with('-') ? canonical->substr(1) : *canonical;
  if (plain.find('.') != std::string::npos || plain.size() > 19) {
    require(!whole, "what is not whole, or too large, is no int64");
  } else {
    const auto value = integer(plain) * (expected->negative ? -1 : 1);
    require(whole.has_value() == (value >= INT64_MIN && value <= INT64_MAX), "a whole number that fits is an int64");
    if (whole) require(*whole == value, "an int64 has the number's value");
  }
  return 0;
}
