#include "sinks/sqlite_columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "core/error.hpp"

namespace sluice::sqlite {
namespace {

constexpr std::int64_t exact_in_double = std::int64_t{1} << 53;

void append_time(std::string& out, Duration of_day) {
  const std::chrono::hh_mm_ss parts(of_day);
  fmt::format_to(std::back_inserter(out), "{:02}:{:02}:{:02}.{:06}", parts.hours().count(), parts.minutes().count(),
                 parts.seconds().count(), parts.subseconds().count());
}

void append_day(std::string& out, std::int64_t days) {
  const Day day = Day(1970, 1, 1) + days;
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
}

void append_instant(std::string& out, std::int64_t ticks) {
  const Instant when{Duration(ticks)};
  const auto day = std::chrono::floor<std::chrono::days>(when);
  append_day(out, day.time_since_epoch().count());
  out += 'T';
  append_time(out, when - day);
  out += 'Z';
}

void append_hex(std::string& out, std::string_view bytes) {
  out += "\\x";
  for (const char c : bytes) fmt::format_to(std::back_inserter(out), "{:02x}", static_cast<unsigned char>(c));
}

// Only a text that the number would be written as again.
std::optional<std::int64_t> exact_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || std::to_string(value) != text) return {};
  return value;
}

std::optional<double> exact_real(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || fmt::format("{}", value) != text) return {};
  return value;
}

}  // namespace

std::string stored_instant(Instant when) {
  std::string out;
  append_instant(out, when.time_since_epoch().count());
  return out;
}

StoredColumn::StoredColumn(const TableColumn& column, const ExistingTable::Field& field, bool in_key)
    : name_(column.name),
      type_(column.type),
      stored_(field.type.value_or(Type::bytes).type),
      known_(field.type.has_value()),
      native_(field.native),
      source_(column.source),
      in_key_(in_key) {}

std::string_view StoredColumn::format(const Batch& batch, const Cell& cell) {
  if (cell.kind == Kind::int64 && in_room_ == cell.integer) return room_;
  in_room_.reset();
  room_.clear();
  if (cell.kind == Kind::text) {
    if (type_.type != Type::bytes) return batch.text(cell);
    append_hex(room_, batch.text(cell));
  } else if (cell.kind == Kind::float64) {
    fmt::format_to(std::back_inserter(room_), "{}", cell.real);
  } else {
    switch (type_.type) {
      case Type::boolean:
        room_ = cell.integer ? "true" : "false";
        break;
      case Type::date:
        append_day(room_, cell.integer);
        break;
      case Type::time:
        append_time(room_, Duration(cell.integer));
        break;
      case Type::timestamp:
        append_instant(room_, cell.integer);
        break;
      default:
        fmt::format_to(std::back_inserter(room_), "{}", cell.integer);
    }
    in_room_ = cell.integer;
  }
  return room_;
}

std::string StoredColumn::text(const Batch& batch, const Cell& cell) {
  return cell.is_null() ? std::string() : std::string(format(batch, cell));
}

Misfit StoredColumn::misfit() const {
  return {"type", fmt::format("column {}: the value ({}) does not fit the table's {}; cast or rename the column in "
                              "`transform:`, or give the stream a new table",
                              name_, to_string(type_), native_.empty() ? "untyped column" : native_)};
}

std::optional<Misfit> StoredColumn::bind(Statement& statement, int at, const Batch& batch, const Cell& cell) {
  if (cell.is_null()) {
    if (!in_key_)
      statement.bind_null(at);
    else if (known_ && stored_ == Type::text)
      statement.bind_view(at, "");
    else
      return Misfit{"required", fmt::format("column {}: there is no value, and it is part of the key", name_)};
    return {};
  }
  if (!known_) return misfit();
  switch (stored_) {
    case Type::text:
      statement.bind_view(at, format(batch, cell));
      return {};
    case Type::bytes:
      if (type_.type != Type::bytes || cell.kind != Kind::text) return misfit();
      statement.bind_blob_view(at, batch.text(cell));
      return {};
    default:
      if (bind_number(statement, at, batch, cell)) return {};
      return misfit();
  }
}

Misfit StoredColumn::not_json() const {
  return {"json", fmt::format("column {}: the value is not JSON", name_)};
}

// Only what comes back as it was.
bool StoredColumn::bind_number(Statement& statement, int at, const Batch& batch, const Cell& cell) {
  const bool real = stored_ == Type::float64;
  std::optional<std::int64_t> whole;
  std::optional<double> number;
  if (cell.kind == Kind::int64 && (type_.type == Type::int64 || type_.type == Type::boolean)) {
    whole = cell.integer;
    if (std::abs(cell.integer) <= exact_in_double) number = static_cast<double>(cell.integer);
  } else if (cell.kind == Kind::float64) {
    if (!std::isnan(cell.real)) number = cell.real;  // SQLite stores NULL for NaN
    if (std::abs(cell.real) <= static_cast<double>(exact_in_double) && std::trunc(cell.real) == cell.real)
      whole = static_cast<std::int64_t>(cell.real);
  } else if (cell.kind == Kind::text && (type_.type == Type::decimal || type_.type == Type::text)) {
    whole = exact_integer(batch.text(cell));
    number = exact_real(batch.text(cell));
  }
  if (real ? !number : !whole) return false;
  if (real)
    statement.bind(at, *number);
  else
    statement.bind(at, *whole);
  return true;
}

std::string StoredColumn::key_text(const std::string& part) const {
  if (type_.type != Type::timestamp) return part;
  const auto when = parse_instant(part);
  return when ? stored_instant(*when) : part;
}

std::vector<StoredColumn> stored_columns(const Table& table, const ExistingTable& existing) {
  std::vector<StoredColumn> columns;
  for (const auto& column : table.columns) {
    const auto* field = existing.find(column.name);
    if (!field)
      throw Error(Remedy::retry, fmt::format("table {}: column {} is not there any more; the next run adds it again",
                                             table.name, column.name));
    const bool in_key = std::find(table.key.begin(), table.key.end(), column.name) != table.key.end();
    columns.emplace_back(column, *field, in_key);
  }
  return columns;
}

}  // namespace sluice::sqlite
