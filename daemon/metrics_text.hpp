#pragma once
#include <prometheus/metric_family.h>

#include <string>

namespace sluice {

// Appends the family in the text format of Prometheus (version 0.0.4), its series in a stable order; nothing, if it has
// none. Counters, gauges and histograms are what there is. With the library's own writer a scrape takes twice as long.
void append_text(std::string& text, const prometheus::MetricFamily& family);

}  // namespace sluice
