#pragma once
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "db/postgres.hpp"

// What the parts of Connection share, and nobody else sees.

namespace sluice::pg {

using Wait = asio::posix::stream_descriptor;

// libpq's messages on one line.
inline std::string trimmed(std::string text) {
  for (auto& c : text)
    if (c == '\n') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

struct Connection::State {
  explicit State(const asio::any_io_executor& executor) : descriptor(executor), deadline(executor) {}
  ~State() { close(); }
  void close() {
    deadline.cancel();
    error_code ignored;
    descriptor.close(ignored);
    if (connection) PQfinish(connection);
    connection = nullptr;
    under_way = false;
  }
  // libpq closes and reopens its socket while it connects, and closes it in the end: a copy of its own keeps Asio's
  // book-keeping out of that.
  void watch_socket() {
    error_code ignored;
    descriptor.close(ignored);
    const int copy = ::dup(PQsocket(connection));
    if (copy < 0) throw Error(Remedy::retry, "too many open files: raise the limit of file descriptors");
    descriptor.assign(copy);
  }

  PGconn* connection = nullptr;
  asio::posix::stream_descriptor descriptor;
  asio::steady_timer deadline;
  std::uint64_t deadline_number = 0;
  bool timed_out = false;
  bool under_way = false;
};

// From the first byte of a request to the last of its answer. Left early, by an error of the connection or by
// cancellation, it closes the connection: nobody could tell what the next bytes belong to.
class Connection::Busy {
 public:
  Busy(Connection& connection, Duration limit) : connection_(connection), state_(connection.state_) {
    if (!state_->connection) connection.throw_lost("the connection is closed");
    state_->under_way = true;
    state_->timed_out = false;
    const auto number = ++state_->deadline_number;
    state_->deadline.expires_after(limit);
    state_->deadline.async_wait([weak = std::weak_ptr<State>(state_), number](const error_code& error) {
      const auto state = weak.lock();
      if (error || !state || state->deadline_number != number) return;
      state->timed_out = true;
      state->descriptor.cancel();
    });
  }
  ~Busy() {
    ++state_->deadline_number;
    state_->deadline.cancel();
    if (!finished_) state_->close();
  }
  void finished() {
    finished_ = true;
    state_->under_way = false;
  }

 private:
  Connection& connection_;
  std::shared_ptr<State> state_;
  bool finished_ = false;
};

}  // namespace sluice::pg
