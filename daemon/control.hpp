#pragma once
#include <algorithm>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/task.hpp"
#include "core/time.hpp"

namespace sluice {

using Json = nlohmann::ordered_json;

// The asker is told why not. `status` is HTTP's: 404 no such thing, 409 and 503 not now, 422 nonsense. The command line
// ends with 2 for 404 and 422, with 75 (try again) for 409 and 503, and for a proxy's 502 and 504.
class Refusal : public std::runtime_error {
 public:
  Refusal(int status, const std::string& why) : std::runtime_error(why), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

struct Health {
  struct Check {
    std::string name;
    bool good;
    std::string says;  // "ok", what is wrong, or what is good enough and yet to be looked at
  };
  std::vector<Check> checks;
  bool ready() const {
    return std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.good; });
  }
};

// What may be re-loaded beside the live runs.
struct BackfillRequest {
  std::string lane;
  Day from, to;        // inclusive, in each partition's own zone
  std::string stream;  // empty: all streams that have windows
  int parallel = 1;
};

// What operators may ask of the daemon. The HTTP API and the command line print the same JSON.
class Control {
 public:
  virtual ~Control() = default;
  virtual Health health() = 0;
  // The time since the event loop last turned.
  virtual Duration loop_age() const = 0;

  virtual task<Json> pipelines() = 0;
  virtual task<Json> pipeline(std::string name) = 0;  // throws Refusal(404)
  virtual task<Json> runs(std::string pipeline, std::size_t limit) = 0;
  virtual task<Json> run(std::string id) = 0;  // throws Refusal(404)
  // What the run said; `run` as `sluice logs` takes it. Throws Refusal(404 or 422).
  virtual task<Json> logs(std::string run) = 0;
  virtual Json sources() = 0;
  virtual Json sinks() = 0;
  virtual Json limits() = 0;
  // Version, commit, and the file that is in force.
  virtual Json version() = 0;
  // As Prometheus reads them.
  virtual task<std::string> metrics() = 0;

  // Each says in one sentence what was done.
  virtual task<std::string> trigger(std::string pipeline) = 0;
  virtual task<std::string> pause(std::string pipeline, bool paused) = 0;
  // `run`: of a backfill of the pipeline; empty: the run that goes on or waits. `who`: a token's name, or empty.
  virtual task<std::string> cancel(std::string pipeline, std::string run, std::string who) = 0;
  virtual task<std::string> backfill(std::string pipeline, BackfillRequest request) = 0;
  virtual task<std::string> reload() = 0;
};

}  // namespace sluice
