#include "daemon/metrics_text.hpp"

#include <catch2/catch.hpp>
#include <limits>

using namespace sluice;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

namespace {

ClientMetric series(std::vector<ClientMetric::Label> labels, double value = 0) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = metric.counter.value = value;
  return metric;
}

MetricFamily family(std::string name, MetricType type, std::vector<ClientMetric> metrics) {
  return {std::move(name), "What it is.", type, std::move(metrics)};
}

std::string text_of(const MetricFamily& family) {
  std::string text;
  append_text(text, family);
  return text;
}

std::string value_of(double value) {
  const auto text = text_of(family("g", MetricType::Gauge, {series({}, value)}));
  const auto start = text.rfind("\ng ") + 3;
  return text.substr(start, text.size() - start - 1);
}

}  // namespace

TEST_CASE("metrics as text: series by their labels, nothing for a family without any") {
  CHECK(text_of(family("a", MetricType::Gauge, {series({}, -1.5)})) ==
        "# HELP a What it is.\n"
        "# TYPE a gauge\n"
        "a -1.5\n");
  CHECK(text_of(family("c", MetricType::Gauge, {})).empty());
  CHECK(text_of(family("b_total", MetricType::Counter,
                       {series({{"of", "y"}, {"with", "1"}}, 2), series({{"of", "x"}, {"with", "2"}}, 3),
                        series({{"of", "x"}, {"with", "1"}}, 4)})) ==
        "# HELP b_total What it is.\n"
        "# TYPE b_total counter\n"
        "b_total{of=\"x\",with=\"1\"} 4\n"
        "b_total{of=\"x\",with=\"2\"} 3\n"
        "b_total{of=\"y\",with=\"1\"} 2\n");
}

TEST_CASE("metrics as text: what a label or a help text may not hold is escaped") {
  auto gauge = family("g", MetricType::Gauge, {series({{"of", "a\\b\"c\nd"}})});
  gauge.help = "a\\b\"c\nd";
  CHECK(text_of(gauge) ==
        "# HELP g a\\\\b\"c\\nd\n"
        "# TYPE g gauge\n"
        "g{of=\"a\\\\b\\\"c\\nd\"} 0\n");
}

TEST_CASE("metrics as text: numbers read back as the same") {
  constexpr auto infinite = std::numeric_limits<double>::infinity();
  CHECK(value_of(0) == "0");
  CHECK(value_of(1772452800) == "1772452800");
  CHECK(value_of(-9007199254740991.0) == "-9007199254740991");
  CHECK(std::stod(value_of(9007199254740994.0)) == 9007199254740994.0);
  CHECK(value_of(1772452800.833021) == "1772452800.833021");
  CHECK(value_of(0.1 + 0.2) == "0.30000000000000004");
  CHECK(std::stod(value_of(4.6e-12)) == 4.6e-12);
  CHECK(value_of(infinite) == "+Inf");
  CHECK(value_of(-infinite) == "-Inf");
  CHECK(value_of(std::numeric_limits<double>::quiet_NaN()) == "NaN");
}

TEST_CASE("metrics as text: a histogram has its buckets, the last of them without an end, its sum and its count") {
  auto metric = series({{"of", "x"}});
  metric.histogram.bucket = {{1, 0.5}, {3, 2}};
  metric.histogram.sample_count = 4;
  metric.histogram.sample_sum = 12.25;
  CHECK(text_of(family("h", MetricType::Histogram, {metric})) ==
        "# HELP h What it is.\n"
        "# TYPE h histogram\n"
        "h_bucket{of=\"x\",le=\"0.5\"} 1\n"
        "h_bucket{of=\"x\",le=\"2\"} 3\n"
        "h_bucket{of=\"x\",le=\"+Inf\"} 4\n"
        "h_sum{of=\"x\"} 12.25\n"
        "h_count{of=\"x\"} 4\n");
}
