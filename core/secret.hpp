#pragma once
#include <string>
#include <string_view>

namespace sluice {

// A string that cannot be printed by accident: no formatter, no stream operator, wiped on destruction.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret&) = default;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { wipe(); }

  // The value itself, to be handed to the library that needs it and nowhere else.
  const std::string& reveal() const { return value_; }
  bool empty() const { return value_.empty(); }
  // In constant time for values of equal length.
  bool equals(std::string_view other) const;

 private:
  void wipe() noexcept;
  std::string value_;
};

}  // namespace sluice
