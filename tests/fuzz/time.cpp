#include "core/time.hpp"

#include <algorithm>
#include <string>

#include "core/settings.hpp"
#include "tests/fuzz/fuzz.hpp"

// Days and instants against the calendar of the standard library; what is written is read back.

using namespace sluice;
using fuzz::require;

namespace {

using Wide = __int128;

// Reads a text of fixed fields.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool number(std::size_t digits, int least, int most, int& value) {
    if (rest_.size() < digits) return false;
    value = 0;
    for (const char c : rest_.substr(0, digits)) {
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return value >= least && value <= most;
  }
  // The character that came, where it is one of them; else 0.
  char one_of(std::string_view characters) {
    if (rest_.empty() || characters.find(rest_.front()) == characters.npos) return 0;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  std::string digits() {
    const auto end = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    const std::string taken(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return taken;
  }
  std::string letters() {
    const auto end = std::min(rest_.find_first_of("0123456789"), rest_.size());
    const std::string taken(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return taken;
  }
  bool end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::optional<std::chrono::sys_days> read_day(Scanner& scanner) {
  int year = 0, month = 0, day = 0;
  if (!scanner.number(4, 0, 9999, year) || !scanner.one_of("-") || !scanner.number(2, 1, 12, month) ||
      !scanner.one_of("-") || !scanner.number(2, 1, 31, day))
    return {};
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return {};
  return std::chrono::sys_days(date);
}

std::optional<Instant> read_instant(std::string_view text) {
  Scanner scanner(text);
  const auto day = read_day(scanner);
  int hour = 0, minute = 0, second = 0, east_hours = 0, east_minutes = 0;
  if (!day || !scanner.one_of("Tt ") || !scanner.number(2, 0, 23, hour) || !scanner.one_of(":") ||
      !scanner.number(2, 0, 59, minute) || !scanner.one_of(":") || !scanner.number(2, 0, 60, second))
    return {};
  std::string fraction;
  if (scanner.one_of(".")) {
    fraction = scanner.digits();
    if (fraction.empty() || fraction.size() > 9) return {};
  }
  fraction.resize(6, '0');
  const char sign = scanner.one_of("+-Zz");
  if (sign == '+' || sign == '-') {
    if (!scanner.number(2, 0, 23, east_hours)) return {};
    scanner.one_of(":");
    if (!scanner.number(2, 0, 59, east_minutes)) return {};
  }
  if (sign == 0 || !scanner.end()) return {};
  const auto east = std::chrono::hours(east_hours) + std::chrono::minutes(east_minutes);
  return Instant(*day) + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second) +
         Duration(std::stoi(fraction)) - (sign == '-' ? -east : east);
}

using Units = std::initializer_list<std::pair<const char*, std::int64_t>>;

// A sum of numbers with units; of one part where `single`.
std::optional<std::int64_t> read_sum(std::string_view text, const Units& units, bool single) {
  Wide sum = 0;
  Scanner scanner(text);
  if (scanner.end()) return {};
  for (bool first = true; !scanner.end(); first = false) {
    const auto number = scanner.digits();
    const auto name = scanner.letters();
    const auto* unit = std::find_if(units.begin(), units.end(), [&](const auto& u) { return u.first == name; });
    if (number.empty() || unit == units.end() || (single && !first)) return {};
    constexpr Wide too_large = Wide{INT64_MAX} + 1;
    Wide value = 0;
    for (const char c : number) value = std::min<Wide>(value * 10 + (c - '0'), too_large);
    sum += value * unit->second;
    if (sum > INT64_MAX) return {};
  }
  return static_cast<std::int64_t>(sum);
}

void check_days(std::string_view text) {
  Scanner scanner(text);
  auto expected = read_day(scanner);
  if (!scanner.end()) expected.reset();
  const auto day = parse_day(text);
  require(day.has_value() == expected.has_value(), "exactly the days of the calendar are read");
  if (!day) return;
  require(*day - Day(1970, 1, 1) == expected->time_since_epoch().count(), "a day is that of the calendar");
  require(format_day(*day) == text, "a day is written as it was read");
  const auto start = start_of(*day, utc());
  require(start == Instant(*expected) && day_of(start, utc()) == *day, "a day begins in itself");
}

void check_instants(std::string_view text) {
  const auto expected = read_instant(text);
  const auto when = parse_instant(text);
  require(when.has_value() == expected.has_value(), "exactly what is an instant is read");
  if (!when) return;
  require(*when == *expected, "an instant is that of the calendar");
  const auto year = day_of(*when, utc()).year();
  if (year < 0 || year > 9999) return;  // the offset moved it out of the years of four digits
  require(parse_instant(format_instant(*when)) == *when, "an instant is read as it was written");
}

void check_amounts(std::string_view text) {
  constexpr std::int64_t second = 1'000'000;
  const auto duration = parse_duration(text);
  const auto micros = read_sum(text,
                               {{"us", 1},
                                {"ms", 1000},
                                {"s", second},
                                {"m", 60 * second},
                                {"h", 3600 * second},
                                {"d", 86'400 * second},
                                {"w", 604'800 * second}},
                               false);
  require(duration.has_value() == micros.has_value(), "exactly what is a duration is read");
  if (duration) {
    require(duration->count() == *micros, "a duration is the sum of its parts");
    require(parse_duration(format_duration(*duration)) == duration, "a duration is read as it was written");
  }
  const auto bytes = parse_size(text);
  const auto expected = read_sum(text, {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}, true);
  require(bytes == expected, "exactly what is a size is read");
  if (bytes) require(parse_size(format_size(*bytes)) == bytes, "a size is read as it was written");
}

void check_limits(std::string_view text) {
  if (const auto rate = parse_rate(text))
    require(rate->per_second > 0 && rate->per_second < 1e300, "a rate is positive and finite");
  if (const auto share = parse_percent(text)) require(*share >= 0 && *share < 1e300, "a share is finite");
  if (const auto range = parse_range(text))
    require(range->least.count() >= 0 && range->least <= range->most, "a range does not go backwards");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::Input(data, size).rest();
  check_days(text);
  check_instants(text);
  check_amounts(text);
  check_limits(text);
  return 0;
}
