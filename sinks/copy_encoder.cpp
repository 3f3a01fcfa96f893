#include "sinks/copy_encoder.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/clean_text.hpp"

namespace sluice {
namespace {

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

bool CopyEncoder::encode(Batch& batch, std::size_t row, ByteBuffer& out, Reject& why) const {
  const auto cells = batch.row(row);
  const auto start = out.size();
  for (const auto& column : columns_) {
    auto& cell = cells[column.source];
    auto misfit = Misfit::none;
    if (cell.is_null())
      misfit = put_missing(out, column);
    else if (!clean_cell(batch, cell, column.type.type))
      misfit = Misfit::json;
    else
      misfit = put_value(out, column, cell, cell.kind == Kind::text ? batch.text(cell) : std::string_view());
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

}  // namespace sluice
