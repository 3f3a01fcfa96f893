#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "core/clock.hpp"
#include "core/state.hpp"
#include "core/worker.hpp"
#include "db/sqlite.hpp"
#include "net/quota_store.hpp"

namespace sluice {

// A line of what a run said.
struct RunLine {
  std::int64_t number = 0;  // from 1 on: those before the first that is kept were dropped
  Instant time;
  Level level = Level::info;
  std::string message;
};

// The state in an SQLite file, which another process may read while the daemon runs. The file is opened at the first
// call, so that what is wrong with it is that call's error.
class SqliteStateStore final : public StateStore, public QuotaStore {
 public:
  // read_write makes the file and its folders where they are missing.
  SqliteStateStore(std::string path, asio::any_io_executor executor, Clock& clock,
                   sqlite::Access access = sqlite::Access::read_write);
  ~SqliteStateStore() override;

  task<PipelineState> pipeline(const std::string& name) override;
  task<void> set_paused(const std::string& pipeline, bool paused) override;
  task<void> set_last_planned(const std::string& pipeline, Instant planned) override;
  task<void> run_started(const RunRecord& run) override;
  task<void> run_ended(const RunRecord& run) override;
  task<std::vector<RunRecord>> runs(const std::string& pipeline, std::size_t limit) override;
  task<std::optional<RunRecord>> run(const std::string& id) override;
  task<std::vector<RunRecord>> close_orphans(const std::string& pipeline) override;
  task<void> probe() override;
  task<std::vector<QuotaRecord>> quotas(std::string source) override;
  task<void> keep_quota(QuotaRecord quota) override;

  // Those whose id begins so, the newest first.
  task<std::vector<RunRecord>> runs_beginning(std::string id, std::size_t limit);
  // New lines of a run, and older ones that changed; those before `first` are dropped.
  task<void> write_log(std::string run, std::vector<RunLine> lines, std::int64_t first);
  task<std::vector<RunLine>> log(std::string run);

  // Forgets the runs that ended before `before`, some hundred in a transaction; says how many.
  task<std::int64_t> prune(Instant before);
  // Transactions written so far: those that wait at the same time share one.
  std::int64_t commits() const { return commits_; }

 private:
  struct Write;
  sqlite::Database& database();  // on the worker
  task<void> write(std::function<void(sqlite::Database&)> change);
  task<void> write_queued(std::shared_ptr<Write> mine);
  task<void> commit_waiting();

  const std::string path_;
  const sqlite::Access access_;
  Clock& clock_;
  std::deque<std::shared_ptr<Write>> waiting_;
  bool writing_ = false;
  Signal written_;
  std::int64_t commits_ = 0;
  std::unique_ptr<sqlite::Database> database_;
  Worker worker_;  // last: it is joined before anything that its calls use goes away
};

}  // namespace sluice
