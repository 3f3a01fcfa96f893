#include "sinks/copy_values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/time.hpp"

namespace sluice {
namespace {

constexpr std::int64_t epoch_days = 10957;  // 1970-01-01 → 2000-01-01
constexpr std::int64_t epoch_micros = epoch_days * 86'400'000'000;
constexpr std::int64_t first_day = -2451545;               // 4713-11-24 BC, date.h: DATETIME_MIN_JULIAN
constexpr std::int64_t end_day = 2145031949;               // 5874898-06-03, date.h: DATE_END_JULIAN
constexpr std::int64_t first_micro = -211813488000000000;  // timestamp.h: MIN_TIMESTAMP
constexpr std::int64_t end_micro = 9223371331200000000;    // timestamp.h: END_TIMESTAMP
constexpr std::int64_t day_micros = 86'400'000'000;
constexpr std::size_t most_bytes = 0x0fffffff;  // jsonb.h: a string's length has 28 bits

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// One value on its way.
struct FieldValue {
  const CopyColumn& column;
  const Cell& cell;
  std::string_view text;  // of a text cell

  bool is_text() const { return cell.kind == Kind::text; }
  bool is_integer() const { return cell.kind == Kind::int64; }
};

Misfit read_integer(const FieldValue& v, std::int64_t& value) {
  const auto type = v.column.type.type;
  if (v.is_integer()) {
    value = v.cell.integer;
    return type == Type::int64 || type == Type::boolean || type == Type::decimal ? Misfit::none : Misfit::type;
  }
  if (!v.is_text() || (type != Type::decimal && type != Type::int64 && type != Type::text)) return Misfit::type;
  DecimalParts d;
  if (!DecimalParts::parse(v.text, d)) return Misfit::type;
  if (d.significant > 0) return Misfit::digits;
  const auto whole = v.text.substr(0, v.text.find('.'));
  return parse_number(whole, value) ? Misfit::none : Misfit::range;
}

template <typename T>
Misfit put_integer(ByteBuffer& out, const FieldValue& v) {
  std::int64_t value = 0;
  if (const auto misfit = read_integer(v, value); misfit != Misfit::none) return misfit;
  if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) return Misfit::range;
  put_fixed(out, static_cast<T>(value));
  return Misfit::none;
}

Misfit put_boolean(ByteBuffer& out, const FieldValue& v) {
  if (!v.is_integer() || (v.column.type.type != Type::boolean && v.column.type.type != Type::int64))
    return Misfit::type;
  if (v.cell.integer != 0 && v.cell.integer != 1) return Misfit::range;
  char* at = out.room(5);
  store(at, std::int32_t{1});
  at[4] = static_cast<char>(v.cell.integer);
  out.used(5);
  return Misfit::none;
}

Misfit put_float(ByteBuffer& out, const FieldValue& v) {
  double value = 0;
  if (v.cell.kind == Kind::float64) {
    value = v.cell.real;
  } else if (v.is_integer() && v.column.type.type == Type::int64) {
    constexpr std::int64_t exact = std::int64_t{1} << 53;
    if (v.cell.integer > exact || v.cell.integer < -exact) return Misfit::digits;
    value = static_cast<double>(v.cell.integer);
  } else {
    return Misfit::type;
  }
  if (v.column.oid == pg_oid::float8) {
    put_fixed(out, std::bit_cast<std::int64_t>(value));
    return Misfit::none;
  }
  if (std::isfinite(value) && std::abs(value) > std::numeric_limits<float>::max()) return Misfit::range;
  const auto single = static_cast<float>(value);
  if (std::isfinite(value) && static_cast<double>(single) != value) return Misfit::digits;
  put_fixed(out, std::bit_cast<std::int32_t>(single));
  return Misfit::none;
}

Misfit put_decimal(ByteBuffer& out, const FieldValue& v) {
  const auto type = v.column.type.type;
  if (v.is_text() && (type == Type::decimal || type == Type::text)) return put_numeric(out, v.text, v.column.modifier);
  if (!v.is_integer() || (type != Type::int64 && type != Type::decimal)) return Misfit::type;
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof(digits), v.cell.integer).ptr;
  return put_numeric(out, {digits, static_cast<std::size_t>(end - digits)}, v.column.modifier);
}

Misfit put_date(ByteBuffer& out, const FieldValue& v) {
  std::int64_t days = 0;
  if (v.is_integer() && v.column.type.type == Type::date) {
    days = v.cell.integer;
  } else if (v.is_text() && (v.column.type.type == Type::date || v.column.type.type == Type::text)) {
    const auto day = parse_day(v.text);
    if (!day) return Misfit::type;
    days = *day - Day(1970, 1, 1);
  } else {
    return Misfit::type;
  }
  if (days < first_day + epoch_days || days >= end_day + epoch_days) return Misfit::range;
  put_fixed(out, static_cast<std::int32_t>(days - epoch_days));
  return Misfit::none;
}

Misfit put_time(ByteBuffer& out, const FieldValue& v) {
  if (!v.is_integer() || v.column.type.type != Type::time) return Misfit::type;
  if (v.cell.integer < 0 || v.cell.integer > day_micros) return Misfit::range;
  put_fixed(out, v.cell.integer);
  return Misfit::none;
}

Misfit put_timestamp(ByteBuffer& out, const FieldValue& v) {
  std::int64_t micros = 0;
  const auto type = v.column.type.type;
  if (v.is_integer() && type == Type::timestamp) {
    micros = v.cell.integer;
  } else if (v.is_integer() && type == Type::date) {
    if (__builtin_mul_overflow(v.cell.integer, day_micros, &micros)) return Misfit::range;
  } else if (v.is_text() && (type == Type::timestamp || type == Type::text)) {
    const auto when = parse_instant(v.text);
    if (!when) return Misfit::type;
    micros = when->time_since_epoch().count();
  } else {
    return Misfit::type;
  }
  if (micros < first_micro + epoch_micros || __builtin_sub_overflow(micros, epoch_micros, &micros) ||
      micros >= end_micro)
    return Misfit::range;
  put_fixed(out, micros);
  return Misfit::none;
}

bool hex_byte(char high, char low, char& byte) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  const int value = digit(high) * 16 + digit(low);
  byte = static_cast<char>(value);
  return digit(high) >= 0 && digit(low) >= 0;
}

Misfit put_uuid(ByteBuffer& out, const FieldValue& v) {
  if (!v.is_text() || (v.column.type.type != Type::uuid && v.column.type.type != Type::text)) return Misfit::type;
  if (v.text.size() != 36) return Misfit::type;
  char bytes[16];
  std::size_t count = 0;
  for (std::size_t i = 0; i < 36;) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (v.text[i++] != '-') return Misfit::type;
      continue;
    }
    if (!hex_byte(v.text[i], v.text[i + 1], bytes[count++])) return Misfit::type;
    i += 2;
  }
  put_bytes(out, {bytes, sizeof(bytes)});
  return Misfit::none;
}

Misfit put_json(ByteBuffer& out, const FieldValue& v) {
  if (!v.is_text() || v.column.type.type != Type::json) return Misfit::type;
  if (v.text.size() > most_bytes) return Misfit::range;
  const std::size_t version = v.column.oid == pg_oid::jsonb ? 1 : 0;
  char* at = out.room(4 + version + v.text.size());
  store(at, static_cast<std::int32_t>(version + v.text.size()));
  if (version) at[4] = 1;
  std::memcpy(at + 4 + version, v.text.data(), v.text.size());
  out.used(4 + version + v.text.size());
  return Misfit::none;
}

Misfit put_bytea(ByteBuffer& out, const FieldValue& v) {
  if (!v.is_text() || v.column.type.type != Type::bytes) return Misfit::type;
  if (v.text.size() > most_bytes) return Misfit::range;
  put_bytes(out, v.text);
  return Misfit::none;
}

std::string number_text(const Cell& cell, Type type) {
  if (cell.kind == Kind::float64) return fmt::format("{}", cell.real);
  const auto n = cell.integer;
  if (type == Type::boolean) return n ? "true" : "false";
  if (type == Type::date) return format_day(Day(1970, 1, 1) + n);
  if (type == Type::timestamp) return format_instant(Instant(Duration(n)));
  if (type != Type::time) return std::to_string(n);
  const auto seconds = n / 1'000'000;
  auto text = fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (n % 1'000'000 != 0) text += fmt::format(".{:06}", n % 1'000'000);
  return text;
}

std::int64_t characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

Misfit put_text(ByteBuffer& out, const FieldValue& v) {
  std::string made;
  auto text = v.text;
  if (!v.is_text()) {
    made = number_text(v.cell, v.column.type.type);
    text = made;
  } else if (v.column.type.type == Type::bytes) {
    made = "\\x";  // as PostgreSQL writes bytea
    for (const char c : v.text) made += fmt::format("{:02x}", static_cast<unsigned char>(c));
    text = made;
  }
  if (text.size() > most_bytes) return Misfit::range;
  if (v.column.modifier >= modifier_header && characters(text) > v.column.modifier - modifier_header)
    return Misfit::range;
  put_bytes(out, text);
  return Misfit::none;
}

}  // namespace

bool is_text_oid(std::uint32_t oid) {
  return oid == pg_oid::text || oid == pg_oid::varchar || oid == pg_oid::bpchar;
}

Misfit put_value(ByteBuffer& out, const CopyColumn& column, const Cell& cell, std::string_view text) {
  const FieldValue v{column, cell, text};
  switch (column.oid) {
    case pg_oid::text:
    case pg_oid::varchar:
    case pg_oid::bpchar:
      return put_text(out, v);
    case pg_oid::int8:
      return put_integer<std::int64_t>(out, v);
    case pg_oid::int4:
      return put_integer<std::int32_t>(out, v);
    case pg_oid::int2:
      return put_integer<std::int16_t>(out, v);
    case pg_oid::numeric:
      return put_decimal(out, v);
    case pg_oid::float8:
    case pg_oid::float4:
      return put_float(out, v);
    case pg_oid::boolean:
      return put_boolean(out, v);
    case pg_oid::date:
      return put_date(out, v);
    case pg_oid::time:
      return put_time(out, v);
    case pg_oid::timestamp:
    case pg_oid::timestamptz:
      return put_timestamp(out, v);
    case pg_oid::json:
    case pg_oid::jsonb:
      return put_json(out, v);
    case pg_oid::uuid:
      return put_uuid(out, v);
    case pg_oid::bytea:
      return put_bytea(out, v);
    default:
      return Misfit::type;
  }
}

std::string cell_text(const Batch& batch, const Cell& cell, DataType type) {
  if (cell.is_null()) return {};
  return cell.kind == Kind::text ? std::string(batch.text(cell)) : number_text(cell, type.type);
}

void put_instant(ByteBuffer& out, Instant when) {
  put_fixed(out, static_cast<std::int64_t>(when.time_since_epoch().count() - epoch_micros));
}

}  // namespace sluice
