#include "daemon/metrics_process.hpp"

#include <prometheus/metric_family.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <map>

using namespace sluice;

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

const double initialised = now();  // soon after this process started

std::map<std::string, double> process() {
  std::map<std::string, double> values;
  for (const auto& family : process_metrics()) {
    const auto& metric = family.metric.at(0);
    values[family.name] = family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
  }
  return values;
}

}  // namespace

TEST_CASE("the process tells when it started, and what it uses") {
  const auto values = process();
  const auto start = values.at("process_start_time_seconds");
  CHECK(start > initialised - 120);
  CHECK(start < initialised + 1);
  CHECK(values.at("process_resident_memory_bytes") > 1'000'000);
  CHECK(values.at("process_open_fds") >= 3);
  const auto cpu = values.at("process_cpu_seconds_total");
  while (process().at("process_cpu_seconds_total") <= cpu) {
  }
  CHECK(process().at("process_start_time_seconds") == start);
}
