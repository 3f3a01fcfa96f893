#pragma once
#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <utility>

#include "daemon/control.hpp"
#include "daemon/event_hub.hpp"
#include "daemon/state.hpp"

namespace sluice {

// What each run says, kept with it in the state: its incidents, and those of its source and its sink while it goes on.
// The same incident within a minute is counted, and of very many lines the oldest are dropped.
class RunLog {
 public:
  static constexpr std::size_t most_lines = 500, most_bytes = 128 * 1024;  // of one run

  // `ends`: the names of a pipeline's source and sink.
  using Ends = std::function<std::pair<std::string, std::string>(const std::string& pipeline)>;
  RunLog(EventHub& hub, Clock& clock, const Log& log, SqliteStateStore& state, Ends ends);

  // Writes down what was said since. What the state does not take is kept for the next time.
  task<void> save();
  // Does so each second, until it is cancelled.
  task<void> keep();

 private:
  struct Fold {
    std::int64_t number = 0, times = 0;
    Instant since;
  };
  struct Run {
    std::string pipeline, source, sink;
    std::deque<RunLine> lines;
    std::size_t bytes = 0;
    std::int64_t next = 1;
    std::set<std::int64_t> unsaved;
    std::map<std::string, Fold> folds;
    bool ended = false, sink_down = false;
  };

  void note(const Event& event);
  bool concerns(const std::string& id, const Run& run, const Event& event) const;
  void say(Run& run, const LogLine& line);
  void append(Run& run, RunLine line);
  std::string text_of(const LogLine& line) const;

  Clock& clock_;
  const Log& log_;
  SqliteStateStore& state_;
  Ends ends_;
  std::map<std::string, Run> runs_;
  EventHub::Listener listener_;
};

// The run that the text names: an id, the beginning of one id alone, or a pipeline, of which it is the last run. Throws
// Refusal: 404 there is none, 422 there are several.
task<RunRecord> run_named(SqliteStateStore& state, std::string text);
// {run, dropped, lines: [{time, level, message}]}: from its start to its end.
Json logs_json(const RunRecord& run, const std::vector<RunLine>& lines);

}  // namespace sluice
