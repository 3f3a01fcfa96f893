#pragma once
#include <cctz/civil_time.h>
#include <cctz/time_zone.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

using Duration = std::chrono::microseconds;
using Instant = std::chrono::sys_time<Duration>;
// A day of the calendar, without a zone. `day + 1` is the next day.
using Day = cctz::civil_day;
using Zone = cctz::time_zone;

// An IANA zone by name; nothing when the machine's zone database has no such zone.
std::optional<Zone> load_zone(std::string_view name);
inline Zone utc() {
  return cctz::utc_time_zone();
}

// The civil day that `when` falls on in `zone`.
Day day_of(Instant when, const Zone& zone);
// The first instant of `day` in `zone`; where midnight does not exist, the first instant after the gap.
Instant start_of(Day day, const Zone& zone);

// "2026-03-01"
std::string format_day(Day day);
std::optional<Day> parse_day(std::string_view text);

// RFC 3339 in UTC, fraction only where there is one: "2026-03-01T12:00:00Z", "2026-03-01T12:00:00.25Z"
std::string format_instant(Instant when);
// RFC 3339, and the same with an offset without colon ("2024-03-02T15:02:47-0700", as Meta writes it), a space for
// the T, or up to nine digits of fraction (cut to microseconds). An offset is required.
std::optional<Instant> parse_instant(std::string_view text);

// "90s" "5m" "2h" "28d" "250ms"; the unit is required. A sum of parts too: "1h30m".
std::optional<Duration> parse_duration(std::string_view text);
// The shortest exact text that parse_duration reads back.
std::string format_duration(Duration d);

// "512B" "64KiB" "32MiB" "1GiB"; the unit is required.
std::optional<std::int64_t> parse_size(std::string_view text);
std::string format_size(std::int64_t bytes);

}  // namespace sluice
