#include <algorithm>

#include "sinks/copy_values.hpp"

namespace sluice {
namespace {

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

int group_value(std::string_view digits) {
  int value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  return value;
}

}  // namespace

bool DecimalParts::parse(std::string_view text, DecimalParts& d) {
  if (!text.empty() && text[0] == '-') {
    d.negative = true;
    text.remove_prefix(1);
  }
  const auto point = text.find('.');
  d.whole = text.substr(0, point);
  if (point != std::string_view::npos) d.fraction = text.substr(point + 1);
  if (d.whole.empty() || (point != std::string_view::npos && d.fraction.empty())) return false;
  if (!all_digits(d.whole) || !all_digits(d.fraction)) return false;
  d.whole.remove_prefix(std::min(d.whole.find_first_not_of('0'), d.whole.size()));
  const auto last = d.fraction.find_last_not_of('0');
  d.significant = last == std::string_view::npos ? 0 : last + 1;
  return true;
}

// numeric.c, numeric_send: count of base-10000 digits, weight of the first, sign, digits after the point to show,
// digits.
Misfit put_numeric(ByteBuffer& out, std::string_view text, std::int32_t modifier) {
  DecimalParts d;
  if (!DecimalParts::parse(text, d)) return Misfit::type;
  std::size_t scale = d.fraction.size();
  if (modifier >= modifier_header) {
    const auto packed = modifier - modifier_header;
    const std::int32_t places = ((packed & 0x7ff) ^ 0x400) - 0x400;
    const std::int32_t room = ((packed >> 16) & 0xffff) - places;
    if (places < 0 || d.significant > static_cast<std::size_t>(places)) return Misfit::digits;
    if (static_cast<std::int64_t>(d.whole.size()) > room) return Misfit::range;
    scale = static_cast<std::size_t>(places);
  }
  if (d.whole.size() > 131072 || scale > 16383) return Misfit::range;

  const auto whole_groups = (d.whole.size() + 3) / 4;
  const auto fraction_groups = (d.significant + 3) / 4;
  char* const start = out.room(12 + 2 * (whole_groups + fraction_groups));
  char* at = start + 12;
  int weight = static_cast<int>(whole_groups) - 1;
  std::size_t count = 0;
  const auto put_group = [&](int value) {
    if (count == 0 && value == 0) {
      --weight;
      return;
    }
    store(at, static_cast<std::int16_t>(value));
    at += 2;
    ++count;
  };
  const auto first = d.whole.size() - (whole_groups > 0 ? (whole_groups - 1) * 4 : 0);
  if (whole_groups > 0) put_group(group_value(d.whole.substr(0, first)));
  for (auto i = first; i < d.whole.size(); i += 4) put_group(group_value(d.whole.substr(i, 4)));
  for (std::size_t i = 0; i < d.significant; i += 4) {
    const auto digits = d.fraction.substr(i, std::min<std::size_t>(4, d.significant - i));
    static constexpr int powers[] = {10000, 1000, 100, 10, 1};
    put_group(group_value(digits) * powers[digits.size()]);
  }
  while (count > 0 && at[-1] == 0 && at[-2] == 0) {
    at -= 2;
    --count;
  }
  store(start, static_cast<std::int32_t>(8 + 2 * count));
  store(start + 4, static_cast<std::int16_t>(count));
  store(start + 6, static_cast<std::int16_t>(count == 0 ? 0 : weight));
  store(start + 8, static_cast<std::int16_t>(count > 0 && d.negative ? 0x4000 : 0));
  store(start + 10, static_cast<std::int16_t>(scale));
  out.used(12 + 2 * count);
  return Misfit::none;
}

}  // namespace sluice
