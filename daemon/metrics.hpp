#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/events.hpp"
#include "core/state.hpp"

namespace sluice {

// The names that the file gives: the only ones that become labels, and whose series exist from the start.
struct Inventory {
  struct Entry {
    std::string name;
    std::optional<Duration> freshness;
    std::vector<std::string> streams;
    bool enabled = true;
    bool follows = false;  // fires after others
  };
  std::vector<Entry> pipelines;
  std::vector<std::string> sources, sinks;
};

// Everything that Prometheus is told. Counters move by events only; gauges that no event carries have a setter.
class Metrics {
 public:
  explicit Metrics(const Inventory& inventory);
  ~Metrics();

  // A new file was taken: new names get their series, names that are gone lose them, the others go on counting.
  void configure(const Inventory& inventory);
  void on(const Event& event);

  // What the state remembers; what was told by events since stays.
  void restore(const std::string& pipeline, const PipelineState& state);
  void set_paused(const std::string& pipeline, bool paused);
  void set_next_fire(const std::string& pipeline, std::optional<Instant> when);
  void configuration_loaded(bool good, Instant when);
  void set_ready(bool ready);
  void loop_lag(Duration lag);
  void set_dropped_log_lines(std::int64_t lines);

  // The text format of Prometheus, families and series in a stable order. May be called by another thread meanwhile.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
