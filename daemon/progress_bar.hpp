#pragma once
#include <map>
#include <string>

#include "core/events.hpp"
#include "daemon/table_printer.hpp"

namespace sluice {

// The progress of the runs that this process does, drawn from the events alone. On a terminal one line that is redrawn;
// elsewhere a plain line from time to time. What it gives is to be written as it is.
class ProgressBar {
 public:
  ProgressBar(const Terminal& terminal, Duration uptime) : terminal_(terminal), last_(uptime) {}

  // What to write now; often nothing.
  std::string on(const Event& event, Duration uptime);
  // Takes the line away, so that something else can be written; it comes back with the next event.
  std::string clear();

 private:
  struct Run {
    std::string pipeline;
    std::int64_t planned = 0, ended = 0, failed = 0;
    std::int64_t rows = 0;                          // of slices that ended
    std::map<std::string, std::int64_t> in_flight;  // rows of those that have not
    Duration started{};
    std::int64_t total_rows() const;
  };
  bool note(const Event& event, Duration uptime);
  std::string final_line(const RunEnded& ended) const;
  std::string bar_line(Duration uptime) const;
  std::string plain_line(Duration uptime) const;

  Terminal terminal_;
  Duration last_;
  std::map<std::string, Run> runs_;
  bool drawn_ = false;
};

}  // namespace sluice
