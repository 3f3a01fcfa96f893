#pragma once
#include <vector>

#include "core/events.hpp"

namespace sluice::test {

// Keeps every event, for a test to look at.
class RecordedEvents final : public Events {
 public:
  void emit(const Event& event) override { all.push_back(event); }
  template <typename T>
  std::vector<T> of() const {
    std::vector<T> found;
    for (const auto& event : all)
      if (const auto* e = std::get_if<T>(&event)) found.push_back(*e);
    return found;
  }
  std::vector<Event> all;
};

}  // namespace sluice::test
