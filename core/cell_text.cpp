#include "core/cell_text.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/decimal.hpp"
#include "core/time.hpp"

namespace sluice {
namespace {

std::optional<std::int64_t> read_int64(std::string_view text) {
  std::int64_t value = 0;
  const auto* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error == std::errc() && end == last) return value;
  // "600.0" and "6e2" are whole numbers too.
  const auto canonical = canonical_decimal(text);
  return canonical ? decimal_to_int64(*canonical) : std::nullopt;
}

std::optional<double> read_double(std::string_view text) {
  double value = 0;
  const auto* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc() || end != last || !std::isfinite(value)) return {};
  return value;
}

std::optional<std::int64_t> read_boolean(std::string_view text) {
  if (text == "true" || text == "1") return 1;
  if (text == "false" || text == "0") return 0;
  return {};
}

std::optional<std::int64_t> read_date(std::string_view text) {
  const auto day = parse_day(text);
  if (!day) return {};
  return *day - Day(1970, 1, 1);
}

std::optional<std::int64_t> read_time(std::string_view text) {
  // A time is an instant of 1970-01-01.
  const auto when = parse_instant(fmt::format("1970-01-01T{}Z", text));
  if (!when) return {};
  return when->time_since_epoch().count();
}

std::optional<std::int64_t> read_timestamp(std::string_view text) {
  const auto when = parse_instant(text);
  if (!when) return {};
  return when->time_since_epoch().count();
}

bool read_uuid(std::string_view text, std::string& uuid) {
  if (text.size() != 32 && text.size() != 36) return false;
  for (const char c : text) {
    if (c == '-') continue;
    if (!std::isxdigit(static_cast<unsigned char>(c))) return false;
    if (uuid.size() == 8 || uuid.size() == 13 || uuid.size() == 18 || uuid.size() == 23) uuid += '-';
    uuid += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return uuid.size() == 36;
}

std::optional<std::string> read_decimal(std::string_view text, DataType type) {
  auto canonical = canonical_decimal(text);
  if (canonical && type.precision > 0) return round_decimal(*canonical, type.precision, type.scale);
  return canonical;
}

bool give(const std::optional<std::int64_t>& value, CellText& out) {
  if (value) out.cell = Cell::of(*value);
  return value.has_value();
}

bool give(const std::optional<std::string>& value, CellText& out) {
  if (value) out.text = *value;
  return value.has_value();
}

}  // namespace

bool parse_cell_text(std::string_view text, DataType type, CellText& out) {
  switch (type.type) {
    case Type::boolean:
      return give(read_boolean(text), out);
    case Type::int64:
      return give(read_int64(text), out);
    case Type::date:
      return give(read_date(text), out);
    case Type::time:
      return give(read_time(text), out);
    case Type::timestamp:
      return give(read_timestamp(text), out);
    case Type::decimal:
      return give(read_decimal(text, type), out);
    case Type::uuid:
      return read_uuid(text, out.text.emplace());
    case Type::float64: {
      const auto value = read_double(text);
      if (value) out.cell = Cell::of(*value);
      return value.has_value();
    }
    case Type::text:
    case Type::json:
    case Type::bytes:
      out.text.emplace(text);
      return true;
  }
  return false;
}

}  // namespace sluice
