#include "db/postgres.hpp"

namespace sluice::pg {
namespace {
// Firewalls and load balancers forget connections that are silent for longer (AWS: 350 s).
constexpr Duration longest_idle = std::chrono::minutes(4);
}  // namespace

Pool::Pool(asio::any_io_executor executor, Clock& clock, Target target, std::int64_t max, OnState on_state)
    : clock_(clock), target_(std::move(target)), on_state_(std::move(on_state)), permits_(std::move(executor), max) {}

Pool::Lease::Lease(Pool* pool, Semaphore::Permit permit, std::unique_ptr<Connection> connection)
    : pool_(pool), permit_(std::move(permit)), connection_(std::move(connection)) {}

Pool::Lease& Pool::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = other.pool_;
  permit_ = std::move(other.permit_);
  connection_ = std::move(other.connection_);
  return *this;
}

void Pool::Lease::release() {
  if (connection_) pool_->give_back(std::move(connection_));
  connection_.reset();
  permit_.release();
}

void Pool::give_back(std::unique_ptr<Connection> connection) {
  if (closed_ || !connection->idle()) return;
  connection->set_context({});
  Idle entry{std::move(connection), clock_.uptime()};
  idle_.push_back(std::move(entry));
}

task<Pool::Lease> Pool::acquire() {
  auto permit = co_await permits_.acquire();
  while (!idle_.empty()) {
    auto entry = std::move(idle_.back());
    idle_.pop_back();
    if (clock_.uptime() - entry.since < longest_idle && entry.connection->idle())
      co_return Lease(this, std::move(permit), std::move(entry.connection));
  }
  std::unique_ptr<Connection> connection;
  std::optional<PgError> failure;
  try {
    connection = co_await Connection::open(target_, clock_);
  } catch (const PgError& error) {
    failure = error;
  }
  if (on_state_) on_state_(!failure, failure ? failure->what() : "");
  if (failure) throw *failure;
  co_return Lease(this, std::move(permit), std::move(connection));
}

void Pool::close() {
  closed_ = true;
  idle_.clear();
}

}  // namespace sluice::pg
