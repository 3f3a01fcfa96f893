#include "daemon/metrics_text.hpp"

#include <bit>
#include <cmath>
#include <string>

#include "tests/fuzz/fuzz.hpp"

// What Prometheus reads: any name that a file gives, and any number, come out of the text as they went in.

using namespace sluice;
using fuzz::require;

namespace {

struct Sample {
  std::string name, label;
  double value;
};

// A sample of one label, `name{who="…"} value`, as the text format is defined; the rest of the text is left.
Sample read_sample(std::string_view& text) {
  Sample sample;
  const auto brace = text.find('{');
  require(brace != text.npos && text.substr(brace).starts_with("{who=\""), "a sample has its label");
  sample.name = text.substr(0, brace);
  text.remove_prefix(brace + 6);
  for (;;) {
    require(!text.empty() && text.front() != '\n', "a label's value ends on its line");
    char c = text.front();
    text.remove_prefix(1);
    if (c == '"') break;
    if (c == '\\') {
      require(!text.empty() && (text.front() == '\\' || text.front() == '"' || text.front() == 'n'),
              "an escape is known");
      c = text.front() == 'n' ? '\n' : text.front();
      text.remove_prefix(1);
    }
    sample.label += c;
  }
  require(text.starts_with("} "), "the value follows");
  text.remove_prefix(2);
  const auto end = text.find('\n');
  require(end != text.npos, "a line ends");
  const std::string number(text.substr(0, end));
  text.remove_prefix(end + 1);
  std::size_t read = 0;
  sample.value = std::stod(number, &read);
  require(read == number.size(), "a value is a number");
  return sample;
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || a == b;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | input.pick(256);
  const auto value = std::bit_cast<double>(bits);
  // Not every one is a number that a stream would have kept.
  if (std::fpclassify(value) == FP_SUBNORMAL) return 0;
  const std::string help(input.line()), who(input.rest());

  prometheus::ClientMetric metric;
  metric.label = {{"who", who}};
  metric.gauge.value = value;
  prometheus::MetricFamily family;
  family.name = "sluice_fuzzed";
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  family.metric = {metric, metric};
  std::string text;
  append_text(text, family);

  std::string_view rest = text;
  require(rest.starts_with("# HELP sluice_fuzzed "), "help comes first");
  rest.remove_prefix(rest.find('\n') + 1);
  require(rest.starts_with("# TYPE sluice_fuzzed gauge\n"), "then the type, on the next line");
  rest.remove_prefix(rest.find('\n') + 1);
  for (int i = 0; i < 2; ++i) {
    const auto sample = read_sample(rest);
    require(sample.name == "sluice_fuzzed" && sample.label == who, "a label reads back as it was");
    require(same(sample.value, value), "a value reads back as it was");
  }
  require(rest.empty(), "nothing else is said");
  return 0;
}
