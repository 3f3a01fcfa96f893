#include <cctz/civil_time.h>
#include <cctz/time_zone.h>
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "connectors/clevertap_records.hpp"
#include "core/json_cell.hpp"
#include "core/read_json.hpp"

// What the records of CleverTap do not say as the columns need it.

namespace sluice::ct {
namespace {

std::optional<std::int64_t> number(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.starts_with('-')) return {};
  return value;
}

// "20221119054937"
std::optional<cctz::civil_second> parse_stamp(std::string_view text) {
  const auto all = text.size() == 14 ? number(text) : std::nullopt;
  if (!all) return {};
  const auto part = [&](std::size_t at, std::size_t size) { return static_cast<int>(*number(text.substr(at, size))); };
  const int month = part(4, 2), day = part(6, 2), hour = part(8, 2), minute = part(10, 2), second = part(12, 2);
  const cctz::civil_second when(part(0, 4), month, day, hour, minute, second);
  const bool same = when.month() == month && when.day() == day && when.hour() == hour && when.minute() == minute &&
                    when.second() == second;
  return same ? std::optional(when) : std::nullopt;
}

std::int64_t days_since_1970(Day day) {
  return day - Day(1970, 1, 1);
}

// "$D_1668817176" is CleverTap's own way; dates of ISO 8601 are taken too.
std::optional<Instant> parse_time(std::string_view text) {
  constexpr std::string_view mark = "$D_";
  if (!text.starts_with(mark)) return parse_instant(text);
  const auto seconds = number(text.substr(mark.size()));
  if (!seconds || *seconds > 253'402'300'799) return {};  // the year 9999
  return Instant(std::chrono::seconds(*seconds));
}

std::optional<Cell> time_cell(std::string_view text, Type type, const Zone& zone) {
  if (type == Type::date)
    if (const auto day = parse_day(text)) return Cell::of(days_since_1970(*day));
  const auto when = parse_time(text);
  if (!when) return {};
  return Cell::of(type == Type::date ? days_since_1970(day_of(*when, zone)) : when->time_since_epoch().count());
}

void reject(Batch& batch, std::size_t row, const std::string& column, std::string_view found,
            const std::string& expected) {
  batch.reject(row, Reject{{},
                           fmt::format("column \"{}\": found {}, expected {}", column, shown(found), expected),
                           "type",
                           std::string(batch.raw(row))});
}

}  // namespace

std::function<void(Batch&)> event_finisher(const StreamSpec& stream, const Zone& zone, std::string event) {
  struct Promoted {
    std::size_t place;
    Column column;
  };
  std::vector<Promoted> times;
  for (std::size_t i = 0; i < stream.columns.size(); ++i) {
    const auto& column = stream.columns[i];
    if (!column.path.empty() && (column.type.type == Type::timestamp || column.type.type == Type::date))
      times.push_back({i, column});
  }
  const auto name = place_of(stream, "event_name"), date = place_of(stream, "event_date"), ts = place_of(stream, "ts"),
             local = place_of(stream, "ts_local");
  return [=, times = std::move(times), event = std::move(event)](Batch& batch) {
    const auto same_name = event.empty() ? Cell() : batch.add_text(event);
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      auto row = batch.row(i);
      const auto stamp = batch.text(row[local]);
      const auto when = parse_stamp(stamp);
      if (!when) {
        reject(batch, i, "ts_local", stamp, "a time like 20221119054937");
        continue;
      }
      row[name] = same_name;
      row[date] = Cell::of(days_since_1970(Day(*when)));
      row[ts] = Cell::of(Instant(cctz::convert(*when, zone)).time_since_epoch().count());
      for (const auto& [place, column] : times) {
        if (row[place].is_null()) continue;
        const auto text = batch.text(row[place]);
        const auto cell = time_cell(text, column.type.type, zone);
        if (!cell) {
          reject(batch, i, column.name, text, to_string(column.type));
          break;
        }
        row[place] = *cell;
      }
    }
  };
}

std::function<void(Batch&)> profile_finisher(const StreamSpec& stream, const ApiProfile& profile) {
  const auto person = place_of(stream, "person"), identity = place_of(stream, "identity"),
             object = place_of(stream, "object_id"), devices = place_of(stream, "devices");
  return [=, &profile](Batch& batch) {
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      // Somebody with several devices has their ids below.
      if (batch.row(i)[object].is_null() && !batch.row(i)[devices].is_null()) {
        const auto list = read_json(batch.text(batch.row(i)[devices]));
        const auto& id = list.is_array() && !list.empty() ? member(list.front(), profile, "device.object_id") : list;
        if (id.is_string()) {
          const auto cell = batch.add_text(id.get_ref<const std::string&>());
          batch.row(i)[object] = cell;
        }
      }
      const auto row = batch.row(i);
      const bool known = !row[identity].is_null() && row[identity].size > 0;
      const auto& key = known ? row[identity] : row[object];
      if (key.is_null() || key.size == 0)
        batch.reject(
            i, Reject{{}, "a profile without identity and without a device", "required", std::string(batch.raw(i))});
      else
        row[person] = key;
    }
  };
}

std::function<void(Batch&)> number_finisher(const StreamSpec& stream, const std::string& column, std::int64_t value) {
  const auto place = place_of(stream, column);
  return [=](Batch& batch) {
    for (std::size_t i = 0; i < batch.rows(); ++i) batch.row(i)[place] = Cell::of(value);
  };
}

}  // namespace sluice::ct
