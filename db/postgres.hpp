#pragma once
#include <libpq-fe.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/secret.hpp"
#include "core/task.hpp"

// PostgreSQL under Asio: libpq's asynchronous half, with deadlines, back-pressure and errors that say what to do.

namespace sluice::pg {

// A failure that the server or the connection reported.
class PgError : public Error {
 public:
  PgError(Remedy remedy, std::string sqlstate, bool connection_lost, const std::string& what)
      : Error(remedy, what), sqlstate_(std::move(sqlstate)), connection_lost_(connection_lost) {}
  const std::string& sqlstate() const { return sqlstate_; }  // empty where no server spoke
  // Nobody knows what became of the statement that was under way.
  bool connection_lost() const { return connection_lost_; }

 private:
  std::string sqlstate_;
  bool connection_lost_;
};

Remedy remedy_for(std::string_view sqlstate);
// What a person can do about it; empty where the server's own words are enough.
std::string_view advice_for(std::string_view sqlstate);

// How to reach a database.
struct Target {
  std::string who;         // "sink warehouse": the beginning of every message
  Secret url;              // libpq's: postgresql://… or key=value
  Secret password;         // beside the URL; empty: the URL's own, or none
  std::string ca_file;     // empty: the URL's sslrootcert, else the system's authorities
  bool read_write = true;  // refuse servers that only read: after a failover, the old primary
  Duration connect_timeout = std::chrono::seconds(10);    // of a name, and of each of its addresses
  Duration statement_timeout = std::chrono::minutes(10);  // the server's
  Duration answer_grace = std::chrono::seconds(30);  // how much longer we wait before we believe that nobody is there
  Duration lock_timeout = std::chrono::seconds(60);
};

// One way of trying: what libpq is given. Passwords are in it.
using Parameters = std::vector<std::pair<std::string, std::string>>;
struct Endpoint {
  std::string host, port;  // one host of the URL; a directory is a Unix socket; empty: libpq's default
  bool needs_lookup = false;
};
// Everything but the addresses. Throws Error(give_up) when the URL cannot be read, without its text.
Parameters connection_parameters(const Target& target);
// The hosts of the URL, in their order.
std::vector<Endpoint> endpoints(const Parameters& parameters);

class Result {
 public:
  explicit Result(PGresult* result) : result_(result, &PQclear) {}
  int rows() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  std::string text(int row, int column) const;
  std::optional<std::string> maybe(int row, int column) const;
  std::int64_t integer(int row, int column) const;
  bool flag(int row, int column) const { return text(row, column) == "t"; }
  std::string_view tag() const { return PQcmdStatus(result_.get()); }  // "UPDATE 3", "COMMIT"
  std::int64_t affected() const;
  PGresult* get() const { return result_.get(); }

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

using Param = std::optional<std::string>;
struct Statement {
  std::string sql;
  std::vector<Param> params;
  Statement(std::string s) : sql(std::move(s)) {}  // NOLINT: SQL without parameters is a statement
  Statement(const char* s) : sql(s) {}             // NOLINT
  Statement(std::string s, std::vector<Param> p) : sql(std::move(s)), params(std::move(p)) {}
};

// A session. A call that fails for want of a connection, or is cancelled, closes it: whatever was open is rolled back
// by the server. Not for two tasks at once.
class Connection {
 public:
  static task<std::unique_ptr<Connection>> open(const Target& target, Clock& clock);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  task<Result> exec(Statement statement);
  // One round trip. The first failure is thrown and the statements after it are not run.
  task<std::vector<Result>> exec_all(std::vector<Statement> statements);
  // All of them or none, inside the open transaction, which goes on either way. Gives the error when the server refuses
  // them: a lock that is held counts as that. What else passes by itself (a full disk, a lost connection) is thrown.
  task<std::optional<PgError>> attempt(std::vector<Statement> statements);

  // COPY … FROM STDIN: begin, put as often as needed (at best some 64 KiB each), end. `put` returns when libpq has
  // handed nearly all of it to the kernel: a slow server slows the caller down. Gives the rows that were stored.
  task<void> begin_copy(std::string sql);
  task<void> put(std::string_view bytes);
  task<std::int64_t> end_copy();

  // Connected, nothing under way, no transaction open; also notices when the server has closed the connection.
  bool idle();
  bool in_transaction() const;
  int server_version() const;  // 150020
  bool encrypted() const;
  // When the server's certificate ends, where the connection is encrypted.
  std::optional<Instant> certificate_end() const;
  int backend_pid() const;
  void close();  // at once; calls under way fail
  // What is being done, for messages: "table insights, slice act_1/2026-03-01".
  void set_context(std::string context) { context_ = std::move(context); }
  // What the user of the session wants to remember of it: temporary tables and so on.
  std::map<std::string, std::string> session_notes;

 private:
  struct State;
  class Busy;
  explicit Connection(const Target& target);
  task<void> connect(Parameters parameters);
  task<void> set_up(const Target& target);
  task<void> wait_readable();
  task<void> wait_either();
  task<void> flush();
  task<PGresult*> next_result();
  task<void> drain(const Statement& statement, std::optional<Result>& first);
  void check(PGresult* result) const;
  void send(const Statement& statement);
  [[noreturn]] void throw_lost(const std::string& what) const;
  [[noreturn]] void throw_connect_failed() const;
  std::string where() const;

  std::string who_, context_;
  Duration connect_timeout_, answer_within_;
  std::shared_ptr<State> state_;
};

// At most `max` sessions, kept and reused, renewed when the server has closed them.
class Pool {
 public:
  // `on_state` hears when the server could, or could not, be reached.
  using OnState = std::function<void(bool up, const std::string& message)>;
  Pool(asio::any_io_executor executor, Clock& clock, Target target, std::int64_t max, OnState on_state);

  class Lease {
   public:
    Lease() = default;
    Lease(Pool* pool, Semaphore::Permit permit, std::unique_ptr<Connection> connection);
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { release(); }
    void release();
    Connection& operator*() const { return *connection_; }
    Connection* operator->() const { return connection_.get(); }
    explicit operator bool() const { return connection_ != nullptr; }

   private:
    Pool* pool_ = nullptr;
    Semaphore::Permit permit_;
    std::unique_ptr<Connection> connection_;
  };

  task<Lease> acquire();
  // Closes what is idle; what is in use is closed when it comes back.
  void close();
  const Target& target() const { return target_; }

 private:
  struct Idle {
    std::unique_ptr<Connection> connection;
    Duration since;
  };
  void give_back(std::unique_ptr<Connection> connection);

  Clock& clock_;
  Target target_;
  OnState on_state_;
  Semaphore permits_;
  std::vector<Idle> idle_;
  bool closed_ = false;
};

}  // namespace sluice::pg
