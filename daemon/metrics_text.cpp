#include "daemon/metrics_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

namespace sluice {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;

class TextWriter {
 public:
  explicit TextWriter(std::string& text) : text_(text) {}

  void write(const prometheus::MetricFamily& family) {
    line("# HELP ", family.name, " ");
    escape(family.help, false);
    line("\n# TYPE ", family.name, type_of(family.type));
    std::vector<const ClientMetric*> series;
    for (const auto& metric : family.metric) series.push_back(&metric);
    std::sort(series.begin(), series.end(), [](const auto* a, const auto* b) {
      return std::lexicographical_compare(a->label.begin(), a->label.end(), b->label.begin(), b->label.end(),
                                          [](const auto& x, const auto& y) { return x.value < y.value; });
    });
    for (const auto* metric : series)
      if (family.type == MetricType::Histogram)
        histogram(family.name, *metric);
      else
        sample(family.name, "", *metric, "",
               family.type == MetricType::Counter ? metric->counter.value : metric->gauge.value);
  }

 private:
  static const char* type_of(MetricType type) {
    if (type == MetricType::Counter) return " counter\n";
    return type == MetricType::Histogram ? " histogram\n" : " gauge\n";
  }

  void line(std::string_view a, std::string_view b, std::string_view c) {
    text_.append(a);
    text_.append(b);
    text_.append(c);
  }

  void histogram(const std::string& name, const ClientMetric& metric) {
    bool has_infinite = false;
    for (const auto& bucket : metric.histogram.bucket) {
      has_infinite = std::isinf(bucket.upper_bound);
      sample(name, "_bucket", metric, number(bucket.upper_bound), static_cast<double>(bucket.cumulative_count));
    }
    const auto count = static_cast<double>(metric.histogram.sample_count);
    if (!has_infinite) sample(name, "_bucket", metric, "+Inf", count);
    sample(name, "_sum", metric, "", metric.histogram.sample_sum);
    sample(name, "_count", metric, "", count);
  }

  // `le`: the upper bound of a bucket; empty for what is none.
  void sample(std::string_view name, std::string_view suffix, const ClientMetric& metric, std::string_view le,
              double value) {
    line(name, suffix, "");
    char before = '{';
    const auto label = [&](std::string_view key, std::string_view of) {
      text_ += before;
      line(key, "=\"", "");
      escape(of, true);
      text_ += '"';
      before = ',';
    };
    for (const auto& [key, of] : metric.label) label(key, of);
    if (!le.empty()) label("le", le);
    if (before == ',') text_ += '}';
    line(" ", number(value), "\n");
  }

  void escape(std::string_view text, bool quotes) {
    for (const char c : text) {
      if (c == '\n') {
        text_ += "\\n";
        continue;
      }
      if (c == '\\' || (quotes && c == '"')) text_ += '\\';
      text_ += c;
    }
  }

  // Whole numbers without a fraction or an exponent; others so that they read back as the same double.
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    constexpr double exact = 1LL << 53;
    if (std::abs(value) < exact && value == std::trunc(value))
      return fmt::format_int(static_cast<long long>(value)).str();
    char digits[32];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
    return {digits, end};
  }

  std::string& text_;
};

}  // namespace

void append_text(std::string& text, const prometheus::MetricFamily& family) {
  if (!family.metric.empty()) TextWriter(text).write(family);
}

}  // namespace sluice
