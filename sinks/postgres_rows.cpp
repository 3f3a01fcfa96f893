#include "sinks/postgres_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/read_json.hpp"

namespace sluice {
namespace {

constexpr std::size_t chunk_size = 64 * 1024;

std::uint64_t hash_of(std::string_view key) {
  std::uint64_t hash = 0x9e3779b97f4a7c15ULL ^ key.size();
  const auto mix = [&](std::uint64_t block) {
    hash = (hash ^ block) * 0xff51afd7ed558ccdULL;
    hash ^= hash >> 32;
  };
  for (; key.size() >= 8; key.remove_prefix(8)) {
    std::uint64_t block;
    std::memcpy(&block, key.data(), 8);
    mix(block);
  }
  std::uint64_t last = 0;
  std::memcpy(&last, key.data(), key.size());
  mix(last);
  return hash;
}

std::uint64_t folded(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Two independent hashes at once; the way of mixing is wyhash's (public domain).
struct Fingerprint {
  std::uint64_t first, second;
};
Fingerprint fingerprint(std::string_view bytes) {
  constexpr std::uint64_t k0 = 0xa0761d6478bd642fULL, k1 = 0xe7037ed1a0b428dbULL, k2 = 0x8ebc6af09c88c6e3ULL;
  Fingerprint f{k0 ^ bytes.size(), k1 ^ bytes.size()};
  const auto mix = [&](std::uint64_t x, std::uint64_t y) {
    f.first = folded(x ^ k1, y ^ f.first);
    f.second = folded(y ^ k2, x ^ f.second);
  };
  std::uint64_t pair[2];
  for (; bytes.size() >= 16; bytes.remove_prefix(16)) {
    std::memcpy(pair, bytes.data(), 16);
    mix(pair[0], pair[1]);
  }
  pair[0] = pair[1] = 0;
  std::memcpy(pair, bytes.data(), bytes.size());
  mix(pair[0], pair[1]);
  mix(k0, k2);
  return f;
}

template <typename T>
T load(std::string_view bytes, std::size_t at = 0) {
  std::make_unsigned_t<T> bits = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    bits = static_cast<std::make_unsigned_t<T>>((static_cast<std::uint64_t>(bits) << 8) |
                                                static_cast<unsigned char>(bytes[at + i]));
  return static_cast<T>(bits);
}

// numeric as numeric_send writes it: count, weight, sign, scale to show, digits.
int compare_numeric(std::string_view a, std::string_view b) {
  const auto sign = [](std::string_view n) {
    return load<std::int16_t>(n) == 0 ? 0 : load<std::uint16_t>(n, 4) == 0x4000 ? -1 : 1;
  };
  if (sign(a) != sign(b)) return sign(a) < sign(b) ? -1 : 1;
  if (sign(a) == 0) return 0;
  const int weights = load<std::int16_t>(a, 2) - load<std::int16_t>(b, 2);
  const int digits = a.substr(8).compare(b.substr(8));
  return (weights != 0 ? weights : digits) * sign(a);
}

int compare(std::uint32_t oid, std::string_view a, std::string_view b) {
  switch (oid) {
    case pg_oid::numeric:
      return compare_numeric(a, b);
    case pg_oid::int2:
      return load<std::int16_t>(a) - load<std::int16_t>(b);
    case pg_oid::int4:
    case pg_oid::date: {
      const auto x = load<std::int32_t>(a), y = load<std::int32_t>(b);
      return (x > y) - (x < y);
    }
    case pg_oid::int8:
    case pg_oid::time:
    case pg_oid::timestamp:
    case pg_oid::timestamptz: {
      const auto x = load<std::int64_t>(a), y = load<std::int64_t>(b);
      return (x > y) - (x < y);
    }
    case pg_oid::float8: {
      const auto x = std::bit_cast<double>(load<std::int64_t>(a)), y = std::bit_cast<double>(load<std::int64_t>(b));
      return (x > y) - (x < y);
    }
    default:
      return a.compare(b);
  }
}

}  // namespace

std::size_t EncodedRows::find(std::string_view key) const {
  if (!indexed_ || slots_.empty()) return none;
  const auto hash = hash_of(key);
  const auto mask = slots_.size() - 1;
  for (auto at = hash & mask; slots_[at] != 0; at = (at + 1) & mask) {
    const auto row = slots_[at] - 1;
    if (hashes_[row] == hash && rows_[row].key() == key) return row;
  }
  return none;
}

EncodedRows::Row EncodedRows::keep(std::string_view row, std::size_t key_size) {
  if (row.size() > chunk_left_) {
    chunk_left_ = std::max(chunk_size, row.size());
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(chunk_left_));
    chunk_at_ = chunks_.back().get();
  }
  std::memcpy(chunk_at_, row.data(), row.size());
  const Row kept{chunk_at_, static_cast<std::uint32_t>(row.size()), static_cast<std::uint32_t>(key_size)};
  chunk_at_ += row.size();
  chunk_left_ -= row.size();
  bytes_ += row.size() + sizeof(Row);
  return kept;
}

void EncodedRows::insert_slot(std::uint64_t hash, std::uint32_t row) {
  const auto mask = slots_.size() - 1;
  auto at = hash & mask;
  while (slots_[at] != 0) at = (at + 1) & mask;
  slots_[at] = row + 1;
}

void EncodedRows::rehash() {
  slots_.assign(std::max<std::size_t>(1024, slots_.size() * 2), 0);
  for (std::uint32_t i = 0; i < hashes_.size(); ++i) insert_slot(hashes_[i], i);
}

void EncodedRows::add(std::string_view row, std::size_t key_size) {
  rows_.push_back(keep(row, key_size));
  if (!indexed_) return;
  hashes_.push_back(hash_of(rows_.back().key()));
  if (slots_.size() < rows_.size() * 2)
    rehash();
  else
    insert_slot(hashes_.back(), static_cast<std::uint32_t>(rows_.size() - 1));
}

void EncodedRows::replace(std::size_t at, std::string_view row, std::size_t key_size) {
  rows_[at] = keep(row, key_size);
}

void EncodedRows::clear() {
  chunks_.clear();
  chunk_left_ = bytes_ = 0;
  rows_.clear();
  hashes_.clear();
  slots_.clear();
}

RowDigest::RowDigest(const std::vector<CopyColumn>& columns) {
  std::string shape;
  for (const auto& column : columns)
    shape += fmt::format("{} {} {} {};", column.name, column.oid, column.modifier, column.key);
  const auto begin = fingerprint(shape);
  sum_ = {begin.first, begin.second};
}

void RowDigest::add(const EncodedRows& rows) {
  rows_ += rows.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = fingerprint(rows[i].bytes());
    sum_.first += row.first;
    sum_.second += row.second;
  }
}

std::string RowDigest::text() const {
  return fmt::format("{}-{:016x}{:016x}", rows_, sum_.first, sum_.second);
}

bool FieldReader::next() {
  if (rest_.empty()) return false;
  const auto size = load<std::int32_t>(rest_);
  rest_.remove_prefix(4);
  is_null = size < 0;
  bytes = rest_.substr(0, is_null ? 0 : static_cast<std::size_t>(size));
  rest_.remove_prefix(bytes.size());
  return true;
}

bool same_value(std::uint32_t oid, std::string_view a, std::string_view b) {
  if (a == b) return true;
  if (oid == pg_oid::numeric) return compare_numeric(a, b) == 0;
  if (oid != pg_oid::jsonb) return false;
  const auto parse = [](std::string_view json) { return read_json(json.substr(1)); };
  const auto left = parse(a), right = parse(b);
  return !left.is_discarded() && left == right;
}

std::vector<std::string> differing_columns(const std::vector<CopyColumn>& columns, std::string_view a,
                                           std::string_view b) {
  FieldReader left(a), right(b);
  std::vector<std::string> names;
  for (const auto& column : columns) {
    if (!left.next() || !right.next()) break;
    if (left.is_null != right.is_null || !same_value(column.oid, left.bytes, right.bytes)) names.push_back(column.name);
  }
  return names;
}

bool not_older(const std::vector<CopyColumn>& columns, std::string_view cursor_column, std::string_view a,
               std::string_view b) {
  FieldReader left(a), right(b);
  for (const auto& column : columns) {
    if (!left.next() || !right.next()) break;
    if (column.name != cursor_column) continue;
    if (left.is_null || right.is_null) return left.is_null;
    return compare(column.oid, left.bytes, right.bytes) <= 0;
  }
  return true;
}

bool bytes_tell(std::uint32_t oid) {
  switch (oid) {
    case pg_oid::numeric:
    case pg_oid::float4:
    case pg_oid::float8:
    case pg_oid::bpchar:
    case pg_oid::json:
    case pg_oid::jsonb:
      return false;
    default:
      return true;
  }
}

}  // namespace sluice
