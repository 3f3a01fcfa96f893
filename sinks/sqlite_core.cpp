#include "sinks/sqlite_core.hpp"

namespace sluice::sqlite {

std::shared_ptr<Session> Core::take_session() {
  if (idle_.empty()) return std::make_shared<Session>();
  auto session = std::move(idle_.back());
  idle_.pop_back();
  return session;
}

void Core::note(bool up, const std::string& message) {
  if (up_ == up) return;
  up_ = up;
  context_.events.emit(SinkState{context_.name, up, message});
}

std::unique_ptr<Database> Core::open_database(const std::string& path) {
  auto database = std::make_unique<Database>(path);
  // Stages may be larger than memory should be. Checkpoints every 16 MiB keep large loads from copying page by page.
  database->exec(
      "PRAGMA temp_store = FILE; PRAGMA temp.cache_size = -8192; PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint "
      "= 4000");
  return database;
}

}  // namespace sluice::sqlite
