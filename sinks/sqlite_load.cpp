#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_core.hpp"
#include "sinks/sqlite_publish.hpp"

namespace sluice::sqlite {
namespace {

class SqliteLoad final : public Load {
 public:
  SqliteLoad(std::shared_ptr<Core> core, Target target) : core_(std::move(core)), target_(std::move(target)) {}

  task<void> stage(Batch& batch) override {
    co_await start();
    auto add = [session = session_.get(), &batch](Database&) { session->stage->add(batch); };
    co_await core_->on(session_, std::move(add));
  }

  void without_columns(const std::vector<std::string>& names) override {
    without_.insert(without_.end(), names.begin(), names.end());
  }

  task<Published> publish(const Publication& publication) override {
    co_await start();
    const auto turn = co_await core_->write_turn().acquire();
    const auto& context = core_->context();
    const auto begun = context.clock.uptime();
    std::optional<PublishResult> result;
    std::exception_ptr failure;
    try {
      result = co_await write(publication);
    } catch (...) {
      failure = std::current_exception();
    }
    const bool written = result && result->published.outcome != Published::Outcome::confirm_empty;
    context.events.emit(
        TransactionDone{context.name, written ? "committed" : "rolled_back", context.clock.uptime() - begun});
    if (failure) std::rethrow_exception(failure);
    if (result->deletion_suspended)
      context.events.emit(
          Notice{Level::warning, target_.lane.pipeline, target_.lane.stream, deletion_suspended(target_.slice)});
    if (written) {
      core_->committed();
      published_ = true;
      core_->give_back(std::move(session_));
    }
    co_return result->published;
  }

  task<void> set_aside() override {
    co_await start();
    const auto turn = co_await core_->write_turn().acquire();
    auto work = [session = session_.get(), now = core_->context().clock.now()](Database& database) {
      sqlite::set_aside(database, *session->target, *session->stage, now);
    };
    co_await core_->on(session_, std::move(work));
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

  task<PublishResult> write(Publication publication) {
    auto work = [session = session_.get(), publication, without = without_,
                 now = core_->context().clock.now()](Database& database) {
      auto result = sqlite::publish(database, *session->target, *session->stage, publication, without, now);
      if (result.published.outcome == Published::Outcome::confirm_empty) return result;
      session->stage->drop();
      session->stage.reset();
      return result;
    };
    co_return co_await core_->on(session_, std::move(work));
  }

  const std::shared_ptr<Core> core_;
  const Target target_;
  std::vector<std::string> without_;
  std::shared_ptr<Session> session_;
  bool published_ = false;
};

}  // namespace

std::unique_ptr<Load> make_load(std::shared_ptr<Core> core, Target target) {
  return std::make_unique<SqliteLoad>(std::move(core), std::move(target));
}

}  // namespace sluice::sqlite
