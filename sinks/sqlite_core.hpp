#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/worker.hpp"
#include "db/sqlite.hpp"
#include "sinks/registry.hpp"
#include "sinks/sqlite_stage.hpp"

namespace sluice::sqlite {

// A connection and the thread that it lives on. The members that calls on the thread use come before the thread: it is
// joined first.
struct Session {
  std::unique_ptr<Database> database;
  std::unique_ptr<Target> target;
  std::unique_ptr<Stage> stage;
  Worker worker;
};

// What an SQLite sink and its loads share.
class Core {
 public:
  Core(std::string path, const SinkContext& context)
      : path_(std::move(path)), context_(context), write_turn_(context.executor, 1) {}

  const std::string& path() const { return path_; }
  const SinkContext& context() const { return context_; }
  // SQLite has one writer: waiting here keeps others from polling for its lock, and from giving up on it.
  Semaphore& write_turn() { return write_turn_; }

  // For loads. A session that is not given back is closed, and with it goes all that it staged.
  std::shared_ptr<Session> take_session();
  void give_back(std::shared_ptr<Session> session) { idle_.push_back(std::move(session)); }
  void close() { idle_.clear(); }
  // A transaction was committed. Once the sink has failed only this makes it up again: on a full disk it can be read,
  // and small things can be staged.
  void committed() { note(true, {}); }

  // Runs `call` with the session's database on the session's thread.
  template <typename F>
  task<std::invoke_result_t<F, Database&>> on(std::shared_ptr<Session> session, F call) {
    auto work = [session = session.get(), path = path_, call = std::move(call)]() mutable {
      if (!session->database) session->database = open_database(path);
      return call(*session->database);
    };
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<F, Database&>>) {
        co_await session->worker.run(std::move(work));
        answered();
      } else {
        auto result = co_await session->worker.run(std::move(work));
        answered();
        co_return result;
      }
    } catch (const Failure& e) {
      note(false, e.what());
      throw;
    }
  }

 private:
  void note(bool up, const std::string& message);
  void answered() {
    if (!up_) note(true, {});
  }
  static std::unique_ptr<Database> open_database(const std::string& path);

  const std::string path_;
  const SinkContext context_;
  std::optional<bool> up_;
  Semaphore write_turn_;
  std::vector<std::shared_ptr<Session>> idle_;
};

std::unique_ptr<Load> make_load(std::shared_ptr<Core> core, Target target);

}  // namespace sluice::sqlite
