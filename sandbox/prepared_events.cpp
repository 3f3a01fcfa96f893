#include "sandbox/prepared_events.hpp"

#include <cstring>

namespace sluice::sandbox {

void PreparedEvents::append(const AppWorld::Event& event, const AppWorld::Include& include, std::string& out) {
  constexpr std::string_view before_day = "\"ts\":";
  auto& block = blocks_[{event.kind, include.app, include.profile}];
  const auto number = static_cast<std::size_t>(event.number);
  while (block.days.size() <= number) {
    const AppWorld::Event next{event.kind, event.day, static_cast<int>(block.days.size())};
    block.text += world_.record(next, include, Instant());
    block.days.push_back(block.text.find(before_day, block.starts.back()) + before_day.size());
    block.starts.push_back(block.text.size());
  }
  const auto start = block.starts[number];
  const auto at = out.size() + block.days[number] - start;
  out.append(block.text, start, block.starts[number + 1] - start);
  char digits[8];
  auto rest = event.day.year() * 10'000 + event.day.month() * 100 + event.day.day();
  for (auto* digit = digits + 8; digit != digits; rest /= 10) *--digit = static_cast<char>('0' + rest % 10);
  std::memcpy(out.data() + at, digits, sizeof digits);
}

}  // namespace sluice::sandbox
