#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/schema.hpp"
#include "core/sink.hpp"
#include "scheduler/schedule.hpp"
#include "transform/transform.hpp"

namespace sluice {

// One stream of a pipeline, worked out from the file.
struct StreamPlan {
  std::string name;
  bool enabled = true;
  StreamSpec spec;  // shaped by the connector from the stream's options
  Transform transform;
  Table table;
  std::optional<Duration> lookback;  // window.lookback, else the spec's
  std::optional<Day> start;          // window.start
  int slice_days = 1;                // window.slice, else the spec's
  std::optional<Duration> sweep;     // how often all objects are read again
  Settings settings;                 // as written: two equal ones are the same stream

  // What Connector::types said of the columns: theirs in the table too, where no cast says otherwise.
  void learn(const std::map<std::string, DataType>& types);
};

// The pipeline's own retry, of a run that failed for a passing cause.
struct RunRetry {
  int runs = 3;  // in all
  Duration least = std::chrono::minutes(5), most = std::chrono::hours(1);
};

// A pipeline of the file: source + streams + sink + schedule.
struct Pipeline {
  std::string name, source, sink;
  bool enabled = true;
  Schedule schedule;
  std::optional<Duration> freshness;
  Duration timeout = std::chrono::hours(1);  // without a published slice
  RunRetry retry;
  std::vector<StreamPlan> streams;
  Settings settings;  // as written, with the defaults, without the streams
};

}  // namespace sluice
