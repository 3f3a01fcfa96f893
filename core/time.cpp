#include "core/time.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

namespace sluice {
namespace {

// Digits only, exactly `width` of them.
bool take_digits(std::string_view& text, std::size_t width, int& out) {
  if (text.size() < width) return false;
  out = 0;
  for (std::size_t i = 0; i < width; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    out = out * 10 + (text[i] - '0');
  }
  text.remove_prefix(width);
  return true;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

struct Unit {
  std::string_view name;
  std::int64_t size;
};

constexpr std::array<Unit, 7> duration_units{{{"d", 86'400'000'000},
                                              {"h", 3'600'000'000},
                                              {"m", 60'000'000},
                                              {"s", 1'000'000},
                                              {"ms", 1'000},
                                              {"us", 1},
                                              {"w", 604'800'000'000}}};
constexpr std::array<Unit, 4> size_units{{{"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}, {"B", 1}}};

// One "12m": the number, then the longest run of letters that follows it.
template <std::size_t N>
std::optional<std::int64_t> take_quantity(std::string_view& text, const std::array<Unit, N>& units) {
  if (text.starts_with('-')) return {};
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return {};
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  std::size_t letters = 0;
  while (letters < text.size() && (text[letters] < '0' || text[letters] > '9')) ++letters;
  const auto name = text.substr(0, letters);
  for (const auto& unit : units) {
    if (unit.name != name) continue;
    if (number > std::numeric_limits<std::int64_t>::max() / unit.size) return {};
    text.remove_prefix(letters);
    return number * unit.size;
  }
  return {};
}

std::optional<Day> take_day(std::string_view& text) {
  int y = 0, m = 0, d = 0;
  if (!take_digits(text, 4, y) || !take(text, '-') || !take_digits(text, 2, m) || !take(text, '-') ||
      !take_digits(text, 2, d))
    return {};
  const Day day(y, m, d);
  if (day.year() != y || day.month() != m || day.day() != d) return {};  // cctz normalises 02-30; we refuse it
  return day;
}

}  // namespace

std::optional<Zone> load_zone(std::string_view name) {
  Zone zone;
  if (!cctz::load_time_zone(std::string(name), &zone)) return {};
  return zone;
}

Day day_of(Instant when, const Zone& zone) {
  return Day(cctz::convert(std::chrono::floor<std::chrono::seconds>(when), zone));
}

Instant start_of(Day day, const Zone& zone) {
  const auto found = zone.lookup(cctz::civil_second(day));
  // In a gap `trans` is the instant of the jump; in a fold `pre` is the first of the two midnights.
  const auto when = found.kind == cctz::time_zone::civil_lookup::SKIPPED ? found.trans : found.pre;
  return std::chrono::time_point_cast<Duration>(when);
}

std::string format_day(Day day) {
  return fmt::format("{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
}

std::optional<Day> parse_day(std::string_view text) {
  const auto day = take_day(text);
  if (!text.empty()) return {};
  return day;
}

std::string format_instant(Instant when) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(when);
  const auto civil = cctz::convert(seconds, utc());
  auto text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", civil.year(), civil.month(), civil.day(), civil.hour(),
                          civil.minute(), civil.second());
  if (const auto fraction = (when - seconds).count(); fraction != 0) {
    text += fmt::format(".{:06}", fraction);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + 'Z';
}

std::optional<Instant> parse_instant(std::string_view text) {
  const auto day = take_day(text);
  if (!day || (!take(text, 'T') && !take(text, 't') && !take(text, ' '))) return {};
  int h = 0, m = 0, s = 0;
  if (!take_digits(text, 2, h) || !take(text, ':') || !take_digits(text, 2, m) || !take(text, ':') ||
      !take_digits(text, 2, s))
    return {};
  if (h > 23 || m > 59 || s > 60) return {};
  std::int64_t micros = 0;
  if (take(text, '.')) {
    int digits = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; ++digits, text.remove_prefix(1))
      if (digits < 6) micros = micros * 10 + (text.front() - '0');
    if (digits == 0 || digits > 9) return {};
    for (; digits < 6; ++digits) micros *= 10;
  }
  int offset = 0;
  if (!take(text, 'Z') && !take(text, 'z')) {
    const bool west = !text.empty() && text.front() == '-';
    int oh = 0, om = 0;
    if (!take(text, west ? '-' : '+') || !take_digits(text, 2, oh)) return {};
    take(text, ':');
    if (!take_digits(text, 2, om) || oh > 23 || om > 59) return {};
    offset = (oh * 60 + om) * 60 * (west ? -1 : 1);
  }
  if (!text.empty()) return {};
  const auto civil = cctz::civil_second(day->year(), day->month(), day->day(), h, m, s) - offset;
  return std::chrono::time_point_cast<Duration>(cctz::convert(civil, utc())) + Duration(micros);
}

std::optional<Duration> parse_duration(std::string_view text) {
  if (text.empty()) return {};
  std::int64_t total = 0;
  while (!text.empty()) {
    const auto part = take_quantity(text, duration_units);
    if (!part || *part > std::numeric_limits<std::int64_t>::max() - total) return {};
    total += *part;
  }
  return Duration(total);
}

std::string format_duration(Duration d) {
  auto rest = d.count();
  std::string text = rest < 0 ? "-" : "";
  if (rest < 0) rest = -rest;
  for (const auto& unit : duration_units) {
    if (unit.name == "w" || rest < unit.size) continue;
    text += fmt::format("{}{}", rest / unit.size, unit.name);
    rest %= unit.size;
  }
  return text.empty() ? "0s" : text;
}

std::optional<std::int64_t> parse_size(std::string_view text) {
  const auto size = take_quantity(text, size_units);
  if (!text.empty()) return {};
  return size;
}

std::string format_size(std::int64_t bytes) {
  for (const auto& unit : size_units)
    if (bytes >= unit.size && bytes % unit.size == 0) return fmt::format("{}{}", bytes / unit.size, unit.name);
  return fmt::format("{}B", bytes);
}

}  // namespace sluice
