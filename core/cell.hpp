#pragma once
#include <cstdint>
#include <type_traits>

namespace sluice {

// How a cell holds its value; which logical type it is, the column says.
enum class Kind : std::uint8_t {
  null,
  absent,   // the source did not mention it
  int64,    // boolean (0, 1), int64, date (days since 1970), time (µs since midnight), timestamp (µs since 1970 UTC)
  float64,  // float64
  text      // decimal ([-]digits[.digits]), text, json, uuid (in lower case), bytes (as they are)
};

// One value of a row: 16 bytes, no ownership. The batch has its text.
struct Cell {
  Kind kind = Kind::null;
  std::uint32_t size = 0;  // of the text
  union {
    std::int64_t integer = 0;
    double real;
    std::uint64_t offset;  // of the text in the batch
  };

  static Cell of(std::int64_t v) {
    Cell c;
    c.kind = Kind::int64;
    c.integer = v;
    return c;
  }
  static Cell of(double v) {
    Cell c;
    c.kind = Kind::float64;
    c.real = v;
    return c;
  }
  static Cell absent() {
    Cell c;
    c.kind = Kind::absent;
    return c;
  }
  // Both are stored as NULL.
  bool is_null() const { return kind == Kind::null || kind == Kind::absent; }
};
static_assert(sizeof(Cell) == 16 && std::is_trivially_copyable_v<Cell>);

}  // namespace sluice
