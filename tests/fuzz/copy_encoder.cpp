#include "sinks/copy_encoder.hpp"

#include <bit>
#include <cmath>
#include <string>

#include "core/cell_text.hpp"
#include "core/clean_text.hpp"
#include "core/decimal.hpp"
#include "core/json_text.hpp"
#include "core/time.hpp"
#include "tests/fuzz/fuzz.hpp"

// A value read from a text, written as a field of COPY, and read again as PostgreSQL's receive functions would.

using namespace sluice;
using fuzz::require;

namespace {

constexpr std::uint32_t oids[] = {
    pg_oid::boolean, pg_oid::bytea,     pg_oid::int8,        pg_oid::int2,    pg_oid::int4,    pg_oid::text,
    pg_oid::json,    pg_oid::float4,    pg_oid::float8,      pg_oid::bpchar,  pg_oid::varchar, pg_oid::date,
    pg_oid::time,    pg_oid::timestamp, pg_oid::timestamptz, pg_oid::numeric, pg_oid::uuid,    pg_oid::jsonb};

std::int64_t number(std::string_view bytes) {
  std::uint64_t value = !bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0x80) ? ~std::uint64_t{0} : 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(value);
}

// numeric_recv and numeric_out; what PostgreSQL would refuse is no property of ours.
std::string decode_numeric(std::string_view bytes, std::int64_t& scale) {
  require(bytes.size() >= 8 && bytes.size() % 2 == 0, "a numeric has four numbers before its digits");
  const auto at = [&](std::int64_t i) { return number(bytes.substr(static_cast<std::size_t>(i) * 2, 2)); };
  const auto count = at(0), weight = at(1), sign = at(2);
  scale = at(3);
  require(bytes.size() == static_cast<std::size_t>(8 + 2 * count), "a numeric has as many digits as it says");
  require(sign == 0 || sign == 0x4000, "a numeric is positive or negative");
  require(scale >= 0 && scale <= 16383 && weight >= -32768 && weight <= 32767, "a numeric is within its bounds");
  std::string text = sign == 0 ? "" : "-";
  const auto group = [&](std::int64_t i) {
    const auto value = i < 0 || i >= count ? 0 : at(4 + i);
    require(value >= 0 && value <= 9999, "a digit of numeric is below 10000");
    const auto digits = std::to_string(value);
    text += std::string(4 - digits.size(), '0') + digits;
  };
  text += '0';
  for (std::int64_t w = weight; w >= 0; --w) group(weight - w);
  text += '.';
  const auto point = text.size();
  for (std::int64_t i = 0; i * 4 < scale; ++i) group(weight + 1 + i);
  text.resize(point + static_cast<std::size_t>(scale));
  return text;
}

std::string plain(std::string decimal) {
  return canonical_decimal(decimal.ends_with('.') ? decimal.substr(0, decimal.size() - 1) : decimal).value_or("none");
}

void check_numeric(std::string_view field, const Cell& cell, std::string_view text, std::int32_t modifier) {
  std::int64_t scale = 0;
  const auto decoded = plain(decode_numeric(field, scale));
  require(decoded == (cell.kind == Kind::text ? plain(std::string(text)) : std::to_string(cell.integer)),
          "a decimal keeps its value");
  if (modifier < 4) return;
  const auto precision = (modifier - 4) >> 16 & 0xffff, places = (modifier - 4) & 0x7ff;
  const auto whole = std::min(decoded.find('.'), decoded.size()) - (decoded.starts_with('-') ? 1 : 0);
  require(scale == places && (decoded == "0" || decoded.starts_with("0.") || decoded.starts_with("-0.") ||
                              static_cast<std::int64_t>(whole) <= precision - places),
          "a decimal has its column's digits");
}

void check_field(std::string_view field, std::uint32_t oid, DataType type, const Cell& cell, std::string_view text,
                 std::int32_t modifier) {
  const auto fixed = [&](std::size_t bytes, std::int64_t value) {
    require(field.size() == bytes && number(field) == value, "a number keeps its value");
  };
  const auto whole = [&] {
    return cell.kind == Kind::text ? decimal_to_int64(*canonical_decimal(text)).value_or(0) : cell.integer;
  };
  const auto real = [&] { return cell.kind == Kind::int64 ? static_cast<double>(cell.integer) : cell.real; };
  constexpr std::int64_t epoch_days = 10957;
  switch (oid) {
    case pg_oid::boolean:
      return fixed(1, cell.integer);
    case pg_oid::int2:
      return fixed(2, whole());
    case pg_oid::int4:
      return fixed(4, whole());
    case pg_oid::int8:
      return fixed(8, whole());
    case pg_oid::date:
      return fixed(4, cell.integer - epoch_days);
    case pg_oid::time:
      return fixed(8, cell.integer);
    case pg_oid::timestamp:
    case pg_oid::timestamptz:
      return fixed(8, cell.integer - epoch_days * 86'400'000'000);
    case pg_oid::float8:
      return fixed(8, std::bit_cast<std::int64_t>(real()));
    case pg_oid::float4:
      return require(field.size() == 4 && std::bit_cast<float>(static_cast<std::int32_t>(number(field))) == real(),
                     "a float keeps its value");
    case pg_oid::numeric:
      return check_numeric(field, cell, text, modifier);
    case pg_oid::uuid: {
      std::string hex;
      for (const char c : field)
        for (const int half : {static_cast<unsigned char>(c) >> 4, c & 15}) hex += "0123456789abcdef"[half];
      for (const std::size_t at : {8u, 13u, 18u, 23u}) hex.insert(at, "-");
      return require(hex == text, "a uuid keeps its value");
    }
    case pg_oid::bytea:
      return require(field == text, "bytes stay as they are");
    case pg_oid::jsonb:
      require(field.starts_with('\x01'), "jsonb begins with its version");
      field.remove_prefix(1);
      [[fallthrough]];
    case pg_oid::json:
      return require(check_json(field) == JsonState::clean, "JSON is clean");
    default:
      require(is_clean_text(field), "text is clean");
      if (type.type == Type::text) require(field == clean_text(text), "text keeps its value");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  DataType type(static_cast<Type>(input.pick(11)));
  const auto oid = oids[input.pick(std::size(oids))];
  const auto precision = 1 + static_cast<std::int32_t>(input.pick(39));
  const auto scale = static_cast<std::int32_t>(input.pick(static_cast<std::size_t>(precision) + 1));
  const auto modifier = precision == 39 ? -1 : 4 + (precision << 16 | scale);
  const auto text = input.rest();

  CellText value;
  if (!parse_cell_text(text, type, value)) return 0;
  Batch batch(1);
  batch.add_row();
  const auto cell = value.text ? batch.add_text(*value.text) : value.cell;
  batch.row(0)[0] = cell;
  const auto before = std::string(batch.text(value.text ? cell : Cell{}));

  const bool sized = oid == pg_oid::numeric || oid == pg_oid::varchar || oid == pg_oid::bpchar;
  const CopyEncoder encoder({CopyColumn("c", 0, type, oid, sized ? modifier : -1, "its type", false)});
  ByteBuffer out;
  append_count(out, 1);
  Reject why;
  if (!encoder.encode(batch, 0, out, why)) {
    require(out.size() == 2, "of what does not fit nothing is written");
    require(!why.reason.empty() && !why.rule.empty(), "it is said why a value does not fit");
    return 0;
  }
  const auto field = out.view().substr(2);
  require(field.size() >= 4 && number(field.substr(0, 4)) == static_cast<std::int64_t>(field.size() - 4),
          "a field is as long as it says");
  if (type.type == Type::text && !is_text_oid(oid)) return 0;  // read from the text by the encoder itself
  if (oid == pg_oid::timestamp || oid == pg_oid::timestamptz)
    if (type.type == Type::date) return 0;
  check_field(field.substr(4), oid, type, cell, before, sized ? modifier : -1);
  return 0;
}
