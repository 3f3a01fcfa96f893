#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/batch.hpp"
#include "sinks/copy_values.hpp"

// Rows as PostgreSQL's COPY … (FORMAT binary) wants them.

namespace sluice {

class CopyEncoder {
 public:
  explicit CopyEncoder(std::vector<CopyColumn> columns);

  // Appends the row's fields (not their count), its texts repaired. False: a value does not fit; then nothing was
  // appended and `why` says what and which column, without the value.
  bool encode(Batch& batch, std::size_t row, ByteBuffer& out, Reject& why) const;
  const std::vector<CopyColumn>& columns() const { return columns_; }

 private:
  std::vector<CopyColumn> columns_;
};

// The target takes values of this type at all (whether each one fits is seen when it comes).
bool can_encode(DataType from, std::uint32_t oid);

// The fixed parts of a COPY stream.
std::string_view copy_header();
std::string_view copy_trailer();
void append_count(ByteBuffer& out, std::size_t fields);

}  // namespace sluice
