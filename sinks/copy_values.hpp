#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/batch.hpp"
#include "sinks/copy_buffer.hpp"

// Single values as PostgreSQL's binary COPY wants them. The server converts nothing: every value is written in the form
// of the column that stands in the database, whatever type the stream has.

namespace sluice {

// Of PostgreSQL's pg_type.dat; they never change.
namespace pg_oid {
inline constexpr std::uint32_t boolean = 16, bytea = 17, int8 = 20, int2 = 21, int4 = 23, text = 25, json = 114,
                               float4 = 700, float8 = 701, bpchar = 1042, varchar = 1043, date = 1082, time = 1083,
                               timestamp = 1114, timestamptz = 1184, numeric = 1700, uuid = 2950, jsonb = 3802;
}

// Where one column of a COPY comes from and where it goes to.
struct CopyColumn {
  std::string name;
  std::size_t source;          // place in the batch's rows
  DataType type;               // of the cells
  std::uint32_t oid;           // of the column in the database
  std::int32_t modifier = -1;  // its atttypmod
  std::string native;          // its type as PostgreSQL writes it, for messages
  bool key = false;            // NULL is not allowed; where it is text, NULL becomes ''

  CopyColumn(std::string n, std::size_t s, DataType t, std::uint32_t o, std::int32_t m, std::string called, bool k)
      : name(std::move(n)), source(s), type(t), oid(o), modifier(m), native(std::move(called)), key(k) {}
};

// What keeps a value out of its column.
enum class Misfit { none, type, range, digits, json, null };

// Appends a cell that is not NULL as the column's field; `text` is its text, clean. Nothing is appended where it does
// not fit.
Misfit put_value(ByteBuffer& out, const CopyColumn& column, const Cell& cell, std::string_view text);
constexpr std::int32_t modifier_header = 4;  // VARHDRSZ: every modifier is that much more than what it says
// A decimal as a numeric field. `modifier` is the column's: its precision and scale, -1 for any.
Misfit put_numeric(ByteBuffer& out, std::string_view text, std::int32_t modifier);

// [-]digits[.digits] taken apart: leading zeros and the point are gone.
struct DecimalParts {
  bool negative = false;
  std::string_view whole, fraction;
  std::size_t significant = 0;  // digits of the fraction without trailing zeros

  static bool parse(std::string_view text, DecimalParts& parts);
};

// An instant as a field of type timestamptz.
void put_instant(ByteBuffer& out, Instant when);
bool is_text_oid(std::uint32_t oid);
// A cell as text: numbers and dates as people write them, texts as they are.
std::string cell_text(const Batch& batch, const Cell& cell, DataType type);

}  // namespace sluice
