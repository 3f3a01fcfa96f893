#pragma once
#include <string>

#include "core/events.hpp"

// How the log and the terminal say the same things.

namespace sluice {

// "12.3s", "4m05s", "2h10m", "350ms"
std::string short_duration(Duration d);
// "1,234,567"
std::string grouped(std::int64_t n);
// "read 5,000: 4,990 inserted, 10 quarantined"; "no rows"
std::string counts_phrase(const Counts& counts);
// "succeeded in 12.3s: 28 slices, read 5,000: 5,000 inserted"
std::string run_sentence(const RunEnded& run);

}  // namespace sluice
