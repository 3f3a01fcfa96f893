#include "scheduler/replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "scheduler/lane.hpp"

namespace sluice {
namespace {

constexpr std::size_t all_of_a_slice = std::numeric_limits<std::int32_t>::max();  // Rejects::most_bytes bounds them

// A batch of one row, fit or not, which carries the raw text that the row has in the quarantine.
Batch refused(std::size_t width, const QuarantinedRow& row, std::string reason, std::string rule) {
  Batch batch(width);
  batch.rejects.push_back(Reject{row.key, std::move(reason), std::move(rule), row.raw});
  return batch;
}

Batch mapped(const Connector& connector, const StreamPlan& plan, const std::string& partition,
             const QuarantinedRow& row) {
  const auto width = plan.spec.columns.size();
  if (!holds_row(row.rule)) return refused(width, row, row.reason, row.rule);
  std::string trouble;
  try {
    auto batch = connector.parse(plan.spec, partition, row.raw);
    plan.transform.apply(batch);
    batch.compact();
    const auto count = batch.rows() + batch.rejects.size();
    if (count != 1)
      return refused(width, row, fmt::format("found {} rows, expected one of the stream", count), row.rule);
    if (batch.rows() == 1) batch.set_raw(row.raw);
    for (auto& reject : batch.rejects) reject.raw = row.raw;
    return batch;
  } catch (const Error& error) {
    trouble = error.what();
  }
  return refused(width, row, std::move(trouble), row.rule);
}

class Replay {
 public:
  Replay(const Pipeline& pipeline, const StreamPlan& plan, const ReplayOptions& options, RunContext& context)
      : pipeline_(pipeline.name), name_(plan.name), options_(options), context_(context), plan_(plan) {}

  task<ReplayResult> run() {
    auto& sink = context_.sink.sink;
    const auto reads = co_await sink.quarantined_reads(pipeline_, name_, options_.filter);
    if (!reads.empty()) co_await begin();
    for (const auto& read : reads) co_await attempt(read);
    if (options_.dry_run) co_return std::move(result_);
    const auto left = co_await sink.count_quarantined(pipeline_, name_);
    context_.events.emit(QuarantineSize{pipeline_, name_, left});
    co_return std::move(result_);
  }

 private:
  // The table as a run would have it.
  task<void> begin() {
    auto types = co_await context_.source.connector.types(plan_.spec);
    plan_.learn(types);
    stream_.emplace(plan_, pipeline_, context_);
    if (!options_.dry_run) co_await stream_->prepare();
  }

  task<void> attempt(const QuarantinedRead& read) {
    try {
      co_await again(read);
    } catch (const Error& error) {
      result_.failures.push_back({fmt::format("{} {}: {}", name_, read.slice, error.what()), error.passing()});
    }
  }

  task<void> again(const QuarantinedRead& read) {
    const auto slice = parse_slice(read.slice);
    if (!slice) throw Error(Remedy::give_up, "this is no slice of today's sluice; its rows stay as they are");
    if (!read.complete)
      throw Error(Remedy::give_up,
                  "it was read without some of the columns, which its rows would empty; load it again");
    auto filter = options_.filter;
    filter.slice = read.slice;
    filter.run = read.run;
    const auto rows = co_await context_.sink.sink.quarantined(pipeline_, name_, filter, all_of_a_slice);
    auto batches = co_await map(slice->partition().id, rows);
    const auto answers =
        std::count_if(rows.begin(), rows.end(), [](const QuarantinedRow& row) { return !holds_row(row.rule); });
    Replayed done;
    if (options_.dry_run) {
      for (const auto& batch : batches) ++(batch.rows() == 1 ? done.loaded : done.refused);
    } else {
      const LaneId lane(pipeline_, name_, slice->partition().id, "replay");
      const auto plan = stream_->plan();
      const auto load = co_await context_.sink.sink.open(plan->table, lane, *slice, read.run, read.started);
      for (auto& batch : batches) co_await load->stage(std::move(batch));
      auto replaying = load->replay(rows);
      done = co_await shield(std::move(replaying));
    }
    // Answers are refused, unless their window was loaded since: then nothing of the slice is.
    const auto waiting = std::min<std::int64_t>(answers, done.refused);
    result_.loaded += done.loaded;
    result_.skipped += done.skipped;
    result_.refused += done.refused - waiting;
    result_.waiting += waiting;
  }

  // A batch for each row. Fields that turn up become columns first, as they do in a run.
  task<std::vector<Batch>> map(const std::string& partition, const std::vector<QuarantinedRow>& rows) {
    for (;;) {
      const auto plan = stream_->plan();
      std::vector<Batch> batches;
      std::map<std::string, DataType> found;
      for (const auto& row : rows) {
        batches.push_back(mapped(context_.source.connector, *plan, partition, row));
        for (const auto& field : batches.back().unknown_fields)
          if (!stream_->refused(field.first)) found.insert(field);
      }
      if (found.empty() || options_.dry_run || plan->spec.new_fields != NewFields::add) co_return batches;
      co_await stream_->add_fields(std::move(found));
    }
  }

  const std::string pipeline_, name_;
  const ReplayOptions& options_;
  RunContext& context_;
  StreamPlan plan_;
  std::optional<LiveStream> stream_;
  ReplayResult result_;
};

}  // namespace

task<ReplayResult> replay_quarantine(const Pipeline& pipeline, const StreamPlan& plan, const ReplayOptions& options,
                                     RunContext& context) {
  Replay replay(pipeline, plan, options, context);
  co_return co_await replay.run();
}

}  // namespace sluice
