#include "tests/support/memory_sink.hpp"

#include <algorithm>
#include <set>

namespace sluice::test {
namespace {

class MemoryLoad final : public Load {
 public:
  MemoryLoad(MemorySink& sink, Table table, LaneId lane, Slice slice, std::string run)
      : sink_(sink), table_(std::move(table)), lane_(std::move(lane)), slice_(std::move(slice)), run_(std::move(run)) {
    ++sink_.open_loads;
  }
  ~MemoryLoad() override { --sink_.open_loads; }

  void add(Batch batch) override {
    full_ = true;
    repaired_ += batch.repaired;
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      MemorySink::Row row;
      for (const auto& column : table_.columns) {
        const auto& cell = batch.row(i)[column.source];
        if (cell.is_null()) continue;
        row[column.name] = cell.kind == Kind::text ? std::string(batch.text(cell)) : std::to_string(cell.integer);
      }
      staged_.push_back(std::move(row));
    }
    rejects_.insert(rejects_.end(), batch.rejects.begin(), batch.rejects.end());
  }
  bool full() const override { return full_; }
  task<void> make_room() override {
    full_ = false;
    if (sink_.before_stage) co_await sink_.before_stage(slice_);
  }

  void without_columns(const std::vector<std::string>& names) override { sink_.without = names; }

  task<Published> publish(const Publication& publication) override {
    if (sink_.before_publish) co_await sink_.before_publish(slice_);
    if (!sink_.fail_publishes.empty()) {
      const auto error = sink_.fail_publishes.front();
      sink_.fail_publishes.erase(sink_.fail_publishes.begin());
      throw error;
    }
    auto& progress = sink_.progresses[lane_];
    if (progress.version != publication.expected_version)
      throw Error(Remedy::give_up_partition, "another process took over");
    auto& rows = sink_.rows[table_.name];
    const auto in_window = [&](const MemorySink::Row& row) { return covers(row); };
    Published result;
    const auto before = std::count_if(rows.begin(), rows.end(), in_window);
    if (slice_.day_window() && staged_.empty() && before > 0 && !publication.believe_empty) {
      result.outcome = Published::Outcome::confirm_empty;
      co_return result;
    }
    if (slice_.day_window())
      rows.erase(std::remove_if(rows.begin(), rows.end(), in_window), rows.end());
    else
      merge_by_key(rows);
    rows.insert(rows.end(), staged_.begin(), staged_.end());
    const std::pair end(table_.name, publication.days);
    if (std::exchange(sink_.ends[lane_], end) != end) progress.done_to.reset();
    if (publication.done_to) progress.done_to = publication.done_to;
    ++progress.version;
    sink_.published.push_back(slice_.id());
    sink_.complete.push_back(publication.complete);
    sink_.compared_all.push_back(publication.compare_all);
    if (std::exchange(sink_.lose_next_commit_reply, false)) throw Error(Remedy::retry, "the reply to COMMIT was lost");
    result.version = progress.version;
    result.counts.read = publication.read;
    result.counts.inserted = static_cast<std::int64_t>(staged_.size());
    result.counts.quarantined = static_cast<std::int64_t>(rejects_.size());
    sink_.quarantine[lane_.stream + ' ' + slice_.id()] = rejects_;
    result.counts.filtered = publication.filtered;
    result.repaired = repaired_;
    co_return result;
  }

  task<void> set_aside() override {
    sink_.quarantine[lane_.stream + ' ' + slice_.id()] = rejects_;
    co_return;
  }

  task<Replayed> replay(const std::vector<QuarantinedRow>& rows) override {
    if (!sink_.fail_replays.empty()) {
      const auto error = sink_.fail_replays.front();
      sink_.fail_replays.erase(sink_.fail_replays.begin());
      throw error;
    }
    auto& quarantined = sink_.quarantine[lane_.stream + ' ' + slice_.id()];
    for (const auto& row : rows)
      std::erase_if(quarantined, [&](const Reject& reject) { return reject.raw == row.raw; });
    quarantined.insert(quarantined.end(), rejects_.begin(), rejects_.end());
    auto& table = sink_.rows[table_.name];
    table.insert(table.end(), staged_.begin(), staged_.end());
    sink_.replayed.push_back(lane_.lane + ' ' + run_ + ' ' + slice_.id());
    Replayed done;
    done.loaded = static_cast<std::int64_t>(staged_.size());
    done.refused = static_cast<std::int64_t>(rejects_.size());
    co_return done;
  }

 private:
  std::vector<std::string> key_of(const MemorySink::Row& row) const {
    std::vector<std::string> key;
    for (const auto& name : table_.key) {
      const auto part = row.find(name);
      key.push_back(part == row.end() ? "" : part->second);
    }
    return key;
  }

  // Takes out the rows that the staged ones replace.
  void merge_by_key(std::vector<MemorySink::Row>& rows) const {
    std::set<std::vector<std::string>> keys;
    for (const auto& row : staged_) keys.insert(key_of(row));
    const auto replaced = [&](const MemorySink::Row& row) { return keys.count(key_of(row)) > 0; };
    rows.erase(std::remove_if(rows.begin(), rows.end(), replaced), rows.end());
  }

  bool covers(const MemorySink::Row& row) const {
    const auto* window = slice_.day_window();
    if (!window) return false;
    const auto partition = row.find(table_.partition_column);
    if (!table_.partition_column.empty() && (partition == row.end() || partition->second != slice_.partition().id))
      return false;
    const auto day = row.find(table_.cursor_column);
    if (day == row.end()) return false;
    const auto days = std::stoll(day->second);
    return days >= window->from - Day(1970, 1, 1) && days < window->to - Day(1970, 1, 1);
  }

  MemorySink& sink_;
  Table table_;
  LaneId lane_;
  Slice slice_;
  std::string run_;
  std::vector<MemorySink::Row> staged_;
  std::vector<Reject> rejects_;
  std::int64_t repaired_ = 0;
  bool full_ = false;
};

}  // namespace

task<std::vector<std::string>> MemorySink::plan(const Table&) {
  co_return std::vector<std::string>();
}

task<std::map<std::string, std::string>> MemorySink::prepare(const Table& table) {
  if (!fail_prepares.empty()) {
    const auto error = fail_prepares.front();
    fail_prepares.erase(fail_prepares.begin());
    throw error;
  }
  std::map<std::string, std::string> changes;
  auto& known = columns[table.name];
  const bool made = known.empty();
  for (const auto& column : table.columns) {
    if (std::find(known.begin(), known.end(), column.name) != known.end()) continue;
    known.push_back(column.name);
    if (!made) changes[column.name] = "column_added";
  }
  co_return changes;
}

task<Progress> MemorySink::progress(const LaneId& lane, const std::string& table, const std::string& days) {
  if (!fail_progresses.empty()) {
    const auto error = fail_progresses.front();
    fail_progresses.erase(fail_progresses.begin());
    throw error;
  }
  const auto found = progresses.find(lane);
  Progress progress;
  if (found != progresses.end()) progress = found->second;
  if (ends[lane] != std::pair(table, days)) progress.done_to.reset();
  co_return progress;
}

task<std::vector<std::pair<LaneId, Progress>>> MemorySink::lanes(const std::string& pipeline) {
  std::vector<std::pair<LaneId, Progress>> found;
  for (const auto& lane : progresses)
    if (lane.first.pipeline == pipeline) found.push_back(lane);
  co_return found;
}

task<std::unique_ptr<Load>> MemorySink::open(const Table& table, const LaneId& lane, const Slice& slice,
                                             const std::string& run, Instant) {
  std::unique_ptr<Load> load = std::make_unique<MemoryLoad>(*this, table, lane, slice, run);
  co_return load;
}

task<std::int64_t> MemorySink::count_quarantined(const std::string&, const std::string& stream) {
  std::int64_t count = 0;
  for (const auto& [slice, rejects] : quarantine)
    if (slice.starts_with(stream + ' ')) count += static_cast<std::int64_t>(rejects.size());
  co_return count;
}

task<std::vector<QuarantinedRow>> MemorySink::quarantined(const std::string&, const std::string& stream,
                                                          const QuarantineFilter& filter, std::size_t) {
  std::vector<QuarantinedRow> rows;
  for (const auto& [slice, rejects] : quarantine) {
    if (slice != stream + ' ' + filter.slice) continue;
    for (const auto& reject : rejects)
      if (filter.rule.empty() || reject.rule == filter.rule)
        rows.push_back({reject.raw, filter.slice, reject.key, reject.reason, reject.rule, reject.raw, "r", {}, {}});
  }
  co_return rows;
}

task<std::vector<QuarantinedRead>> MemorySink::quarantined_reads(const std::string&, const std::string& stream,
                                                                 const QuarantineFilter&) {
  std::vector<QuarantinedRead> reads;
  for (const auto& [slice, rejects] : quarantine)
    if (slice.starts_with(stream + ' ') && !rejects.empty())
      reads.push_back({slice.substr(stream.size() + 1), "r", Instant()});
  co_return reads;
}

}  // namespace sluice::test
