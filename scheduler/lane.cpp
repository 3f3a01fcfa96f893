#include "scheduler/lane.hpp"

#include <fmt/format.h>

#include "core/retry.hpp"
#include "core/row_guard.hpp"
#include "scheduler/lane_output.hpp"

namespace sluice {
namespace {

// A slice that brings new fields again and again is not read for ever.
constexpr int max_additions = 20;

// What is taken of a thing that runs share, and of the part of it that backfills may take.
struct Taken {
  Semaphore::Permit of_backfills, one;
  void release() {
    one.release();
    of_backfills.release();
  }
};

task<Taken> take(Semaphore& shared, Semaphore& of_backfills, Priority priority) {
  Taken taken;
  if (priority == Priority::backfill) taken.of_backfills = co_await of_backfills.acquire();
  taken.one = co_await shared.acquire();
  co_return taken;
}

// There is nothing in it to be read: its publishing moves progress, and no more.
bool is_empty(const Slice& slice) {
  const auto* range = slice.value_range();
  return range != nullptr && range->after == range->upto;
}

class Lane {
 public:
  Lane(LaneJob job, LiveStream& stream, RunContext& context, LaneResult& result, asio::any_io_executor executor)
      : job_(std::move(job)),
        stream_(stream),
        context_(context),
        result_(result),
        states_(job_.slices.size()),
        side_by_side_(executor, job_.parallel),
        connections_(executor, some_of(context.sink.connections)),
        publishing_(executor, 1),
        moved_(executor),
        executor_(executor) {}

  task<void> run() {
    TaskGroup group(executor_);
    for (std::size_t i = 0; i < job_.slices.size(); ++i) group.spawn(supervise(i));
    co_await group.join();
    if (repaired_ == 0) co_return;
    context_.events.emit(
        Notice{Level::info, job_.id.pipeline, job_.id.stream,
               fmt::format("{} characters that no database holds (not UTF-8, or U+0000) became U+FFFD", repaired_)});
  }

 private:
  // What a slice holds. To be read it needs a place of the source; from its first batch on a permit, for one of the
  // sink's connections, and those that move progress get theirs in their order. Nobody waits in a circle: with a
  // permit a slice needs no place any more, and without one it leaves its place while one before it has neither.
  struct State {
    Taken place;
    bool has_place = false;
    Semaphore::Permit lanes_share;  // of the sink's connections
    Taken permit;
    bool has_permit = false;
    bool done = false;
    bool failed = false;
    // Its followers may have permits.
    bool is_out_of_the_way() const { return has_permit || done; }
  };

  bool moves(std::size_t i) const { return job_.slices[i].done_to.has_value(); }

  const State* predecessor(std::size_t i) const {
    if (!moves(i)) return nullptr;
    while (i-- > 0)
      if (moves(i)) return &states_[i];
    return nullptr;
  }

  task<void> supervise(std::size_t i) {
    const auto here = co_await side_by_side_.acquire();
    if (closed_) {
      fail(i, *closed_, context_.clock.uptime());
      finish(i);
      co_return;
    }
    co_await take_place(i);
    const auto started = context_.clock.uptime();
    const auto& slice = job_.slices[i].slice;
    context_.events.emit(SliceStarted{job_.run, job_.id.pipeline, job_.id.stream, slice.id()});
    std::optional<Error> failure;
    std::optional<UnknownStructure> unknown;
    bool offered = true;
    int additions = 0;
    for (int failures = 0;;) {
      failure.reset();
      std::optional<FieldsFound> found;
      try {
        co_await attempt(i);
      } catch (const FieldsFound& f) {
        found = f;
      } catch (const NotOffered& e) {
        offered = false;
        failure = e;
      } catch (const UnknownStructure& e) {
        unknown = e;
        failure = e;
      } catch (...) {
        failure = error_of(std::current_exception());
      }
      if (found && ++additions > max_additions)
        failure.emplace(Remedy::give_up,
                        fmt::format("slice {}: field '{}' cannot be added to the stream: it turns up again "
                                    "and again",
                                    slice.id(), found->fields.begin()->first));
      else if (found) {
        try {
          co_await stream_.add_fields(std::move(found->fields));
        } catch (const Error& e) {
          failure = e;
        }
        if (!failure) continue;
      }
      if (!failure) break;
      const auto wait = retry_within_run.delay(++failures, Duration::zero(), *failure, context_.rng);
      if (!failure->passing() || !wait) break;
      co_await away(i, context_.clock.sleep_for(*wait));
    }
    if (unknown) co_await set_aside(i, *unknown);
    if (failure && offered) fail(i, *failure, started);
    if (!offered) skip(i, *failure, started);
    finish(i);
  }

  // Keeps the answer that nobody could read. The slice has failed, whatever becomes of this.
  task<void> set_aside(std::size_t i, const UnknownStructure& unknown) {
    const auto& slice = job_.slices[i].slice;
    SchemaChanged change{job_.id.pipeline, job_.id.stream, unknown.place(), "refused", {}};
    change.message = fmt::format("stream {}: slice {}: {}", job_.id.stream, slice.id(), unknown.what());
    context_.events.emit(change);
    const auto plan = stream_.plan();
    Batch batch(plan->spec.columns.size());
    // Where paths are hidden, nobody knows where in this answer they are: of its values nothing is kept.
    auto kept = plan->spec.guard ? outline(unknown.answer()) : unknown.answer();
    batch.rejects.push_back(Reject{{}, unknown.what(), std::string(structure_rule), std::move(kept)});
    std::string trouble;
    try {
      co_await wait_for_permit(i);
      auto load = co_await context_.sink.sink.open(plan->table, job_.id, slice, job_.run, context_.clock.now());
      co_await load->stage(std::move(batch));
      co_await load->set_aside();
    } catch (const Error& error) {
      trouble = error.what();
    }
    if (trouble.empty()) co_return;
    context_.events.emit(Notice{Level::warning, job_.id.pipeline, job_.id.stream,
                                fmt::format("{}: the answer could not be kept: {}", slice.id(), trouble)});
  }

  // The source does not give the partition: said once, and no failure.
  void skip(std::size_t i, const Error& why, Duration started) {
    states_[i].failed = true;
    const auto& partition = job_.slices[i].slice.partition();
    if (context_.remembered.report(job_.id))
      context_.events.emit(Notice{Level::warning, job_.id.pipeline, job_.id.stream,
                                  fmt::format("{} is left out: {}", partition.id, why.what())});
    context_.events.emit(ended_of(i, SliceOutcome::skipped, why.what(), started));
  }

  SliceEnded ended_of(std::size_t i, SliceOutcome outcome, std::string message, Duration started) const {
    return {job_.run,
            job_.id.pipeline,
            job_.id.stream,
            job_.slices[i].slice.id(),
            outcome,
            std::move(message),
            {},
            context_.clock.uptime() - started,
            job_.id.partition};
  }

  void finish(std::size_t i) {
    states_[i].done = true;
    leave_place(i);
    states_[i].permit.release();
    states_[i].lanes_share.release();
    moved_.notify_all();
  }

  void fail(std::size_t i, const Error& error, Duration started) {
    states_[i].failed = true;
    if (error.of_partition() && !closed_) closed_ = error;
    const auto& slice = job_.slices[i].slice;
    result_.failures.emplace_back(fmt::format("{} {}: {}", job_.id.stream, slice.id(), error.what()), error);
    context_.events.emit(ended_of(i, SliceOutcome::failed, error.what(), started));
  }

  task<void> take_place(std::size_t i) {
    auto& state = states_[i];
    if (state.has_place || state.has_permit) co_return;
    state.place = co_await take(context_.source.places, context_.source.backfill_places, job_.priority);
    state.has_place = true;
  }

  void leave_place(std::size_t i) {
    if (!states_[i].has_place) return;
    states_[i].place.release();
    states_[i].has_place = false;
    moved_.notify_all();
  }

  // See Output::away. It comes back after those whose rows have to be published before: what it would read until then
  // would only lie in memory.
  task<void> away(std::size_t i, task<void> waiting) {
    leave_place(i);
    co_await std::move(waiting);
    co_await wait_for_predecessor(i);
    co_await take_place(i);
  }

  task<void> wait_for_predecessor(std::size_t i) {
    const auto* before = predecessor(i);
    while (before != nullptr && !before->is_out_of_the_way()) {
      if (!all_before_have_places(i)) leave_place(i);
      co_await moved_.wait();
    }
  }

  bool all_before_have_places(std::size_t i) const {
    for (const auto* before = predecessor(i); before != nullptr && !before->is_out_of_the_way();
         before = predecessor(i)) {
      if (!before->has_place) return false;
      i = static_cast<std::size_t>(before - states_.data());
    }
    return true;
  }

  // In the order of the slices that move progress: the head of a lane never waits for what its followers hold.
  task<void> wait_for_permit(std::size_t i) {
    auto& state = states_[i];
    if (state.has_permit) co_return;
    co_await wait_for_predecessor(i);
    state.lanes_share = co_await connections_.acquire();
    state.permit = co_await take(context_.sink.permits, context_.sink.backfill_permits, job_.priority);
    state.has_permit = true;
    moved_.notify_all();
  }

  task<void> attempt(std::size_t i) {
    // Twice at most: an empty answer for a window that has rows is asked for once more, then believed.
    for (bool believe_empty = false;; believe_empty = true) {
      const auto& slice = job_.slices[i].slice;
      if (unsettled_) {
        // The permit first: who has one has a connection too, or the turn would be held for what another one holds.
        co_await wait_for_permit(i);
        const auto turn = co_await publishing_.acquire();
        if (unsettled_) co_await settle();
      }
      const auto plan = stream_.plan();
      const auto started = context_.clock.uptime();
      const auto read_started = context_.clock.now();
      auto load = co_await context_.sink.sink.open(plan->table, job_.id, slice, job_.run, read_started);
      LaneOutput out(
          job_, slice, *plan, stream_, context_, *load, executor_, [this, i] { return wait_for_permit(i); },
          [this, i](task<void> waiting) { return away(i, std::move(waiting)); });
      co_await take_place(i);
      if (!is_empty(slice)) co_await read(plan->spec, slice, out);
      leave_place(i);
      co_await wait_for_permit(i);
      if (const auto* before = predecessor(i))
        while (!before->done) co_await moved_.wait();
      const auto turn = co_await publishing_.acquire();
      bool published = false;
      std::exception_ptr failure;
      try {
        published = co_await shield(publish(i, *load, out, read_started, believe_empty, started));
      } catch (const Error&) {
        failure = std::current_exception();
      }
      if (failure) {
        load.reset();  // gives its connection back, which settling may need
        if (unsettled_) co_await settle_if_possible();
        std::rethrow_exception(failure);
      }
      if (published) co_return;
      context_.events.emit(
          Notice{Level::warning, job_.id.pipeline, job_.id.stream,
                 fmt::format("{}: the answer was empty although the table has rows of this window; asking "
                             "once more",
                             slice.id())});
    }
  }

  task<void> read(const StreamSpec& stream, const Slice& slice, LaneOutput& out) {
    TaskGroup group(executor_);
    group.spawn(out.stage_all());
    group.spawn(read_to_its_end(stream, slice, out));
    co_await group.join();
  }

  task<void> read_to_its_end(const StreamSpec& stream, const Slice& slice, LaneOutput& out) {
    co_await context_.source.connector.read(stream, slice, out);
    out.close();
  }

  // Our own commit may have gone through although its reply was lost: progress is then what it would have made. Any
  // other is not ours to go on from: if it moved, the next publish is fenced off.
  task<void> settle() {
    const auto plan = stream_.plan();
    const auto found = co_await context_.sink.sink.progress(job_.id, plan->table.name, job_.days);
    if (found.version == unsettled_->version && found.done_to == unsettled_->done_to) job_.progress = found;
    unsettled_.reset();
  }

  task<void> settle_if_possible() {
    try {
      co_await settle();
    } catch (const Error&) {  // the sink is away: the next attempt asks again
    }
  }

  bool chain_broken(std::size_t i) const {
    for (std::size_t k = 0; k < i; ++k)
      if (moves(k) && states_[k].failed) return true;
    return false;
  }

  // False: the sink wants the empty answer confirmed.
  task<bool> publish(std::size_t i, Load& load, const LaneOutput& out, Instant read_started, bool believe_empty,
                     Duration started) {
    const auto& planned = job_.slices[i];
    if (unsettled_) throw Error(Remedy::retry, "whether the lane's last COMMIT went through is not known yet");
    Publication publication;
    publication.expected_version = job_.progress.version;
    publication.days = job_.days;
    if (!chain_broken(i)) publication.done_to = planned.done_to;
    publication.read = out.read;
    publication.filtered = out.filtered;
    publication.complete = out.complete;
    publication.believe_empty = believe_empty;
    publication.compare_all = job_.compare_all;
    auto after = job_.progress;
    ++after.version;
    if (publication.done_to) after.done_to = publication.done_to;
    Published published;
    try {
      published = co_await load.publish(publication);
    } catch (const Error& error) {
      if (error.passing()) unsettled_ = after;
      throw;
    }
    if (published.outcome == Published::Outcome::confirm_empty) co_return false;
    after.version = published.version;
    job_.progress = after;
    auto ended = ended_of(i, SliceOutcome::published, {}, started);
    ended.counts = published.counts;
    if (published.outcome == Published::Outcome::superseded) {
      ended.outcome = SliceOutcome::superseded;
      ended.message = "a later read of the same window is in the table already";
      ++result_.superseded;
    } else {
      ++result_.published;
      result_.counts += published.counts;
    }
    result_.incidents.insert(result_.incidents.end(), out.incidents.begin(), out.incidents.end());
    if (i + 1 == job_.slices.size()) result_.newest_read = read_started;
    context_.events.emit(ended);
    repaired_ += published.repaired;
    if (job_.published) job_.published();
    co_return true;
  }

  LaneJob job_;
  LiveStream& stream_;
  RunContext& context_;
  LaneResult& result_;
  std::int64_t repaired_ = 0;
  std::vector<State> states_;
  Semaphore side_by_side_;
  Semaphore connections_;  // the lane's share of the sink's
  Semaphore publishing_;   // one publish at a time
  Signal moved_;           // a slice got its permit, left its place, or is done
  asio::any_io_executor executor_;
  // A publish has failed, and perhaps went through: the progress that it would have made.
  std::optional<Progress> unsettled_;
  // Nothing more of the partition can be read, or of the lane published: its other slices fail unread.
  std::optional<Error> closed_;
};

}  // namespace

task<void> run_lane(LaneJob job, LiveStream& stream, RunContext& context, LaneResult& result) {
  Lane lane(std::move(job), stream, context, result, co_await asio::this_coro::executor);
  co_await lane.run();
}

}  // namespace sluice
