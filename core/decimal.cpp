#include "core/decimal.hpp"

#include <charconv>

namespace sluice {
namespace {

constexpr int max_exponent = 300;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::size_t count_digits(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  return n;
}

// The value 0.DIGITS × 10^point, DIGITS without zeros at either end (none: zero).
std::string print(bool negative, std::string_view digits, std::ptrdiff_t point) {
  while (!digits.empty() && digits.front() == '0') {
    digits.remove_prefix(1);
    --point;
  }
  while (!digits.empty() && digits.back() == '0') digits.remove_suffix(1);
  if (digits.empty()) return "0";
  std::string text = negative ? "-" : "";
  const auto size = static_cast<std::ptrdiff_t>(digits.size());
  if (point <= 0) {
    text.append("0.").append(static_cast<std::size_t>(-point), '0').append(digits);
  } else if (point >= size) {
    text.append(digits).append(static_cast<std::size_t>(point - size), '0');
  } else {
    const auto whole = static_cast<std::size_t>(point);
    text.append(digits.substr(0, whole)).append(1, '.').append(digits.substr(whole));
  }
  return text;
}

}  // namespace

bool is_canonical_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto whole = count_digits(text);
  if (whole == 0 || (whole > 1 && text[0] == '0')) return false;
  if (whole == text.size()) return !(negative && text == "0");
  if (text[whole] != '.' || text.back() == '0') return false;
  const auto fraction = text.substr(whole + 1);
  return !fraction.empty() && count_digits(fraction) == fraction.size();
}

std::optional<std::string> canonical_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto whole = text.substr(0, count_digits(text));
  text.remove_prefix(whole.size());
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = text.substr(0, count_digits(text));
    text.remove_prefix(fraction.size());
  }
  if (whole.empty() && fraction.empty()) return {};
  int exponent = 0;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
    if (error != std::errc() || exponent > max_exponent || exponent < -max_exponent) return {};
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  if (!text.empty()) return {};
  std::string digits(whole);
  digits.append(fraction);
  return print(negative, digits, static_cast<std::ptrdiff_t>(whole.size()) + exponent);
}

std::optional<std::string> round_decimal(std::string_view canonical, int precision, int scale) {
  const bool negative = canonical.starts_with('-');
  if (negative) canonical.remove_prefix(1);
  const auto point = std::min(canonical.find('.'), canonical.size());
  std::string digits(canonical.substr(0, point));
  if (point < canonical.size()) digits.append(canonical.substr(point + 1));
  auto whole = point;
  const auto kept = whole + static_cast<std::size_t>(scale);
  if (digits.size() > kept) {
    const bool up = digits[kept] >= '5';
    digits.resize(kept);
    auto i = kept;
    while (up && i > 0 && digits[i - 1] == '9') digits[--i] = '0';
    if (up && i > 0) {
      ++digits[i - 1];
    } else if (up) {
      digits.insert(digits.begin(), '1');
      ++whole;
    }
  }
  auto text = print(negative, digits, static_cast<std::ptrdiff_t>(whole));
  const auto start = text.starts_with('-') ? 1u : 0u;
  const auto before = std::min(text.find('.'), text.size()) - start;
  if (text[start] != '0' && before > static_cast<std::size_t>(precision - scale)) return {};
  return text;
}

std::optional<std::int64_t> decimal_to_int64(std::string_view canonical) {
  std::int64_t value = 0;
  const auto* last = canonical.data() + canonical.size();
  const auto [end, error] = std::from_chars(canonical.data(), last, value);
  if (error != std::errc() || end != last) return {};
  return value;
}

}  // namespace sluice
