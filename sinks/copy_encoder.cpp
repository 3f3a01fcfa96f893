#include "sinks/copy_encoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/time.hpp"
#include "sinks/clean_text.hpp"

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
constexpr std::int32_t modifier_header = 4;     // VARHDRSZ

// What keeps a value out of its column.
enum class Misfit { none, type, range, digits, json, null };

std::string_view describe(Misfit misfit) {
  switch (misfit) {
    case Misfit::range:
      return "the value is out of range";
    case Misfit::digits:
      return "the value has more digits than the column";
    case Misfit::json:
      return "the value is not valid JSON";
    case Misfit::null:
      return "the value is missing";
    default:
      return "the value is of another type";
  }
}

template <typename T>
void store(char* at, T value) {
  using U = std::make_unsigned_t<T>;
  auto bits = static_cast<U>(value);
  if constexpr (sizeof(U) == 2) bits = __builtin_bswap16(bits);
  if constexpr (sizeof(U) == 4) bits = __builtin_bswap32(bits);
  if constexpr (sizeof(U) == 8) bits = static_cast<U>(__builtin_bswap64(bits));
  std::memcpy(at, &bits, sizeof(bits));
}

template <typename T>
void put_fixed(ByteBuffer& out, T value) {
  char* at = out.room(4 + sizeof(T));
  store(at, static_cast<std::int32_t>(sizeof(T)));
  store(at + 4, value);
  out.used(4 + sizeof(T));
}

void put_null(ByteBuffer& out) {
  store(out.room(4), std::int32_t{-1});
  out.used(4);
}

void put_bytes(ByteBuffer& out, std::string_view bytes) {
  char* at = out.room(4 + bytes.size());
  store(at, static_cast<std::int32_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(at + 4, bytes.data(), bytes.size());
  out.used(4 + bytes.size());
}

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// [-]digits[.digits] taken apart: leading zeros and the point are gone.
struct Decimal {
  bool negative = false;
  std::string_view whole, fraction;
  std::size_t significant = 0;  // digits of the fraction without trailing zeros

  static bool parse(std::string_view text, Decimal& d) {
    if (!text.empty() && text[0] == '-') {
      d.negative = true;
      text.remove_prefix(1);
    }
    const auto point = text.find('.');
    d.whole = text.substr(0, point);
    if (point != std::string_view::npos) d.fraction = text.substr(point + 1);
    if (d.whole.empty() || (point != std::string_view::npos && d.fraction.empty())) return false;
    if (!all_digits(d.whole) || !all_digits(d.fraction)) return false;
    d.whole.remove_prefix(std::min(d.whole.find_first_not_of('0'), d.whole.size()));
    const auto last = d.fraction.find_last_not_of('0');
    d.significant = last == std::string_view::npos ? 0 : last + 1;
    return true;
  }
};

int group_value(std::string_view digits) {
  int value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  return value;
}

// numeric.c, numeric_send: count of base-10000 digits, weight of the first, sign, digits after the point to show,
// digits.
Misfit put_numeric(ByteBuffer& out, std::string_view text, std::int32_t modifier) {
  Decimal d;
  if (!Decimal::parse(text, d)) return Misfit::type;
  std::size_t scale = d.fraction.size();
  if (modifier >= modifier_header) {
    const auto packed = modifier - modifier_header;
    const std::int32_t places = ((packed & 0x7ff) ^ 0x400) - 0x400;
    const std::int32_t room = ((packed >> 16) & 0xffff) - places;
    if (places < 0 || d.significant > static_cast<std::size_t>(places)) return Misfit::digits;
    if (static_cast<std::int64_t>(d.whole.size()) > room) return Misfit::range;
    scale = static_cast<std::size_t>(places);
  }
  if (d.whole.size() > 131072 || scale > 16383) return Misfit::range;

  const auto whole_groups = (d.whole.size() + 3) / 4;
  const auto fraction_groups = (d.significant + 3) / 4;
  char* const start = out.room(12 + 2 * (whole_groups + fraction_groups));
  char* at = start + 12;
  int weight = static_cast<int>(whole_groups) - 1;
  std::size_t count = 0;
  const auto put_group = [&](int value) {
    if (count == 0 && value == 0) {
      --weight;
      return;
    }
    store(at, static_cast<std::int16_t>(value));
    at += 2;
    ++count;
  };
  const auto first = d.whole.size() - (whole_groups > 0 ? (whole_groups - 1) * 4 : 0);
  if (whole_groups > 0) put_group(group_value(d.whole.substr(0, first)));
  for (auto i = first; i < d.whole.size(); i += 4) put_group(group_value(d.whole.substr(i, 4)));
  for (std::size_t i = 0; i < d.significant; i += 4) {
    const auto digits = d.fraction.substr(i, std::min<std::size_t>(4, d.significant - i));
    static constexpr int powers[] = {10000, 1000, 100, 10, 1};
    put_group(group_value(digits) * powers[digits.size()]);
  }
  while (count > 0 && at[-1] == 0 && at[-2] == 0) {
    at -= 2;
    --count;
  }
  store(start, static_cast<std::int32_t>(8 + 2 * count));
  store(start + 4, static_cast<std::int16_t>(count));
  store(start + 6, static_cast<std::int16_t>(count == 0 ? 0 : weight));
  store(start + 8, static_cast<std::int16_t>(count > 0 && d.negative ? 0x4000 : 0));
  store(start + 10, static_cast<std::int16_t>(scale));
  out.used(12 + 2 * count);
  return Misfit::none;
}

// One value on its way.
struct FieldValue {
  const CopyColumn& column;
  const Cell& cell;
  std::string_view text;  // of a text cell
  std::int64_t& repaired;

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
  Decimal d;
  if (!Decimal::parse(v.text, d)) return Misfit::type;
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
  const auto state = check_json(v.text);
  if (state == JsonState::broken) return Misfit::json;
  std::string clean;
  auto text = v.text;
  if (state == JsonState::dirty) {
    ++v.repaired;
    clean = clean_json(text);
    text = clean;
  }
  const std::size_t version = v.column.oid == pg_oid::jsonb ? 1 : 0;
  char* at = out.room(4 + version + text.size());
  store(at, static_cast<std::int32_t>(version + text.size()));
  if (version) at[4] = 1;
  std::memcpy(at + 4 + version, text.data(), text.size());
  out.used(4 + version + text.size());
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
  } else if (!is_clean_text(text)) {
    ++v.repaired;
    made = clean_text(text);
    text = made;
  }
  if (text.size() > most_bytes) return Misfit::range;
  if (v.column.modifier >= modifier_header && characters(text) > v.column.modifier - modifier_header)
    return Misfit::range;
  put_bytes(out, text);
  return Misfit::none;
}

bool is_text_oid(std::uint32_t oid) {
  return oid == pg_oid::text || oid == pg_oid::varchar || oid == pg_oid::bpchar;
}

Misfit put_value(ByteBuffer& out, const FieldValue& v) {
  switch (v.column.oid) {
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

Misfit put_missing(ByteBuffer& out, const CopyColumn& column) {
  if (column.key && !is_text_oid(column.oid)) return Misfit::null;
  if (column.key)
    put_bytes(out, {});
  else
    put_null(out);
  return Misfit::none;
}

Reject rejection(const CopyColumn& column, Misfit misfit) {
  Reject why;
  why.rule = misfit == Misfit::json ? "json" : misfit == Misfit::null ? "required" : "type";
  const auto* purpose = misfit == Misfit::null ? "it is part of the key and cannot be empty" : "";
  why.reason = fmt::format("column {}: {}; {}", column.name, describe(misfit),
                           *purpose ? std::string(purpose) : fmt::format("the column takes {}", column.native));
  return why;
}

}  // namespace

void ByteBuffer::grow(std::size_t size) {
  const auto capacity = std::max(size_ + size, capacity_ * 2 + 1024);
  auto larger = std::make_unique_for_overwrite<char[]>(capacity);
  if (size_ > 0) std::memcpy(larger.get(), data_.get(), size_);
  data_ = std::move(larger);
  capacity_ = capacity;
}

CopyEncoder::CopyEncoder(std::vector<CopyColumn> columns) : columns_(std::move(columns)) {}

bool CopyEncoder::encode(const Batch& batch, std::size_t row, ByteBuffer& out, Reject& why) {
  const auto cells = batch.row(row);
  const auto start = out.size();
  for (const auto& column : columns_) {
    const auto& cell = cells[column.source];
    Misfit misfit;
    if (cell.is_null()) {
      misfit = put_missing(out, column);
    } else {
      const FieldValue value{column, cell, cell.kind == Kind::text ? batch.text(cell) : std::string_view(), repaired_};
      misfit = put_value(out, value);
    }
    if (misfit == Misfit::none) continue;
    out.shrink(start);
    why = rejection(column, misfit);
    return false;
  }
  return true;
}

bool can_encode(DataType from, std::uint32_t oid) {
  switch (oid) {
    case pg_oid::text:
    case pg_oid::varchar:
    case pg_oid::bpchar:
      return true;
    case pg_oid::int8:
    case pg_oid::int4:
    case pg_oid::int2:
    case pg_oid::numeric:
      return from.type == Type::int64 || from.type == Type::decimal;
    case pg_oid::float8:
    case pg_oid::float4:
      return from.type == Type::float64;
    case pg_oid::boolean:
      return from.type == Type::boolean;
    case pg_oid::date:
      return from.type == Type::date;
    case pg_oid::time:
      return from.type == Type::time;
    case pg_oid::timestamp:
    case pg_oid::timestamptz:
      return from.type == Type::timestamp;
    case pg_oid::json:
    case pg_oid::jsonb:
      return from.type == Type::json;
    case pg_oid::uuid:
      return from.type == Type::uuid;
    case pg_oid::bytea:
      return from.type == Type::bytes;
    default:
      return false;
  }
}

std::string cell_text(const Batch& batch, const Cell& cell, DataType type) {
  if (cell.is_null()) return {};
  return cell.kind == Kind::text ? std::string(batch.text(cell)) : number_text(cell, type.type);
}

std::string_view copy_header() {
  static constexpr char bytes[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
  return {bytes, 19};
}

std::string_view copy_trailer() {
  return {"\377\377", 2};
}

void append_count(ByteBuffer& out, std::size_t fields) {
  store(out.room(2), static_cast<std::int16_t>(fields));
  out.used(2);
}

void append_text_field(ByteBuffer& out, std::string_view text) {
  put_bytes(out, text);
}

void append_timestamp_field(ByteBuffer& out, Instant when) {
  put_fixed(out, static_cast<std::int64_t>(when.time_since_epoch().count() - epoch_micros));
}

}  // namespace sluice
