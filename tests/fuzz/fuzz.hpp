#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>

// What the fuzz targets share. Each of them is one function that is given bytes and throws where something does not
// hold; docs/testing.md says how they are run.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace sluice::fuzz {

class Broken : public std::logic_error {
  using std::logic_error::logic_error;
};

inline void require(bool holds, const char* property) {
  if (!holds) throw Broken(property);
}

inline bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

// Whether the parser of nlohmann-json can be asked about a text: it takes a NUL byte for the end of it, and passes over
// a byte order mark.
inline bool comparable(std::string_view text) {
  return text.find('\0') == text.npos && !text.starts_with("\xEF");
}

// Takes the bytes apart from the front. What it gives points into them, so that reading past the end is noticed.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  // One of 0 … n-1, by one byte; 0 at the end.
  std::size_t pick(std::size_t n) {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return byte % n;
  }
  // Up to the next line break, or to the end.
  std::string_view line() {
    const auto line = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(line.size() < rest_.size() ? line.size() + 1 : line.size());
    return line;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace sluice::fuzz
