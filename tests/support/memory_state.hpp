#pragma once
#include <algorithm>
#include <map>
#include <set>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/state.hpp"

namespace sluice::test {

// A state store in memory, which outlives the scheduler that a test kills.
class MemoryState final : public StateStore {
 public:
  explicit MemoryState(Clock& clock) : clock_(clock) {}

  // The process dies just before its next write of this kind: "run_started", "last_planned", "run_ended". Nothing that
  // it writes from then on arrives, until `thaw`.
  void die_before(std::string write) { die_before_ = std::move(write); }
  void freeze() { frozen_ = true; }
  void thaw() {
    frozen_ = false;
    die_before_.clear();
  }
  // Every write fails until it is set to 0.
  int failing_writes = 0;
  Duration reading_takes{};
  std::vector<std::string> writes;  // "run_started a", …
  std::map<std::string, PipelineState> pipelines;
  std::map<std::string, RunRecord> records;

  task<PipelineState> pipeline(const std::string& name) override {
    co_await clock_.sleep_for(reading_takes);
    co_return pipelines[name];
  }

  task<void> set_paused(const std::string& pipeline, bool paused) override {
    if (write("paused", pipeline)) pipelines[pipeline].paused = paused;
    co_return;
  }

  task<void> set_last_planned(const std::string& pipeline, Instant planned) override {
    if (write("last_planned", pipeline)) raise(pipelines[pipeline].last_planned, planned);
    co_return;
  }

  task<void> run_started(const RunRecord& run) override {
    if (!write("run_started", run.pipeline)) co_return;
    records[run.id] = run;
    if (run.trigger != "backfill") raise(pipelines[run.pipeline].last_started, run.started);
  }

  task<void> run_ended(const RunRecord& run) override {
    if (write("run_ended", run.pipeline)) end(run);
    co_return;
  }

  task<std::vector<RunRecord>> runs(const std::string& pipeline, std::size_t limit) override {
    std::vector<RunRecord> found;
    for (const auto& [id, run] : records)
      if (pipeline.empty() || run.pipeline == pipeline) found.push_back(run);
    const auto newer = [](const RunRecord& a, const RunRecord& b) { return a.started > b.started; };
    std::stable_sort(found.begin(), found.end(), newer);
    if (found.size() > limit) found.resize(limit);
    co_return found;
  }

  task<std::optional<RunRecord>> run(const std::string& id) override {
    const auto found = records.find(id);
    std::optional<RunRecord> run;
    if (found != records.end()) run = found->second;
    co_return run;
  }

  task<std::vector<RunRecord>> close_orphans(const std::string& pipeline) override {
    std::vector<RunRecord> closed;
    for (auto& [id, run] : records) {
      if (run.pipeline != pipeline || run.ended) continue;
      auto orphan = run;
      orphan.ended = clock_.now();
      orphan.outcome = Outcome::failed;
      orphan.message = "interrupted: the process ended";
      end(orphan);
      closed.push_back(orphan);
    }
    co_return closed;
  }

  task<void> probe() override { co_return; }

 private:
  bool write(const std::string& kind, const std::string& pipeline) {
    if (failing_writes > 0) {
      --failing_writes;
      throw Error(Remedy::retry, "the disk is full");
    }
    frozen_ = frozen_ || kind == die_before_;
    if (!frozen_) writes.push_back(kind + ' ' + pipeline);
    return !frozen_;
  }

  static void raise(std::optional<Instant>& value, Instant to) { value = std::max(value.value_or(to), to); }

  void end(const RunRecord& run) {
    const auto known = records.find(run.id);
    const bool ended_before = known != records.end() && known->second.ended;
    records[run.id] = run;
    if (ended_before || run.trigger == "backfill") return;
    auto& state = pipelines[run.pipeline];
    for (const auto& [stream, watermark] : run.watermarks) state.watermarks[stream] = watermark;
    if (run.outcome == Outcome::succeeded) {
      state.consecutive_failures = 0;
      raise(state.last_succeeded, run.started);
    } else if (run.outcome != Outcome::cancelled) {
      ++state.consecutive_failures;
    }
  }

  Clock& clock_;
  bool frozen_ = false;
  std::string die_before_;
};

}  // namespace sluice::test
