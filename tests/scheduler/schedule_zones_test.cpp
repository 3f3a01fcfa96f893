#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "scheduler/schedule.hpp"

// Cron::next against a scan of every minute, in every zone of this machine that differs from the others.

using namespace sluice;
using namespace std::chrono_literals;

namespace {

struct Case {
  const char* text;
  Dst dst;
};
constexpr Case cases[] = {
    {"7 * * * *", Dst::once},         {"*/15 * * 3,10,11 *", Dst::once},
    {"0 */2 * * *", Dst::once},       {"30 1/3 * * *", Dst::both},
    {"10 0-22/2 * * *", Dst::skip},   {"0 0 * * *", Dst::once},
    {"0 0 * * *", Dst::skip},         {"0 0 * * *", Dst::both},
    {"30 0 * * *", Dst::once},        {"0 1 * * *", Dst::once},
    {"0 1 * * *", Dst::both},         {"30 1 * * *", Dst::once},
    {"30 1 * * *", Dst::skip},        {"30 1 * * *", Dst::both},
    {"15,45 1 * * *", Dst::once},     {"15,45 1 * * *", Dst::both},
    {"0 2 * * *", Dst::once},         {"0 2 * * *", Dst::skip},
    {"0 2 * * *", Dst::both},         {"30 2 * * *", Dst::once},
    {"30 2 * * *", Dst::skip},        {"30 2 * * *", Dst::both},
    {"0,59 2,3 * * *", Dst::once},    {"*/10 3 * * 0", Dst::once},
    {"59 23 * * *", Dst::once},       {"30 23 * * *", Dst::both},
    {"0 12 1 * *", Dst::once},        {"0 9 * * 1-5", Dst::once},
    {"0 0 13 * 5", Dst::once},        {"0 0 */10 * 1", Dst::once},
    {"20 2 29 2 *", Dst::once},       {"0 3 31 3,10 *", Dst::both},
    {"30 2 25-31 3,10 0", Dst::once}, {"0 1-5 * 3,4,9,10,11 *", Dst::once},
};
constexpr std::size_t count = std::size(cases);
static_assert(count <= 64);
using Bits = std::uint64_t;

// Numbers, lists, ranges, steps; by the plainest means.
std::set<int> expand(const std::string& field, int least, int most) {
  std::set<int> values;
  std::size_t at = 0;
  while (at < field.size()) {
    auto comma = field.find(',', at);
    if (comma == field.npos) comma = field.size();
    std::string item = field.substr(at, comma - at);
    at = comma + 1;
    int step = 1, from = least, to = most;
    const auto slash = item.find('/');
    const bool stepped = slash != item.npos;
    if (stepped) step = std::stoi(item.substr(slash + 1));
    item = item.substr(0, slash);
    if (item != "*") {
      from = to = std::stoi(item);
      if (stepped) to = most;
      if (const auto dash = item.find('-'); dash != item.npos) to = std::stoi(item.substr(dash + 1));
    }
    for (int v = from; v <= to; v += step) values.insert(v);
  }
  return values;
}

// For each value of each field, which of the cases it suits.
struct Tables {
  Bits minute[60]{}, hour[24]{}, day[32]{}, month[13]{}, weekday[7]{};
  Bits either = 0, elapsed = 0, both = 0, skip = 0;

  Tables() {
    for (std::size_t i = 0; i < count; ++i) {
      const Bits bit = Bits{1} << i;
      std::istringstream in(cases[i].text);
      const std::vector<std::string> f{std::istream_iterator<std::string>(in), {}};
      for (const int v : expand(f[0], 0, 59)) minute[v] |= bit;
      for (const int v : expand(f[1], 0, 23)) hour[v] |= bit;
      for (const int v : expand(f[2], 1, 31)) day[v] |= bit;
      for (const int v : expand(f[3], 1, 12)) month[v] |= bit;
      for (const int v : expand(f[4], 0, 6)) weekday[v % 7] |= bit;
      if (f[2][0] != '*' && f[4][0] != '*') either |= bit;
      if (f[1] == "*" || f[1].find('/') != f[1].npos) elapsed |= bit;
      if (cases[i].dst == Dst::both) both |= bit;
      if (cases[i].dst == Dst::skip) skip |= bit;
    }
  }

  Bits on(Day d) const {
    const int w = (static_cast<int>(cctz::get_weekday(d)) + 1) % 7;
    const Bits by_day = day[d.day()], by_weekday = weekday[w];
    return month[d.month()] & ((either & (by_day | by_weekday)) | (~either & by_day & by_weekday));
  }
  // Cases that match at some minute of the civil times [from, to).
  Bits within(cctz::civil_minute from, cctz::civil_minute to) const {
    Bits found = 0;
    for (auto m = from; m < to; ++m) found |= on(Day(m)) & hour[m.hour()] & minute[m.minute()];
    return found;
  }
};

// What `next` gave, walked along beside the scan.
class Walk {
 public:
  Walk(const Zone& zone, Instant start) : zone_(zone) {
    static const auto parsed = [] {
      std::vector<Cron> all;
      std::string fault;
      for (const auto& c : cases) all.push_back(Cron::parse(c.text, fault).value());
      return all;
    }();
    crons_ = &parsed;
    for (std::size_t i = 0; i < count; ++i) next_[i] = advance(i, start);
  }

  // The scan says that exactly the cases in `fires` fire at `when`, and that none fired since the last call.
  bool agrees(Bits fires, Instant when) {
    for (; fires != 0; fires &= fires - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(fires));
      if (next_[i] != when) return report(i, when);
      next_[i] = advance(i, when);
      ++compared_;
    }
    return true;
  }
  bool none_before(Instant end) {
    for (std::size_t i = 0; i < count; ++i)
      if (next_[i] <= end) return report(i, end);
    return true;
  }
  std::int64_t compared() const { return compared_; }

 private:
  Instant advance(std::size_t i, Instant after) const {
    return (*crons_)[i].next(after, zone_, cases[i].dst).value_or(Instant::max());
  }
  bool report(std::size_t i, Instant expected) const {
    UNSCOPED_INFO(zone_.name() << ": \"" << cases[i].text << "\" gives " << format_instant(next_[i]) << ", the scan "
                               << format_instant(expected));
    return false;
  }

  const Zone& zone_;
  const std::vector<Cron>* crons_ = nullptr;
  Instant next_[count];
  std::int64_t compared_ = 0;
};

using Minutes = cctz::time_point<cctz::seconds>;

// Minute by minute from one change of the clocks to the next.
bool scan(const Tables& tables, Walk& walk, const Zone& zone, Minutes start, Minutes end) {
  auto civil = cctz::civil_minute(cctz::convert(start, zone));
  auto repeated_until = civil;  // civil times before it have been here already
  Bits at_gap = 0;
  for (auto now = start; now < end;) {
    cctz::time_zone::civil_transition change;
    auto segment_end = end;
    const bool changes = zone.next_transition(now, &change);
    if (changes) segment_end = std::min(end, now + 60s * (cctz::civil_minute(change.from) - civil));
    while (now < segment_end) {
      const Day today(civil);
      const Bits day = tables.on(today);
      int minute = civil.hour() * 60 + civil.minute();
      for (const int repeated = static_cast<int>(repeated_until - civil) + minute; now < segment_end && minute < 1440;
           now += 60s, ++minute) {
        Bits fires = day & tables.hour[minute / 60] & tables.minute[minute % 60];
        if (minute < repeated) fires &= tables.elapsed | tables.both;
        fires |= at_gap;
        at_gap = 0;
        if (fires != 0 && now > start && !walk.agrees(fires, std::chrono::time_point_cast<Duration>(now))) return false;
      }
      civil = cctz::civil_minute(today) + minute;
    }
    if (!changes || now >= end) break;
    const cctz::civil_minute from(change.from), to(change.to);
    if (from < to) at_gap = tables.within(from, to) & ~tables.elapsed & ~tables.skip;
    repeated_until = std::max(repeated_until, from);
    civil = to;
  }
  return walk.none_before(std::chrono::time_point_cast<Duration>(end) - 60s);
}

// One zone for each different content of a zone file.
std::vector<std::string> distinct_zones() {
  namespace fs = std::filesystem;
  const fs::path root = "/usr/share/zoneinfo";
  std::set<std::string> contents;
  std::vector<std::string> names;
  std::vector<std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file()) all.push_back(fs::relative(entry.path(), root).string());
  std::sort(all.begin(), all.end());
  for (const auto& name : all) {
    if (name.starts_with("right/") || name.starts_with("posix")) continue;  // leap seconds; copies
    std::ifstream file(root / name, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    if (content.starts_with("TZif") && contents.insert(content).second) names.push_back(name);
  }
  return names;
}

}  // namespace

TEST_CASE("the next fire is what a scan of every minute finds, in every zone") {
  // The ten years with the oddest changes; under sanitizers, which make it take minutes, one of them.
  const auto start = cctz::convert(cctz::civil_second(2020 - SLUICE_SCANNED_YEARS, 1, 1), utc());
  const auto end = cctz::convert(cctz::civil_second(2020, 1, 1), utc());
  const Tables tables;
  std::int64_t compared = 0;
  const auto zones = distinct_zones();
  REQUIRE(zones.size() > 200);
  for (const auto& name : zones) {
    const auto zone = load_zone(name);
    REQUIRE(zone);
    Walk walk(*zone, std::chrono::time_point_cast<Duration>(start));
    const bool agrees = scan(tables, walk, *zone, start, end);
    CHECK(agrees);
    compared += walk.compared();
  }
  CHECK(compared > 10'000);
}
