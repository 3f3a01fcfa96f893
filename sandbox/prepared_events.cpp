#include "sandbox/prepared_events.hpp"

namespace sluice::sandbox {

void PreparedEvents::append(const AppWorld::Event& event, const AppWorld::Include& include, std::string& out) {
  auto& rows = rows_[{event.kind, include.app, include.profile}];
  const auto number = static_cast<std::size_t>(event.number);
  while (rows.size() <= number) {
    const AppWorld::Event next{event.kind, event.day, static_cast<int>(rows.size())};
    rows.add(world_.record(next, include, Instant()), {"\"ts\":"});
  }
  char digits[8];
  auto rest = event.day.year() * 10'000 + event.day.month() * 100 + event.day.day();
  for (auto* digit = digits + 8; digit != digits; rest /= 10) *--digit = static_cast<char>('0' + rest % 10);
  rows.append(number, number + 1, {digits, sizeof digits}, out);
}

}  // namespace sluice::sandbox
