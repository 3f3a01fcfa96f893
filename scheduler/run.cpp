#include "scheduler/run.hpp"

#include <fmt/format.h>

#include <list>

#include "scheduler/lane.hpp"

namespace sluice {
namespace {

class Run {
 public:
  Run(const Pipeline& pipeline, const RunRecord& record, const RunOptions& options, RunContext& context)
      : pipeline_(pipeline), record_(record), options_(options), context_(context) {}

  task<RunEnded> run() {
    const auto started = context_.clock.uptime();
    const RunStarted begin{record_.id,      record_.pipeline, record_.trigger,
                           record_.planned, record_.started,  record_.delay};
    context_.events.emit(begin);
    bool cancelled = false;
    try {
      co_await watched_streams();
    } catch (const boost::system::system_error& e) {
      if (e.code() != asio::error::operation_aborted) throw;
      cancelled = true;
    }
    auto ended = outcome(cancelled);
    ended.took = context_.clock.uptime() - started;
    context_.events.emit(ended);
    co_return ended;
  }

 private:
  // `timeout` is without a published slice: a run that makes progress may take as long as it needs.
  task<void> watched_streams() {
    last_sign_ = context_.clock.uptime();
    TaskGroup group(context_.executor);
    bool finished = false;
    group.spawn(all_streams(group, finished));
    group.spawn(watch(group));
    co_await group.join();
    if (!finished)
      failures_.emplace_back(
          fmt::format("no slice was published within {}; the run was stopped (pipelines.{}.timeout){}",
                      format_duration(pipeline_.timeout), pipeline_.name,
                      waited_for_.empty() ? "" : "; " + waited_for_),
          true);
  }

  task<void> watch(TaskGroup& group) {
    for (;;) {
      const auto left = last_sign_ + pipeline_.timeout - context_.clock.uptime();
      if (left <= Duration::zero()) break;
      co_await context_.clock.sleep_for(left);
    }
    waited_for_ = context_.source.connector.waiting_for();
    group.cancel();
  }

  bool wanted(const StreamPlan& stream) const {
    if (options_.streams.empty()) return stream.enabled;
    return std::find(options_.streams.begin(), options_.streams.end(), stream.name) != options_.streams.end();
  }

  task<void> all_streams(TaskGroup& watchers, bool& finished) {
    TaskGroup group(context_.executor);
    for (const auto& stream : pipeline_.streams)
      if (wanted(stream)) group.spawn(supervise_stream(stream));
    co_await group.join();
    finished = true;
    watchers.cancel();
  }

  // One stream's failure is noted and leaves the others alone.
  task<void> supervise_stream(const StreamPlan& plan) {
    try {
      co_await load_stream(plan);
    } catch (...) {
      note(plan.name, std::current_exception());
    }
  }

  void note(const std::string& where, const std::exception_ptr& failure) {
    const auto error = error_of(failure);
    failures_.emplace_back(fmt::format("{}: {}", where, error.what()), error);
  }

  task<void> load_stream(const StreamPlan& plan) {
    auto known = plan;
    auto types = co_await context_.source.connector.types(plan.spec);
    known.learn(types);
    LiveStream stream(known, pipeline_.name, context_);
    co_await patiently([&stream] { return stream.prepare(); });
    co_await warn_if_renamed(plan);
    const auto partitions = co_await context_.source.connector.partitions(plan.spec);
    if (partitions.empty())
      throw Error(Remedy::give_up, fmt::format("there is nothing to read: {} has no account or event for it; see "
                                               "`sluice check --connect`",
                                               pipeline_.source));
    report_vanished(plan, partitions);
    std::vector<std::optional<Instant>> read(partitions.size());
    co_await load_partitions(stream, partitions, read);
    if (options_.backfill) co_return;
    move_watermark(plan, partitions, read);
    const auto quarantined = co_await context_.sink.sink.count_quarantined(pipeline_.name, plan.name);
    context_.events.emit(QuarantineSize{pipeline_.name, plan.name, quarantined});
  }

  // Notes of each active one when the read of its newest published window began. A coroutine of its own: a run that is
  // cancelled just as its partitions have come is stopped at this call, and not between the spawning and the join.
  task<void> load_partitions(LiveStream& stream, const std::vector<Partition>& partitions,
                             std::vector<std::optional<Instant>>& read) {
    const auto plan = stream.plan();
    TaskGroup group(context_.executor);
    for (std::size_t i = 0; i < partitions.size(); ++i)
      if (is_active(*plan, partitions[i])) group.spawn(supervise_partition(stream, partitions[i], read[i]));
    co_await group.join();
  }

  // A call to the sink outside of slices: a server that restarts or fails over is asked again, as slices are.
  template <typename F>
  std::invoke_result_t<F> patiently(F call) {
    for (int failures = 1;; ++failures) {
      std::exception_ptr failure;
      std::optional<Duration> wait;
      try {
        co_return co_await call();
      } catch (const Error& e) {
        failure = std::current_exception();
        if (e.passing()) wait = retry_within_run.delay(failures, Duration::zero(), e, context_.rng);
      }
      if (!wait) std::rethrow_exception(failure);
      co_await context_.clock.sleep_for(*wait);
    }
  }

  task<Progress> progress(const LaneId& lane, const LiveStream& stream, const Target& target) {
    const auto plan = stream.plan();
    const auto days = target.days();
    co_return co_await patiently([&] { return context_.sink.sink.progress(lane, plan->table.name, days); });
  }

  // Progress is kept by the pipeline's name: under another one, all is loaded again.
  task<void> warn_if_renamed(const StreamPlan& plan) {
    const auto names = co_await patiently([&] { return context_.sink.sink.loaders(plan.table.name); });
    if (const auto why = renamed(pipeline_.name, plan.table.name, names); !why.empty())
      context_.events.emit(Notice{Level::warning, pipeline_.name, plan.name, why});
  }

  // Says once that a partition is left out.
  bool is_active(const StreamPlan& plan, const Partition& partition) {
    if (partition.active) return true;
    const LaneId lane(pipeline_.name, plan.name, partition.id, "live");
    if (context_.remembered.report(lane))
      context_.events.emit(
          Notice{Level::warning, pipeline_.name, plan.name,
                 fmt::format("{} ({}) is left out: {}", partition.id, partition.name, partition.inactive_reason)});
    return false;
  }

  // An account that was read by this process before and that the source names no more would end without a word.
  void report_vanished(const StreamPlan& plan, const std::vector<Partition>& partitions) {
    std::erase_if(context_.remembered.watermarks, [&](const auto& entry) {
      const auto& id = std::get<2>(entry.first);
      if (entry.first != std::tie(pipeline_.name, plan.name, id)) return false;
      if (std::any_of(partitions.begin(), partitions.end(), [&](const Partition& p) { return p.id == id; }))
        return false;
      context_.events.emit(
          Notice{Level::warning, pipeline_.name, plan.name,
                 fmt::format("{} is left out: {} does not list it any more; its rows stay", id, pipeline_.source)});
      return true;
    });
  }

  task<void> supervise_partition(LiveStream& stream, const Partition& partition, std::optional<Instant>& newest_read) {
    try {
      newest_read = co_await load_partition(stream, partition);
    } catch (...) {
      const auto name = stream.plan()->name;
      note(partition.id.empty() ? name : fmt::format("{} {}", name, partition.id), std::current_exception());
    }
  }

  task<std::optional<Instant>> load_partition(LiveStream& stream, const Partition& partition) {
    const auto plan = stream.plan();
    auto& connector = context_.source.connector;
    Target target(context_.clock.now());
    target.up_to = options_.up_to;
    target.full_refresh = options_.full_refresh;
    target.earliest = connector.earliest(plan->spec, partition);
    if (options_.backfill) target.backfill = &*options_.backfill;
    if (plan->spec.cursor == Cursor::value) {
      if (options_.backfill)
        throw Error(Remedy::give_up,
                    "a stream without date windows cannot be backfilled; use `sluice run --full-refresh`");
      target.horizon = co_await connector.horizon(plan->spec, partition, target.end());
    }
    const LaneId live(pipeline_.name, plan->name, partition.id, options_.backfill ? options_.backfill->name : "live");
    const auto done = co_await progress(live, stream, target);
    const auto brought = co_await bring_lane(stream, live, partition, target, done);
    if (!options_.backfill && plan->sweep && brought.newest_read)
      co_await bring_sweep(stream, partition, target, brought.everything);
    co_return brought.newest_read;
  }

  // A live lane that has just read everything has swept: the sweep's progress is moved alone, by a slice that begins
  // where it ends.
  task<void> bring_sweep(LiveStream& stream, const Partition& partition, Target target, bool swept_by_live) {
    const auto plan = stream.plan();
    const LaneId sweep(pipeline_.name, plan->name, partition.id, "sweep");
    auto done = co_await progress(sweep, stream, target);
    if (!swept_by_live && !sweep_due(*plan, done, target.now)) co_return;
    if (swept_by_live) done.done_to = target.horizon;
    target.full_refresh = !swept_by_live;
    co_await bring_lane(stream, sweep, partition, target, done);
  }

  struct Brought {
    std::optional<Instant> newest_read;  // see LaneResult
    bool everything = false;             // of a stream read by what changed: all that the source has was published
  };

  task<Brought> bring_lane(LiveStream& stream, LaneId lane, const Partition& partition, const Target& target,
                           const Progress& done) {
    LaneJob job(std::move(lane));
    const auto plan = stream.plan();
    job.slices = plan_slices(*plan, partition, done, target);
    if (const auto why = shortfall(*plan, partition, done, target); !why.empty())
      remarks_.insert(fmt::format("{}: {}", plan->name, why));
    job.days = target.days();
    job.progress = done;
    job.priority = options_.backfill ? Priority::backfill : Priority::scheduled;
    job.compare_all = options_.full_refresh;
    job.run = record_.id;
    job.parallel = options_.parallel > 0 ? options_.parallel : context_.source.connector.parallel_slices();
    job.published = [this] { last_sign_ = context_.clock.uptime(); };
    const auto* range = job.slices.empty() ? nullptr : job.slices.front().slice.value_range();
    const bool all = range != nullptr && !range->after;
    planned_ += static_cast<std::int64_t>(job.slices.size());
    context_.events.emit(RunPlanned{record_.id, record_.pipeline, planned_});
    auto& result = lanes_.emplace_back();
    co_await run_lane(std::move(job), stream, context_, result);
    Brought brought;
    brought.newest_read = result.newest_read;
    brought.everything = all && result.newest_read;
    co_return brought;
  }

  // The least over the active partitions; unknown until each of them was read once by this process.
  void move_watermark(const StreamPlan& plan, const std::vector<Partition>& partitions,
                      const std::vector<std::optional<Instant>>& read) {
    std::optional<Instant> least;
    for (std::size_t i = 0; i < partitions.size(); ++i) {
      if (!partitions[i].active) continue;
      const std::tuple key(pipeline_.name, plan.name, partitions[i].id);
      if (read[i]) context_.remembered.watermarks[key] = *read[i];
      const auto known = context_.remembered.watermarks.find(key);
      if (known == context_.remembered.watermarks.end()) return;
      least = least ? std::min(*least, known->second) : known->second;
    }
    if (!least) return;
    watermarks_[plan.name] = *least;
    context_.events.emit(WatermarkMoved{pipeline_.name, plan.name, *least});
  }

  RunEnded outcome(bool cancelled) const {
    RunEnded ended;
    ended.run = record_.id;
    ended.pipeline = record_.pipeline;
    ended.trigger = record_.trigger;
    ended.watermarks = watermarks_;
    auto failures = failures_;
    for (const auto& lane : lanes_) {
      ended.counts += lane.counts;
      ended.slices_published += lane.published + lane.superseded;
      ended.slices_failed += static_cast<std::int64_t>(lane.failures.size());
      failures.insert(failures.end(), lane.failures.begin(), lane.failures.end());
      for (const auto& incident : lane.incidents) failures.push_back({incident, false});
    }
    if (cancelled) {
      ended.outcome = Outcome::cancelled;
      ended.message = options_.why_cancelled ? options_.why_cancelled() : "cancelled";
    } else if (!failures.empty()) {
      ended.outcome = ended.slices_published > 0 ? Outcome::partial : Outcome::failed;
      ended.message = failures.front().message;
      if (failures.size() > 1) ended.message += fmt::format(" (and {} more failures)", failures.size() - 1);
      const auto passing = [](const LoadFailure& f) { return f.passing; };
      ended.passing = std::any_of(failures.begin(), failures.end(), passing);
      ended.wait = least_wait(failures);
    } else {
      ended.message = fmt::format("{}", fmt::join(remarks_, "; "));
    }
    return ended;
  }

  // Until another run is worth while for any of them.
  static std::optional<Duration> least_wait(const std::vector<LoadFailure>& failures) {
    std::optional<Duration> least;
    for (const auto& failure : failures) {
      if (!failure.passing) continue;
      if (!failure.wait) return {};
      least = std::min(least.value_or(*failure.wait), *failure.wait);
    }
    return least;
  }

  const Pipeline& pipeline_;
  const RunRecord& record_;
  const RunOptions& options_;
  RunContext& context_;
  Duration last_sign_{};
  std::string waited_for_;  // when the run was stopped for want of progress
  std::int64_t planned_ = 0;
  std::map<std::string, Instant> watermarks_;
  std::list<LaneResult> lanes_;        // filled while the lanes run: a cancelled run has done what it has done
  std::set<std::string> remarks_;      // why less was loaded than was asked for
  std::vector<LoadFailure> failures_;  // of whole streams, partitions, and of the run
};

}  // namespace

task<RunEnded> run_pipeline(const Pipeline& pipeline, const RunRecord& run, const RunOptions& options,
                            RunContext& context) {
  Run body(pipeline, run, options, context);
  co_return co_await body.run();
}

}  // namespace sluice
