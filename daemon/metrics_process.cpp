#include "daemon/metrics_process.hpp"

#include <prometheus/metric_family.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sluice {
namespace {

prometheus::MetricFamily family(const char* name, const char* help, prometheus::MetricType type, double value) {
  prometheus::MetricFamily f;
  f.name = name;
  f.help = help;
  f.type = type;
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  metric.counter.value = value;
  f.metric.push_back(std::move(metric));
  return f;
}

// The fields of /proc/self/stat after the process name, which may itself hold blanks and parentheses.
std::vector<std::string> stat_fields() {
  std::ifstream in("/proc/self/stat");
  std::string line;
  std::getline(in, line);
  std::vector<std::string> fields;
  const auto end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return fields;
  std::istringstream rest(line.substr(end_of_name + 1));
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// `since_boot` in 1970's seconds. When the machine booted stands in /proc/stat too, which the unit's ProcSubset=pid
// hides. Worked out once: a clock that is set later does not start the process anew.
double start_time(double since_boot) {
  static const double start = seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + since_boot;
  return start;
}

std::optional<double> open_descriptors() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end; at.increment(error))
    ++count;
  if (error || count == 0) return {};
  return count - 1;  // the directory itself was open while it was read
}

}  // namespace

std::vector<prometheus::MetricFamily> process_metrics() {
  using prometheus::MetricType;
  std::vector<prometheus::MetricFamily> families;
  // proc(5) numbers the fields from 1 with the state as the third: utime 14, stime 15, starttime 22, rss 24.
  if (const auto fields = stat_fields(); fields.size() > 21) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    const auto field = [&](std::size_t number) { return std::stod(fields[number - 3]); };
    families.push_back(family("process_cpu_seconds_total", "User and system CPU time used.", MetricType::Counter,
                              (field(14) + field(15)) / ticks));
    families.push_back(family("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
                              field(24) * static_cast<double>(sysconf(_SC_PAGESIZE))));
    families.push_back(family("process_start_time_seconds", "When the process started, since 1970.", MetricType::Gauge,
                              start_time(field(22) / ticks)));
  }
  if (const auto count = open_descriptors())
    families.push_back(family("process_open_fds", "Open file descriptors.", MetricType::Gauge, *count));
  return families;
}

}  // namespace sluice
