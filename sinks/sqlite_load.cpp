#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_core.hpp"
#include "sinks/sqlite_publish.hpp"

namespace sluice::sqlite {
namespace {

// Of a slice's batches that wait for the worker, or are with it; it takes all that wait at once.
constexpr std::size_t most_added = 256u << 10;

class SqliteLoad final : public Load {
 public:
  SqliteLoad(std::shared_ptr<Core> core, Target target) : core_(std::move(core)), target_(std::move(target)) {}

  void add(Batch batch) override {
    added_bytes_ += batch.bytes();
    added_.push_back(std::move(batch));
  }
  bool full() const override { return added_bytes_ >= most_added; }
  task<void> make_room() override {
    auto batches = std::exchange(added_, {});
    const auto bytes = added_bytes_;
    co_await start();
    if (batches.empty()) co_return;
    auto add = [session = session_.get(), batches = std::move(batches)](Database&) mutable {
      for (auto& batch : batches) session->stage->add(std::move(batch));
    };
    co_await core_->on(session_, std::move(add));
    added_bytes_ -= bytes;
  }

  void without_columns(const std::vector<std::string>& names) override {
    without_.insert(without_.end(), names.begin(), names.end());
  }

  task<Published> publish(const Publication& publication) override {
    co_await make_room();
    auto work = [session = session_.get(), publication, without = without_,
                 now = core_->context().clock.now()](Database& database) {
      return sqlite::publish(database, *session->target, *session->stage, publication, without, now);
    };
    const auto written = [](const PublishResult& result) {
      return result.published.outcome != Published::Outcome::confirm_empty;
    };
    const auto result = co_await transact<PublishResult>(std::move(work), written);
    if (result.deletion_suspended)
      core_->context().events.emit(
          Notice{Level::warning, target_.lane.pipeline, target_.lane.stream, deletion_suspended(target_.slice)});
    co_return result.published;
  }

  task<void> set_aside() override {
    co_await make_room();
    const auto turn = co_await core_->write_turn().acquire();
    auto work = [session = session_.get(), now = core_->context().clock.now()](Database& database) {
      sqlite::set_aside(database, *session->target, *session->stage, now);
    };
    co_await core_->on(session_, std::move(work));
  }

  task<Replayed> replay(const std::vector<QuarantinedRow>& rows) override {
    co_await make_room();
    auto work = [session = session_.get(), rows, now = core_->context().clock.now()](Database& database) {
      return sqlite::replay(database, *session->target, *session->stage, rows, now);
    };
    const auto written = [](const Replayed&) { return true; };
    co_return co_await transact<Replayed>(std::move(work), written);
  }

 private:
  task<void> start() {
    if (published_) throw std::logic_error("a load is published once");
    if (!session_) session_ = core_->take_session();
    if (session_->stage) co_return;
    auto begin = [session = session_.get(), target = target_](Database& database) {
      session->target = std::make_unique<Target>(target);
      session->stage = std::make_unique<Stage>(database, *session->target);
    };
    co_await core_->on(session_, std::move(begin));
  }

  // One transaction, when it is its turn; `written` tells of its result whether it was committed, which ends the load.
  template <typename Result, typename Work, typename Written>
  task<Result> transact(Work work, Written written) {
    const auto turn = co_await core_->write_turn().acquire();
    const auto& context = core_->context();
    const auto begun = context.clock.uptime();
    auto whole = [session = session_.get(), work = std::move(work), written](Database& database) mutable {
      Result result = work(database);
      if (!written(result)) return result;
      session->stage->drop();
      session->stage.reset();
      return result;
    };
    std::optional<Result> result;
    std::exception_ptr failure;
    try {
      result = co_await core_->on(session_, std::move(whole));
    } catch (...) {
      failure = std::current_exception();
    }
    const bool committed = result && written(*result);
    context.events.emit(
        TransactionDone{context.name, committed ? "committed" : "rolled_back", context.clock.uptime() - begun});
    if (failure) std::rethrow_exception(failure);
    if (committed) {
      core_->committed();
      published_ = true;
      core_->give_back(std::move(session_));
    }
    co_return std::move(*result);
  }

  const std::shared_ptr<Core> core_;
  const Target target_;
  std::vector<Batch> added_;
  std::size_t added_bytes_ = 0;
  std::vector<std::string> without_;
  std::shared_ptr<Session> session_;
  bool published_ = false;
};

}  // namespace

std::unique_ptr<Load> make_load(std::shared_ptr<Core> core, Target target) {
  return std::make_unique<SqliteLoad>(std::move(core), std::move(target));
}

}  // namespace sluice::sqlite
