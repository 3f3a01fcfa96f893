#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sinks/copy_encoder.hpp"

namespace sluice {

// Encoded rows of one slice, in memory. With `indexed` it finds rows by the bytes of their key, which are the first of
// a row.
class EncodedRows {
 public:
  struct Row {
    const char* data;
    std::uint32_t size;
    std::uint32_t key_size;
    std::string_view bytes() const { return {data, size}; }
    std::string_view key() const { return {data, key_size}; }
  };

  explicit EncodedRows(bool indexed) : indexed_(indexed) {}

  // The place of the row with the same key, or `none`.
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::size_t find(std::string_view key) const;
  void add(std::string_view row, std::size_t key_size);
  void replace(std::size_t at, std::string_view row, std::size_t key_size);
  void clear();

  std::size_t size() const { return rows_.size(); }
  std::size_t bytes() const { return bytes_; }
  const Row& operator[](std::size_t i) const { return rows_[i]; }

 private:
  Row keep(std::string_view row, std::size_t key_size);
  void insert_slot(std::uint64_t hash, std::uint32_t row);
  void rehash();

  bool indexed_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t chunk_left_ = 0;
  char* chunk_at_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<Row> rows_;
  std::vector<std::uint64_t> hashes_;  // of the rows' keys
  std::vector<std::uint32_t> slots_;   // open addressing: row + 1, 0 is free
};

// A fingerprint of rows in any order, of 128 bits: equal rows in equal columns give equal digests.
class RowDigest {
 public:
  explicit RowDigest(const std::vector<CopyColumn>& columns);
  void add(const EncodedRows& rows);
  std::string text() const;

 private:
  std::size_t rows_ = 0;
  std::pair<std::uint64_t, std::uint64_t> sum_;
};

// Fields of an encoded row, one after another.
class FieldReader {
 public:
  explicit FieldReader(std::string_view row) : rest_(row) {}
  // False at the end. A NULL has no bytes and `is_null`.
  bool next();
  bool is_null = false;
  std::string_view bytes;

 private:
  std::string_view rest_;
};

// Equal as the database would compare them, which is more than bytes for numeric and JSON.
bool same_value(std::uint32_t oid, std::string_view a, std::string_view b);
// Names of the columns in which two encoded rows differ.
std::vector<std::string> differing_columns(const std::vector<CopyColumn>& columns, std::string_view a,
                                           std::string_view b);
// `b` is not older than `a` by this column; NULL is older than everything.
bool not_older(const std::vector<CopyColumn>& columns, std::string_view cursor_column, std::string_view a,
               std::string_view b);
// Key columns whose equal values always have equal bytes.
bool bytes_tell(std::uint32_t oid);

}  // namespace sluice
