#pragma once
#include <boost/asio/signal_set.hpp>

#include "core/worker.hpp"
#include "daemon/app.hpp"
#include "daemon/control.hpp"
#include "daemon/http_server.hpp"
#include "daemon/lock.hpp"
#include "daemon/retention.hpp"
#include "scheduler/scheduler.hpp"

namespace sluice {

// `sluice serve`: scheduler, runs and HTTP server around one App, until it is told to stop.
class Daemon final : public Control {
 public:
  explicit Daemon(App& app);
  ~Daemon() override;

  // Everything that must be right before it may call itself started. Throws what is wrong.
  task<void> start();
  unsigned short port() const;
  // Until `stop`: then nothing new fires, running slices may finish, and it returns.
  task<void> serve();
  void stop();

  Health health() override;
  Duration loop_age() const override;
  task<Json> pipelines() override;
  task<Json> pipeline(std::string name) override;
  task<Json> runs(std::string pipeline, std::size_t limit) override;
  task<Json> run(std::string id) override;
  task<Json> logs(std::string run) override;
  Json sources() override;
  Json sinks() override;
  Json limits() override;
  Json version() override;
  task<std::string> metrics() override;
  task<std::string> trigger(std::string pipeline) override;
  task<std::string> pause(std::string pipeline, bool paused) override;
  task<std::string> cancel(std::string pipeline, std::string run, std::string who) override;
  task<std::string> backfill(std::string pipeline, BackfillRequest request) override;
  task<std::string> reload() override;

 private:
  struct BackfillRun {
    std::string pipeline;
    TaskGroup* body;        // to cancel it by
    std::string cancelled;  // why; empty: it is not
  };

  task<RunEnded> run_scheduled(RunRequest request);
  task<void> run_backfill(RunRecord record, RunOptions options, PipelineLock lock);
  task<void> begin_backfill(RunRecord record, RunOptions options);
  const Pipeline& known(const std::string& pipeline) const;
  // Schedules those of its pipelines whose lock we hold or get now. What others hold is tried again later. Throws an
  // Error where a lock or the state cannot be had; then everything is as before.
  task<void> schedule(std::shared_ptr<const Configuration> configuration);
  std::vector<ScheduledPipeline> locked_pipelines(const Configuration& configuration);
  // Of pipelines that are no longer ours to run.
  void release_locks();
  task<void> take_freed_pipelines();
  void refuse_held(const std::string& pipeline) const;
  // Reads the file and puts it in force; throws a Refusal or an Error before anything has changed.
  task<std::string> take_over();
  // What the state knows of the pipelines, for the metrics.
  task<std::vector<std::pair<std::string, PipelineState>>> remembered(std::shared_ptr<const Configuration> of);
  void tell_metrics(const std::vector<std::pair<std::string, PipelineState>>& states);
  task<void> tend();
  // Asks the state whether it can be written, over and over: who asks for our health does not wait for a disk.
  task<void> watch_state();
  // What `systemctl status` shows.
  std::string status_line();
  // What forgets by `retention`.
  std::vector<Memory> memories();
  task<void> reload_on_signal();
  task<void> drain_when_told(TaskGroup& group);
  void note(const Event& event);

  App& app_;
  Scheduler scheduler_;
  std::unique_ptr<Handler> routes_;
  std::unique_ptr<HttpServer> server_;
  const std::string locks_dir_;  // beside the state's file, which only a start opens
  std::map<std::string, PipelineLock> locks_;
  std::map<std::string, std::string> held_elsewhere_;  // pipeline → who has its lock
  std::map<std::string, bool> sink_up_;
  std::map<std::pair<std::string, std::string>, BucketState> buckets_;
  Worker scrapes_;  // writes what Prometheus is told, which takes its time where there are many series
  EventHub::Listener listener_;
  TaskGroup backfills_;
  std::map<std::string, BackfillRun> backfill_runs_;  // by run, those that go on or wait for their place
  Duration last_turn_;
  std::string state_said_ = "ok";        // when it answered last
  std::optional<Duration> state_asked_;  // and has not answered yet
  Semaphore replacing_;                  // one change of what is scheduled at a time
  std::optional<Instant> refused_;       // when the newest file was refused, until one is taken
  Signal told_;
  asio::signal_set reload_signal_;  // from the first moment: the default action would end us
  bool draining_ = false;
  Duration gives_up_{};  // uptime until which systemd is asked to wait, once it drains
};

}  // namespace sluice
