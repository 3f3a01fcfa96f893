#include "scheduler/schedule.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <charconv>

#include "core/settings.hpp"

namespace sluice {
namespace {

using cctz::civil_second;

constexpr std::array<std::string_view, 12> month_names{"jan", "feb", "mar", "apr", "may", "jun",
                                                       "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> day_names{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct FieldKind {
  std::string_view name;
  int least, most;
  std::span<const std::string_view> names;  // of least, least + 1, …
  std::string_view expected;
};
constexpr FieldKind second_field{"second", 0, 59, {}, "0 to 59"};
constexpr FieldKind minute_field{"minute", 0, 59, {}, "0 to 59"};
constexpr FieldKind hour_field{"hour", 0, 23, {}, "0 to 23"};
constexpr FieldKind day_field{"day of month", 1, 31, {}, "1 to 31"};
constexpr FieldKind month_field{"month", 1, 12, month_names, "1 to 12 or jan to dec"};
constexpr FieldKind weekday_field{"weekday", 0, 7, day_names, "0 to 7 (0 and 7 are Sunday) or sun to sat"};

struct Wrong {
  std::string message;
};

struct Parsed {
  std::uint64_t bits = 0;
  bool begins_with_star = false;
  bool all_stars_or_steps = true;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  for (std::size_t from = 0;;) {
    const auto to = text.find_first_of(separators, from);
    parts.push_back(text.substr(from, to - from));
    if (to == text.npos) return parts;
    from = to + 1;
  }
}

std::vector<std::string_view> words(std::string_view text) {
  auto parts = split(text, " \t");
  std::erase(parts, std::string_view());
  return parts;
}

class FieldParser {
 public:
  FieldParser(const FieldKind& kind, std::string_view text) : kind_(kind), text_(text) {}

  Parsed parse() const {
    Parsed parsed;
    parsed.begins_with_star = text_.front() == '*';
    for (const auto item : split(text_, ",")) {
      if (item.empty()) fail("a value is missing in the list");
      const auto slash = item.find('/');
      const auto step = slash == item.npos ? 0 : step_of(item.substr(slash + 1));
      const auto [from, to] = range_of(item.substr(0, slash), step != 0);
      for (int i = from; i <= to; i += std::max(step, 1)) parsed.bits |= std::uint64_t{1} << i;
      parsed.all_stars_or_steps = parsed.all_stars_or_steps && (item == "*" || step != 0);
    }
    if (&kind_ == &weekday_field && (parsed.bits & 1U << 7)) parsed.bits = (parsed.bits | 1U) & 0x7f;
    return parsed;
  }

 private:
  [[noreturn]] void fail(std::string_view why) const {
    throw Wrong{fmt::format("the {} field is \"{}\": {}", kind_.name, text_, why)};
  }

  int step_of(std::string_view text) const {
    const auto step = number(text);
    if (!step || *step == 0) fail(fmt::format("\"{}\" is not a step; expected a number from 1, as in */15", text));
    // Sixty minutes are not in */90: it would fire once an hour.
    if (*step > kind_.most)
      fail(fmt::format("a step of {} is longer than the field ({}); for intervals write `every:` instead of `cron:`",
                       *step, kind_.expected));
    return *step;
  }

  std::pair<int, int> range_of(std::string_view text, bool open) const {
    const auto last = kind_.most == 7 ? 6 : kind_.most;
    if (text == "*") return {kind_.least, last};
    const auto dash = text.find('-');
    const auto from = value(text.substr(0, dash));
    if (dash == text.npos) return {from, open ? std::max(last, from) : from};
    auto to = value(text.substr(dash + 1));
    if (kind_.most == 7 && to == 0 && from > 0) to = 7;  // fri-sun
    if (to < from)
      fail(fmt::format("the range {} goes backwards; write {}-{},{}-{}", text, from, last, kind_.least, to));
    return {from, to};
  }

  int value(std::string_view text) const {
    if (const auto n = number(text)) {
      if (*n < kind_.least || *n > kind_.most)
        fail(fmt::format("{} is out of range; expected {}", text, kind_.expected));
      return *n;
    }
    const auto name = lower(text);
    for (std::size_t i = 0; i < kind_.names.size(); ++i)
      if (kind_.names[i] == name) return kind_.least + static_cast<int>(i);
    if (text == "?") fail("write * instead of ?");
    if (text.find_first_of("LlWw#") != text.npos && kind_.names.empty())
      fail("L, W and # are not known here; expected " + std::string(kind_.expected));
    auto why = fmt::format("\"{}\" is not a {}; expected {}", text, kind_.name, kind_.expected);
    const std::vector<std::string> known(kind_.names.begin(), kind_.names.end());
    if (const auto near = nearest_name(name.substr(0, 3), known)) why += fmt::format("; did you mean \"{}\"?", *near);
    fail(why);
  }

  static std::optional<int> number(std::string_view text) {
    int n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (text.empty() || error != std::errc() || end != text.data() + text.size() || n < 0) return {};
    return n;
  }

  const FieldKind& kind_;
  std::string_view text_;
};

// The five fields that a nickname stands for.
std::string_view expand_nickname(std::string_view text) {
  if (text == "@hourly") return "0 * * * *";
  if (text == "@daily") return "0 0 * * *";
  if (text == "@weekly") return "0 0 * * 0";
  if (text == "@monthly") return "0 0 1 * *";
  const std::string known = "expected @hourly, @daily, @weekly, @monthly or five fields";
  if (text == "@midnight") throw Wrong{"@midnight is not known; write @daily"};
  if (text == "@yearly" || text == "@annually") throw Wrong{fmt::format("{} is not known; write 0 0 1 1 *", text)};
  if (text == "@reboot")
    throw Wrong{"@reboot is not known; what fell due while the daemon was down runs at its start by `missed: latest`"};
  if (text.starts_with("@every")) throw Wrong{"@every is not known; write `every: 15m` instead of `cron:`"};
  throw Wrong{fmt::format("\"{}\" is not known; {}", text, known)};
}

template <typename Bits>
int lowest(Bits bits) {
  return std::countr_zero(bits);
}
// The lowest bit that is set at or above `from`; -1 where there is none.
template <typename Bits>
int next_bit(Bits bits, int from) {
  if (from >= static_cast<int>(sizeof(Bits) * 8)) return -1;
  bits &= static_cast<Bits>(~Bits{0} << from);
  return bits == 0 ? -1 : lowest(bits);
}

Instant at(const cctz::time_point<cctz::seconds>& when) {
  return std::chrono::time_point_cast<Duration>(when);
}

}  // namespace

std::optional<Cron> Cron::parse(std::string_view text, std::string& fault) {
  Cron cron;
  try {
    const auto all = words(text);
    if (all.empty()) throw Wrong{"it is empty; expected minute hour day month weekday"};
    cron.text_ = fmt::format("{}", fmt::join(all, " "));
    auto fields = all.front().starts_with('@') ? words(expand_nickname(cron.text_)) : all;
    if (fields.size() != 5 && fields.size() != 6)
      throw Wrong{
          fmt::format("it has {} field{}; expected 5 (minute hour day month weekday), or 6 with the second first",
                      fields.size(), fields.size() == 1 ? "" : "s")};
    if (fields.size() == 6) {
      cron.seconds_ = FieldParser(second_field, fields.front()).parse().bits;
      fields.erase(fields.begin());
    }
    cron.minutes_ = FieldParser(minute_field, fields[0]).parse().bits;
    const auto hours = FieldParser(hour_field, fields[1]).parse();
    const auto days = FieldParser(day_field, fields[2]).parse();
    const auto months = FieldParser(month_field, fields[3]).parse();
    const auto weekdays = FieldParser(weekday_field, fields[4]).parse();
    cron.hours_ = static_cast<std::uint32_t>(hours.bits);
    cron.days_ = static_cast<std::uint32_t>(days.bits);
    cron.months_ = static_cast<std::uint32_t>(months.bits);
    cron.weekdays_ = static_cast<std::uint32_t>(weekdays.bits);
    cron.elapsed_ = hours.all_stars_or_steps;
    cron.days_any_ = days.begins_with_star;
    cron.weekdays_any_ = weekdays.begins_with_star;
    if (!cron.ever_matches()) throw Wrong{"it can never match: no such month has such a day"};
  } catch (const Wrong& wrong) {
    fault = fmt::format("cron \"{}\": {}", text, wrong.message);
    return {};
  }
  return cron;
}

bool Cron::ever_matches() const {
  if (either_day()) return true;
  constexpr std::array<int, 12> lengths{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (int month = 1; month <= 12; ++month)
    if ((months_ >> month & 1U) && lowest(days_) <= lengths[static_cast<std::size_t>(month - 1)]) return true;
  return false;
}

// The days of one month that match, bit i for day i.
std::uint32_t Cron::days_of(Day first_of_month) const {
  using namespace std::chrono;
  const auto month = year(static_cast<int>(first_of_month.year())) / static_cast<unsigned>(first_of_month.month());
  const unsigned first = weekday(sys_days(month / 1)).c_encoding();
  const auto length = static_cast<unsigned>((month / last).day());
  const std::uint64_t week = (std::uint64_t{weekdays_} | std::uint64_t{weekdays_} << 7) >> first & 0x7f;
  constexpr std::uint64_t five_weeks = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
  const auto weekdays = static_cast<std::uint32_t>(week * five_weeks << 1);
  const auto in_month = static_cast<std::uint32_t>((std::uint64_t{1} << (length + 1)) - 2);
  return (either_day() ? days_ | weekdays : days_ & weekdays) & in_month;
}

std::optional<civil_second> Cron::match_in_day(Day day, int hour, int minute, int second) const {
  for (int h = next_bit(hours_, hour); h >= 0; h = next_bit(hours_, h + 1)) {
    for (int m = next_bit(minutes_, h > hour ? 0 : minute); m >= 0; m = next_bit(minutes_, m + 1)) {
      const int s = next_bit(seconds_, h > hour || m > minute ? 0 : second);
      if (s >= 0) return civil_second(day.year(), day.month(), day.day(), h, m, s);
    }
  }
  return {};
}

// The first civil time at or after `from` that matches.
std::optional<civil_second> Cron::match(civil_second from) const {
  auto month = cctz::civil_month(from);
  for (int ahead = 0; ahead <= 40 * 12; ++ahead, ++month) {
    if (!(months_ >> month.month() & 1U)) continue;
    const auto days = days_of(Day(month));
    for (int d = next_bit(days, ahead == 0 ? from.day() : 1); d >= 0; d = next_bit(days, d + 1)) {
      const Day day(month.year(), month.month(), d);
      const bool first = day == Day(from);
      if (const auto found =
              match_in_day(day, first ? from.hour() : 0, first ? from.minute() : 0, first ? from.second() : 0))
        return found;
    }
  }
  return {};
}

std::optional<Instant> Cron::next(Instant after, const Zone& zone, Dst dst) const {
  if (elapsed_) return next_elapsed(after, zone, false);
  if (dst == Dst::both) return next_elapsed(after, zone, true);
  return next_on_the_wall(after, zone, dst);
}

// Walks through civil times: each has its instant, and those instants never go back.
std::optional<Instant> Cron::next_on_the_wall(Instant after, const Zone& zone, Dst dst) const {
  using Kind = cctz::time_zone::civil_lookup;
  auto from = cctz::convert(std::chrono::floor<std::chrono::seconds>(after), zone) + 1;
  for (;;) {
    const auto found = match(from);
    if (!found) return {};
    const auto there = zone.lookup(*found);
    if (there.kind == Kind::SKIPPED && dst == Dst::skip) {
      from = cctz::convert(there.trans, zone);
      continue;
    }
    const auto when = at(there.kind == Kind::SKIPPED ? there.trans : there.pre);
    if (when > after) return when;
    // `after` is in the second pass of a fold, whose times have all had their turn.
    from = there.kind == Kind::REPEATED ? cctz::convert(there.trans - std::chrono::seconds(1), zone) + 1 : *found + 1;
  }
}

// Walks through the stretches of time between changes of the clocks: each instant whose civil time matches is a fire.
std::optional<Instant> Cron::next_elapsed(Instant after, const Zone& zone, bool fire_after_gaps) const {
  auto start = std::chrono::floor<std::chrono::seconds>(after);
  auto civil_start = cctz::convert(start, zone);
  auto from = civil_start + 1;
  for (;;) {
    const auto found = match(from);
    if (!found) return {};
    cctz::time_zone::civil_transition change;
    const bool changes = zone.next_transition(start, &change);
    if (!changes || *found < change.from) return at(start + std::chrono::seconds(*found - civil_start));
    start += std::chrono::seconds(change.from - civil_start);
    if (fire_after_gaps && change.from < change.to) {
      const auto lost = match(change.from);
      if (lost && *lost < change.to) return at(start);
    }
    civil_start = from = change.to;
  }
}

std::optional<Instant> Schedule::next(Instant after) const {
  if (const auto* cron = std::get_if<Cron>(&when)) return cron->next(after, zone, dst);
  if (const auto* every = std::get_if<Duration>(&when)) {
    if (*every <= Duration::zero()) return {};
    auto rest = after.time_since_epoch() % *every;
    if (rest < Duration::zero()) rest += *every;
    return after - rest + *every;
  }
  return {};
}

Duration Schedule::offset(std::string_view pipeline) const {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, then the finaliser of SplitMix64: std::hash differs by library
  for (const char c : pipeline) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
  hash ^= hash >> 31;
  const std::chrono::milliseconds unit(1);
  const auto slots = static_cast<std::uint64_t>(jitter / unit);
  return slots == 0 ? Duration::zero() : unit * static_cast<std::int64_t>(hash % slots);
}

bool Schedule::operator==(const Schedule& o) const {
  return when == o.when && zone_name == o.zone_name && dst == o.dst && missed == o.missed &&
         start_deadline == o.start_deadline && overlap == o.overlap && jitter == o.jitter;
}

}  // namespace sluice
