#include "scheduler/lane.hpp"

#include <fmt/format.h>

#include "core/retry.hpp"
#include "core/row_guard.hpp"

namespace sluice {
namespace {

// Rows of a field that the stream does not have yet, where such fields are to be added: read the slice again with it.
struct FieldsFound {
  std::map<std::string, DataType> fields;
};

// A slice that brings new fields again and again is not read for ever.
constexpr int max_additions = 20;

// Between a connector and a load: transforms, waits for memory, counts, stages.
class LaneOutput final : public Output {
 public:
  LaneOutput(const LaneJob& job, const Slice& slice, const StreamPlan& plan, LiveStream& stream, RunContext& context,
             Load& load, std::function<task<void>()> first_batch, std::function<task<void>(task<void>)> away)
      : job_(job),
        slice_(slice),
        plan_(plan),
        stream_(stream),
        context_(context),
        load_(load),
        first_batch_(std::move(first_batch)),
        away_(std::move(away)) {}

  task<void> emit(Batch batch) override {
    meet_new_fields(batch.unknown_fields);
    read += static_cast<std::int64_t>(batch.rows() + batch.rejects.size()) + batch.filtered;
    filtered += batch.filtered;
    plan_.transform.apply(batch);
    if (first_batch_) co_await std::exchange(first_batch_, nullptr)();
    const auto permit = co_await context_.memory.acquire(static_cast<std::int64_t>(batch.bytes()));
    co_await load_.stage(batch);
    repaired += batch.repaired;
    const SliceProgress progress{job_.run, job_.id.pipeline, job_.id.stream, slice_.id(), read};
    context_.events.emit(progress);
  }

  void without_columns(const std::vector<std::string>& names, const std::string& why) override {
    complete = false;
    // The connector knows its own names; the table may have renamed or dropped them.
    std::vector<std::string> columns;
    for (const auto& name : names)
      for (const auto& column : plan_.table.columns)
        if (column.source < plan_.spec.columns.size() && plan_.spec.columns[column.source].name == name)
          columns.push_back(column.name);
    load_.without_columns(columns);
    context_.events.emit(Notice{Level::warning, job_.id.pipeline, job_.id.stream,
                                fmt::format("{}: loaded without {}: {}", slice_.id(), fmt::join(names, ", "), why)});
  }

  void incident(const std::string& why) override { incidents.push_back(fmt::format("{}: {}", slice_.id(), why)); }

  Priority priority() const override { return job_.priority; }
  task<void> away(task<void> waiting) override { return away_(std::move(waiting)); }

  std::int64_t read = 0, filtered = 0, repaired = 0;
  bool complete = true;
  std::vector<std::string> incidents;

 private:
  // Throws FieldsFound where there are some to be added.
  void meet_new_fields(const std::map<std::string, DataType>& unknown) {
    if (plan_.spec.new_fields != NewFields::add) return stream_.note_unknown(unknown);
    FieldsFound found;
    for (const auto& field : unknown)
      if (!stream_.refused(field.first)) found.fields.insert(field);
    if (!found.fields.empty()) throw found;
  }

  const LaneJob& job_;
  const Slice& slice_;
  const StreamPlan& plan_;
  LiveStream& stream_;
  RunContext& context_;
  Load& load_;
  std::function<task<void>()> first_batch_;
  std::function<task<void>(task<void>)> away_;
};

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
  // A slice goes on by one of two: a place among those that are read side by side, then a permit for a connection of
  // the sink. Whoever has a permit waits for no place, and nobody keeps a place while it waits for a slice that has
  // none: so all go on.
  struct State {
    Taken place;
    bool has_place = false;
    Semaphore::Permit lanes_share;  // of the sink's connections
    Taken permit;
    bool has_permit = false;
    bool done = false;
    bool failed = false;
    bool goes_first() const { return has_permit || done; }
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
    batch.rejects.push_back(Reject{{}, unknown.what(), "structure", std::move(kept)});
    std::string trouble;
    try {
      co_await wait_for_permit(i);
      auto load = co_await context_.sink.sink.open(plan->table, job_.id, slice, job_.run, context_.clock.now());
      co_await load->stage(batch);
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
    SliceEnded ended{job_.run,
                     job_.id.pipeline,
                     job_.id.stream,
                     job_.slices[i].slice.id(),
                     SliceOutcome::skipped,
                     why.what(),
                     {},
                     context_.clock.uptime() - started,
                     job_.id.partition};
    context_.events.emit(ended);
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
    LaneFailure failure;
    failure.message = fmt::format("{} {}: {}", job_.id.stream, slice.id(), error.what());
    failure.passing = error.passing();
    result_.failures.push_back(std::move(failure));
    SliceEnded ended{job_.run,
                     job_.id.pipeline,
                     job_.id.stream,
                     slice.id(),
                     SliceOutcome::failed,
                     error.what(),
                     {},
                     context_.clock.uptime() - started,
                     job_.id.partition};
    context_.events.emit(ended);
  }

  task<void> take_place(std::size_t i) {
    auto& state = states_[i];
    if (state.has_place || state.has_permit) co_return;
    state.place = co_await take(context_.source.slots, context_.source.backfill_slots, job_.priority);
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
    while (before != nullptr && !before->goes_first()) {
      if (!all_before_have_places(i)) leave_place(i);
      co_await moved_.wait();
    }
  }

  bool all_before_have_places(std::size_t i) const {
    for (const auto* before = predecessor(i); before != nullptr && !before->goes_first(); before = predecessor(i)) {
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
      if (version_uncertain_) co_await settle_version();
      const auto plan = stream_.plan();
      const auto started = context_.clock.uptime();
      const auto read_started = context_.clock.now();
      auto load = co_await context_.sink.sink.open(plan->table, job_.id, slice, job_.run, read_started);
      LaneOutput out(
          job_, slice, *plan, stream_, context_, *load, [this, i] { return wait_for_permit(i); },
          [this, i](task<void> waiting) { return away(i, std::move(waiting)); });
      co_await take_place(i);
      co_await context_.source.connector.read(plan->spec, slice, out);
      leave_place(i);
      co_await wait_for_permit(i);
      if (const auto* before = predecessor(i))
        while (!before->done) co_await moved_.wait();
      const auto turn = co_await publishing_.acquire();
      bool settled = false;
      std::exception_ptr failure;
      try {
        settled = co_await shield(publish(i, *load, out, read_started, believe_empty, started));
      } catch (const Error&) {
        failure = std::current_exception();
      }
      if (failure) {
        load.reset();  // gives its connection back, which settling may need
        co_await settle_version_if_possible();
        std::rethrow_exception(failure);
      }
      if (settled) co_return;
      context_.events.emit(
          Notice{Level::warning, job_.id.pipeline, job_.id.stream,
                 fmt::format("{}: the answer was empty although the table has rows of this window; asking "
                             "once more",
                             slice.id())});
    }
  }

  // Our own commit may have gone through although its reply was lost: the version is then one step further.
  task<void> settle_version() {
    const auto plan = stream_.plan();
    const auto progress = co_await context_.sink.sink.progress(job_.id, plan->table.name, job_.days);
    if (progress.version == job_.version + 1) job_.version = progress.version;
    version_uncertain_ = false;
  }

  task<void> settle_version_if_possible() {
    try {
      co_await settle_version();
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
    if (version_uncertain_) throw Error(Remedy::retry, "whether the lane's last COMMIT went through is not known yet");
    Publication publication;
    publication.expected_version = job_.version;
    publication.days = job_.days;
    if (!chain_broken(i)) publication.done_to = planned.done_to;
    publication.read = out.read;
    publication.filtered = out.filtered;
    publication.complete = out.complete;
    publication.believe_empty = believe_empty;
    publication.compare_all = job_.compare_all;
    version_uncertain_ = true;
    const auto published = co_await load.publish(publication);
    version_uncertain_ = false;
    if (published.outcome == Published::Outcome::confirm_empty) co_return false;
    job_.version = published.version;
    SliceEnded ended{job_.run,
                     job_.id.pipeline,
                     job_.id.stream,
                     planned.slice.id(),
                     SliceOutcome::published,
                     {},
                     published.counts,
                     context_.clock.uptime() - started,
                     job_.id.partition};
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
    repaired_ += out.repaired;
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
  Semaphore publishing_;
  Signal moved_;
  asio::any_io_executor executor_;
  bool version_uncertain_ = false;
  std::optional<Error> closed_;  // nothing more of the partition can be read: its other slices fail unread
};

}  // namespace

LiveStream::LiveStream(const StreamPlan& plan, std::string pipeline, RunContext& context)
    : plan_(std::make_shared<StreamPlan>(plan)),
      pipeline_(std::move(pipeline)),
      context_(context),
      altering_(context.executor, 1) {}

task<void> LiveStream::prepare() {
  const auto current = plan_;
  const auto changes = co_await context_.sink.sink.prepare(current->table);
  for (const auto& [column, action] : changes) {
    SchemaChanged change{pipeline_, current->name, column, action, {}};
    change.message = fmt::format("table {}: column {}: {}", current->table.name, column, action);
    context_.events.emit(change);
  }
}

task<void> LiveStream::add_fields(std::map<std::string, DataType> fields) {
  const auto turn = co_await altering_.acquire();
  auto extended = std::make_shared<StreamPlan>(*plan_);
  bool changed = false;
  for (const auto& [path, type] : fields) {
    const auto same = [&path = path](const Column& c) { return c.path == path; };
    if (std::any_of(extended->spec.columns.begin(), extended->spec.columns.end(), same)) continue;
    const auto name = column_name(path);
    const auto called = [&](const auto& column) { return column.name == name; };
    if (!name) {
      refuse(path, "no name for a column can be made of it");
    } else if (std::any_of(extended->spec.columns.begin(), extended->spec.columns.end(), called) ||
               extended->table.find(*name) != nullptr) {
      refuse(path, fmt::format("there is a column {} already", *name));
    } else {
      if (!extended->transform.drops(*name))
        extended->table.columns.emplace_back(*name, type, extended->spec.columns.size());
      extended->spec.columns.emplace_back(*name, type, path);
      changed = true;
    }
  }
  if (!changed) co_return;
  plan_ = std::move(extended);
  co_await prepare();
}

void LiveStream::refuse(const std::string& path, const std::string& why) {
  if (!refused_.insert(path).second) return;
  SchemaChanged change{pipeline_, plan_->name, path, "refused", {}};
  change.message = fmt::format(
      "stream {}: the source's new field '{}' is not loaded: {}; it can be kept by new_fields: keep_in_extra",
      plan_->name, path, why);
  context_.events.emit(change);
}

void LiveStream::note_unknown(const std::map<std::string, DataType>& fields) {
  for (const auto& [name, type] : fields) {
    if (!noted_.insert(name).second) continue;
    SchemaChanged change{pipeline_, plan_->name, name, "unknown_field", {}};
    change.message = fmt::format("stream {}: the source gives a field '{}' ({}) that is not declared", plan_->name,
                                 name, to_string(type));
    context_.events.emit(change);
  }
}

task<void> run_lane(LaneJob job, LiveStream& stream, RunContext& context, LaneResult& result) {
  Lane lane(std::move(job), stream, context, result, co_await asio::this_coro::executor);
  co_await lane.run();
}

}  // namespace sluice
