#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "daemon/app_engine.hpp"
#include "daemon/cli.hpp"
#include "daemon/event_hub.hpp"
#include "daemon/run_log.hpp"
#include "daemon/state.hpp"
#include "daemon/table_printer.hpp"

namespace sluice {

// Ends the command: the message goes to stderr, the code to whoever started us.
class Failure : public std::runtime_error {
 public:
  Failure(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

// Writes to a terminal or a pipe; a reader that has gone away is no failure.
void print_out(std::string_view text);
void print_err(std::string_view text);

// Loads the file, prints its warnings where `warn`. Throws Failure(78) with all its faults.
std::shared_ptr<const Configuration> load_or_fail(const Arguments& arguments, bool warn);
// "2 faults:\n  sluice.yaml:3:1: …"
std::string faults_text(const Faults& faults);

// The event loop of a process and what every command has. One thread, from here to the end.
class Loop {
 public:
  // Runs `body` to its end and gives its result. The first SIGINT or SIGTERM calls `on_signal` (left out: cancels the
  // body, and the result is 130 or 143); a second one ends the process at once.
  int run(task<int> body, std::function<void(int)> on_signal = {});
  asio::any_io_executor executor() { return io_.get_executor(); }
  // "stopped by SIGTERM" once a signal has come; "cancelled" before.
  std::string why_cancelled() const;

 private:
  asio::io_context io_{1};
  int caught_ = 0;
};

// What commands that touch data are made of.
class App {
 public:
  App(Loop& loop, std::shared_ptr<const Configuration> configuration, LogOptions log);
  ~App();

  Loop& loop;
  asio::any_io_executor executor;
  RealClock clock;
  std::shared_ptr<const Configuration> configuration;
  Rng rng;
  Log log;
  Metrics metrics;
  EventHub hub;
  SqliteStateStore state;
  RunLog run_log;
  Engine engine;
};

Inventory inventory_of(const Configuration& configuration);
// The pipeline that was asked for. Throws Failure(2) that names those there are.
const Pipeline& pipeline_or_fail(const Configuration& configuration, const std::string& name);
const StreamPlan& stream_or_fail(const Pipeline& pipeline, const std::string& name);
// Of commands whose output is their own: the log is for what goes wrong.
LogOptions quiet_log(const Arguments& arguments);
// A record of a run that begins now.
RunRecord new_run(const Clock& clock, const std::string& pipeline, const std::string& trigger);
// How the run ended, for the state.
RunRecord ended_record(RunRecord record, const RunEnded& ended, Instant now);
// The run itself between two entries in the state. `failure` that is no cancellation becomes a failed run.
task<RunEnded> recorded_run(App& app, RunRecord record, RunOptions options);

}  // namespace sluice
