#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <type_traits>

// Bytes on their way to PostgreSQL, and the fields of its binary COPY: a length of four bytes, then the value, all in
// the network's order of bytes.

namespace sluice {

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

// Writes a whole number to `at`.
template <typename T>
void store(char* at, T value) {
  using U = std::make_unsigned_t<T>;
  auto bits = static_cast<U>(value);
  if constexpr (sizeof(U) == 2) bits = __builtin_bswap16(bits);
  if constexpr (sizeof(U) == 4) bits = __builtin_bswap32(bits);
  if constexpr (sizeof(U) == 8) bits = static_cast<U>(__builtin_bswap64(bits));
  std::memcpy(at, &bits, sizeof(bits));
}

// A field that holds a whole number.
template <typename T>
void put_fixed(ByteBuffer& out, T value) {
  char* at = out.room(4 + sizeof(T));
  store(at, static_cast<std::int32_t>(sizeof(T)));
  store(at + 4, value);
  out.used(4 + sizeof(T));
}

inline void put_null(ByteBuffer& out) {
  store(out.room(4), std::int32_t{-1});
  out.used(4);
}

inline void put_bytes(ByteBuffer& out, std::string_view bytes) {
  char* at = out.room(4 + bytes.size());
  store(at, static_cast<std::int32_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(at + 4, bytes.data(), bytes.size());
  out.used(4 + bytes.size());
}

}  // namespace sluice
