#pragma once
#include <vector>

namespace prometheus {
struct MetricFamily;
}

namespace sluice {

// process_resident_memory_bytes and its siblings, read from /proc now. What cannot be read is left out.
std::vector<prometheus::MetricFamily> process_metrics();

}  // namespace sluice
