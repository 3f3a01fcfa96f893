#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "scheduler/schedule.hpp"
#include "tests/fuzz/fuzz.hpp"

// A cron expression's fires against a scan of every minute, or of every second of an hour, by a reader of its own.

using namespace sluice;
using fuzz::require;

namespace {

using Values = std::array<bool, 64>;

std::vector<std::string> split(std::string_view text, const char* separators) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (std::string_view(separators).find(c) != std::string_view::npos)
      parts.emplace_back();
    else
      parts.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return parts;
}

int number(const std::string& text, const std::string& names) {
  if (const auto at = names.find(text); text.size() == 3 && at != std::string::npos && at % 3 == 0)
    return static_cast<int>(at / 3) + (names.starts_with("jan") ? 1 : 0);
  return std::atoi(text.c_str());
}

// A field that was accepted.
Values read_field(const std::string& text, int least, int most, const std::string& names = "-") {
  Values values{};
  for (const auto& item : split(text, ",")) {
    const auto parts = split(item, "/");
    const auto range = split(parts[0], "-");
    const int step = parts.size() > 1 ? std::atoi(parts[1].c_str()) : 1;
    int from = least, to = most;
    if (parts[0] != "*") {
      from = number(range[0], names);
      to = range.size() > 1 ? number(range[1], names) : parts.size() > 1 ? std::max(from, most) : from;
      if (most == 6 && to == 0 && from > 0 && range.size() > 1) to = 7;
    }
    for (int i = from; i <= to; i += step) values[static_cast<std::size_t>(most == 6 ? i % 7 : i)] = true;
  }
  return values;
}

struct Fields {
  Values second, minute, hour, day, month, weekday;
  bool any_day, any_weekday;

  bool match(cctz::civil_second at) const {
    const auto has = [](const Values& values, int i) { return values[static_cast<std::size_t>(i)]; };
    const int weekday_number =
        (static_cast<int>(cctz::get_weekday(cctz::civil_day(at))) + 1) % 7;  // cctz begins with Monday
    const bool by_day = has(day, at.day()), by_weekday = has(weekday, weekday_number);
    return has(second, at.second()) && has(minute, at.minute()) && has(hour, at.hour()) && has(month, at.month()) &&
           (any_day || any_weekday ? by_day && by_weekday : by_day || by_weekday);
  }
};

std::optional<Fields> read(std::string_view text) {
  auto words = split(text, " \t");
  std::erase(words, std::string());
  if (words.empty() || words[0].starts_with("@")) return {};
  if (words.size() == 5) words.insert(words.begin(), "0");
  Fields fields;
  fields.second = read_field(words[0], 0, 59);
  fields.minute = read_field(words[1], 0, 59);
  fields.hour = read_field(words[2], 0, 23);
  fields.day = read_field(words[3], 1, 31);
  fields.month = read_field(words[4], 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec");
  fields.weekday = read_field(words[5], 0, 6, "sunmontuewedthufrisat");
  fields.any_day = words[3].starts_with("*");
  fields.any_weekday = words[5].starts_with("*");
  return fields;
}

// None up to the one that was given, which is one.
void scan(const Fields& fields, Instant after, Instant next) {
  const auto civil = [](Instant when) { return cctz::convert(std::chrono::floor<std::chrono::seconds>(when), utc()); };
  require(fields.match(civil(next)), "a fire is at a time that the expression names");
  const bool whole_minutes = fields.second[0] && std::count(fields.second.begin(), fields.second.end(), true) == 1;
  const Duration step = whole_minutes ? Duration(std::chrono::minutes(1)) : Duration(std::chrono::seconds(1));
  const auto last = std::min(next, after + 4000 * step);
  const auto first = after + step - Duration(after.time_since_epoch().count() % step.count());
  for (auto at = first; at < last; at += step)
    require(!fields.match(civil(at)), "no time that the expression names is passed over");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Zone zones[] = {utc(), *load_zone("Europe/Berlin"), *load_zone("America/St_Johns"),
                               *load_zone("Australia/Lord_Howe")};
  fuzz::Input input(data, size);
  const auto zone = input.pick(4);
  const auto dst = static_cast<Dst>(input.pick(3));
  const auto day = Day(2024, 1, 1) + static_cast<int>(input.pick(256) * 8 + input.pick(256) % 8);
  const auto after = start_of(day, utc()) + std::chrono::minutes(input.pick(256) * 5) +
                     std::chrono::milliseconds(input.pick(256) * 231);
  const auto text = input.rest();

  std::string fault;
  const auto cron = Cron::parse(text, fault);
  require(cron.has_value() == fault.empty(), "an expression is good, or it is said what is wrong");
  if (!cron) return 0;
  const auto next = cron->next(after, zones[zone], dst);
  if (!next) {
    require(dst == Dst::skip, "an expression that matches some day fires within forty years");
    return 0;
  }
  require(*next > after, "the next fire is later");
  const auto between = after + (*next - after) / 2;
  require(between >= *next || cron->next(between, zones[zone], dst) == next,
          "the next fire is the next one from any time");
  const auto fields = read(text);
  if (fields && zone == 0) scan(*fields, after, *next);
  return 0;
}
