#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/batch.hpp"
#include "core/sink.hpp"

// Rows as PostgreSQL's COPY … (FORMAT binary) wants them. The server converts nothing: every value is written in the
// form of the column that stands in the database, whatever type the stream has.

namespace sluice {

// Of PostgreSQL's pg_type.dat; they never change.
namespace pg_oid {
inline constexpr std::uint32_t boolean = 16, bytea = 17, int8 = 20, int2 = 21, int4 = 23, text = 25, json = 114,
                               float4 = 700, float8 = 701, bpchar = 1042, varchar = 1043, date = 1082, time = 1083,
                               timestamp = 1114, timestamptz = 1184, numeric = 1700, uuid = 2950, jsonb = 3802;
}

// Bytes that grow. What is written stays where it is until the next `room`.
class ByteBuffer {
 public:
  // At least `size` bytes to write to, at the end; `used` says how many were.
  char* room(std::size_t size) {
    if (capacity_ - size_ < size) grow(size);
    return data_.get() + size_;
  }
  void used(std::size_t size) { size_ += size; }
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(room(bytes.size()), bytes.data(), bytes.size());
    used(bytes.size());
  }
  void clear() { size_ = 0; }
  void shrink(std::size_t size) { size_ = size; }
  std::size_t size() const { return size_; }
  std::string_view view() const { return {data_.get(), size_}; }

 private:
  void grow(std::size_t size);
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0, capacity_ = 0;
};

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

class CopyEncoder {
 public:
  explicit CopyEncoder(std::vector<CopyColumn> columns);

  // Appends the row's fields (not their count). False: a value does not fit; then nothing was appended and `why` says
  // what and which column, without the value.
  bool encode(const Batch& batch, std::size_t row, ByteBuffer& out, Reject& why);
  // Texts that were repaired since the encoder was made.
  std::int64_t repaired() const { return repaired_; }
  const std::vector<CopyColumn>& columns() const { return columns_; }

 private:
  std::vector<CopyColumn> columns_;
  std::int64_t repaired_ = 0;
};

// The target takes values of this type at all (whether each one fits is seen when it comes).
bool can_encode(DataType from, std::uint32_t oid);

// A cell as text: numbers and dates as people write them, texts as they are.
std::string cell_text(const Batch& batch, const Cell& cell, DataType type);

// The fixed parts of a COPY stream.
std::string_view copy_header();
std::string_view copy_trailer();
void append_count(ByteBuffer& out, std::size_t fields);
void append_text_field(ByteBuffer& out, std::string_view text);
void append_timestamp_field(ByteBuffer& out, Instant when);

}  // namespace sluice
