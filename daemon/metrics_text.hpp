#pragma once
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace sluice {

// The text format of Prometheus (version 0.0.4), families and series in a stable order; families without series are
// left out. Counters, gauges and histograms are what there is. With the library's own writer a scrape takes twice as
// long.
std::string metrics_text(std::vector<prometheus::MetricFamily> families);

}  // namespace sluice
