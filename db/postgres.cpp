#include "db/postgres.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <charconv>

namespace sluice::pg {
namespace {

using Wait = asio::posix::stream_descriptor;

std::string trimmed(std::string text) {
  for (auto& c : text)
    if (c == '\n') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

// "FATAL:  28P01: password …", as libpq writes it when it is verbose: the words may be in any language.
std::string sqlstate_in(std::string_view message) {
  for (auto at = message.find(": "); at != std::string_view::npos; at = message.find(": ", at + 1)) {
    auto rest = message.substr(at + 2);
    if (rest.starts_with(' ')) rest.remove_prefix(1);
    if (rest.size() < 6 || rest[5] != ':') continue;
    const auto code = rest.substr(0, 5);
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto allowed = [&](char c) { return digit(c) || (c >= 'A' && c <= 'Z'); };
    // "FATAL" and "PANIC" are five letters too, and have no digit.
    if (std::all_of(code.begin(), code.end(), allowed) && std::any_of(code.begin(), code.end(), digit))
      return std::string(code);
  }
  return {};
}

std::string milliseconds(Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text ? text : "";
}

task<std::vector<std::string>> addresses_of(Endpoint endpoint, std::string who) {
  std::vector<std::string> found;
  if (!endpoint.needs_lookup) {
    found.emplace_back();
    co_return found;
  }
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  error_code failure;
  const auto answers =
      co_await resolver.async_resolve(endpoint.host, "0", asio::redirect_error(asio::use_awaitable, failure));
  if (failure == asio::error::operation_aborted) throw_cancelled();
  if (failure)
    throw PgError(Remedy::retry, "", false,
                  fmt::format("{}: the host name {} cannot be resolved ({})", who, endpoint.host, failure.message()));
  for (const auto& answer : answers) found.push_back(answer.endpoint().address().to_string());
  co_return found;
}

Parameters for_address(Parameters parameters, const Endpoint& endpoint, const std::string& address) {
  if (endpoint.host.empty()) return parameters;
  std::erase_if(parameters, [](const auto& p) { return p.first == "host" || p.first == "port"; });
  parameters.emplace_back("host", endpoint.host);
  if (!endpoint.port.empty()) parameters.emplace_back("port", endpoint.port);
  if (!address.empty()) parameters.emplace_back("hostaddr", address);
  return parameters;
}

}  // namespace

std::string Result::text(int row, int column) const {
  return std::string(PQgetvalue(get(), row, column), static_cast<std::size_t>(PQgetlength(get(), row, column)));
}

std::optional<std::string> Result::maybe(int row, int column) const {
  if (is_null(row, column)) return {};
  return text(row, column);
}

std::int64_t Result::integer(int row, int column) const {
  const auto digits = text(row, column);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size())
    throw std::logic_error("expected an integer from the server, got \"" + digits + "\"");
  return value;
}

std::int64_t Result::affected() const {
  const std::string_view digits = PQcmdTuples(result_.get());
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
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

Connection::Connection(const Target& target)
    : who_(target.who),
      connect_timeout_(target.connect_timeout),
      answer_within_(target.statement_timeout + target.answer_grace) {}

Connection::~Connection() {
  if (state_) state_->close();
}

void Connection::close() {
  state_->close();
}

std::string Connection::where() const {
  return context_.empty() ? who_ : who_ + ", " + context_;
}

void Connection::throw_lost(const std::string& what) const {
  throw PgError(Remedy::retry, "", true, fmt::format("{}: {}", where(), what));
}

void Connection::check(PGresult* result) const {
  const auto status = PQresultStatus(result);
  if (status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE && status != PGRES_NONFATAL_ERROR) return;
  const auto sqlstate = field(result, PG_DIAG_SQLSTATE);
  // Detail and context quote values of rows; the first line does not as a rule.
  auto message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  const bool lost = sqlstate.empty() || PQstatus(state_->connection) == CONNECTION_BAD || sqlstate.starts_with("57P");
  if (message.empty()) message = "the connection to the server was lost: " + trimmed(PQresultErrorMessage(result));
  const auto advice = advice_for(sqlstate);
  throw PgError(remedy_for(sqlstate), sqlstate, lost,
                fmt::format("{}: {}{}{}{}", where(), message, sqlstate.empty() ? "" : " (SQLSTATE " + sqlstate + ")",
                            advice.empty() ? "" : ": ", advice));
}

task<void> Connection::wait_readable() {
  error_code failure;
  co_await state_->descriptor.async_wait(Wait::wait_read, asio::redirect_error(asio::use_awaitable, failure));
  if (state_->timed_out) throw_lost("the server did not answer in time");
  if (failure == asio::error::operation_aborted) throw_cancelled();
}

task<void> Connection::wait_either() {
  auto& descriptor = state_->descriptor;
  const auto [order, read_failure, write_failure] =
      co_await asio::experimental::make_parallel_group(descriptor.async_wait(Wait::wait_read, asio::deferred),
                                                       descriptor.async_wait(Wait::wait_write, asio::deferred))
          .async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (state_->timed_out) throw_lost("the server takes no more data");
  const bool neither = read_failure && write_failure;
  if (neither) throw_cancelled();
  if (!read_failure && !PQconsumeInput(state_->connection))
    throw_lost("the connection was lost: " + trimmed(PQerrorMessage(state_->connection)));
}

task<void> Connection::flush() {
  for (;;) {
    const int pending = PQflush(state_->connection);
    if (pending == 0) co_return;
    if (pending < 0) throw_lost("the connection was lost: " + trimmed(PQerrorMessage(state_->connection)));
    co_await wait_either();
  }
}

task<PGresult*> Connection::next_result() {
  while (PQisBusy(state_->connection)) {
    co_await wait_readable();
    // What the server said before it went (57P01) is still to be had after this fails.
    if (!PQconsumeInput(state_->connection)) break;
  }
  co_return PQgetResult(state_->connection);
}

void Connection::send(const Statement& statement) {
  std::vector<const char*> values;
  values.reserve(statement.params.size());
  for (const auto& param : statement.params) values.push_back(param ? param->c_str() : nullptr);
  if (!PQsendQueryParams(state_->connection, statement.sql.c_str(), static_cast<int>(values.size()), nullptr,
                         values.data(), nullptr, nullptr, 0))
    throw_lost("the statement could not be sent: " + trimmed(PQerrorMessage(state_->connection)));
}

// Every result of one statement; keeps the first and throws the first error once all are read.
task<void> Connection::drain(const Statement& statement, std::optional<Result>& first) {
  static_cast<void>(statement);
  std::optional<PgError> failure;
  for (auto* raw = co_await next_result(); raw; raw = co_await next_result()) {
    Result result(raw);
    try {
      if (!failure) check(raw);
    } catch (const PgError& error) {
      failure = error;
    }
    if (failure && failure->connection_lost()) throw *failure;
    if (!first) first.emplace(std::move(result));
  }
  if (failure) throw *failure;
}

task<Result> Connection::exec(Statement statement) {
  Busy busy(*this, answer_within_);
  send(statement);
  co_await flush();
  std::optional<Result> result;
  std::optional<PgError> failure;
  try {
    co_await drain(statement, result);
  } catch (const PgError& error) {
    failure = error;
  }
  if (failure && failure->connection_lost()) throw *failure;
  busy.finished();
  if (failure) throw *failure;
  co_return std::move(*result);
}

task<std::vector<Result>> Connection::exec_all(std::vector<Statement> statements) {
  Busy busy(*this, answer_within_);
  if (!PQenterPipelineMode(state_->connection)) throw_lost("the connection is not ready");
  for (const auto& statement : statements) send(statement);
  if (!PQpipelineSync(state_->connection)) throw_lost("the statements could not be sent");
  co_await flush();
  std::vector<Result> results;
  std::optional<PgError> failure;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    std::optional<Result> result;
    try {
      co_await drain(statements[i], result);
    } catch (const PgError& error) {
      if (!failure) failure = error;
    }
    if (failure && failure->connection_lost()) throw *failure;
    if (result) results.push_back(std::move(*result));
  }
  Result sync(co_await next_result());
  if (PQresultStatus(sync.get()) != PGRES_PIPELINE_SYNC || !PQexitPipelineMode(state_->connection))
    throw_lost("the connection was lost");
  busy.finished();
  if (failure) throw *failure;
  co_return results;
}

task<void> Connection::begin_copy(std::string sql) {
  Busy busy(*this, answer_within_);
  const Statement statement(std::move(sql));
  send(statement);
  co_await flush();
  Result result(co_await next_result());
  std::optional<PgError> failure;
  try {
    if (!result.get()) throw_lost("the connection was lost");
    check(result.get());
  } catch (const PgError& error) {
    failure = error;
  }
  if (failure && failure->connection_lost()) throw *failure;
  if (!failure && PQresultStatus(result.get()) != PGRES_COPY_IN) throw_lost("the server did not begin to copy");
  if (failure) {
    std::optional<Result> rest;
    co_await drain(statement, rest);
  }
  busy.finished();
  if (failure) throw *failure;
  state_->under_way = true;  // until end_copy
}

task<void> Connection::put(std::string_view bytes) {
  Busy busy(*this, answer_within_);
  constexpr std::size_t piece = 64 * 1024;
  while (!bytes.empty()) {
    const auto now = bytes.substr(0, piece);
    bytes.remove_prefix(now.size());
    if (PQputCopyData(state_->connection, now.data(), static_cast<int>(now.size())) != 1)
      throw_lost("the connection was lost: " + trimmed(PQerrorMessage(state_->connection)));
    co_await flush();
  }
  busy.finished();
  state_->under_way = true;
}

task<std::int64_t> Connection::end_copy() {
  Busy busy(*this, answer_within_);
  if (PQputCopyEnd(state_->connection, nullptr) != 1) throw_lost("the connection was lost");
  co_await flush();
  const Statement copy("COPY");
  std::optional<Result> result;
  std::optional<PgError> failure;
  try {
    co_await drain(copy, result);
  } catch (const PgError& error) {
    failure = error;
  }
  if (failure && failure->connection_lost()) throw *failure;
  busy.finished();
  if (failure) throw *failure;
  co_return result->affected();
}

bool Connection::idle() {
  if (!state_ || !state_->connection || state_->under_way) return false;
  if (!PQconsumeInput(state_->connection) || PQstatus(state_->connection) != CONNECTION_OK) return false;
  return PQtransactionStatus(state_->connection) == PQTRANS_IDLE;
}

bool Connection::in_transaction() const {
  if (!state_->connection) return false;
  const auto status = PQtransactionStatus(state_->connection);
  return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

int Connection::server_version() const {
  return state_->connection ? PQserverVersion(state_->connection) : 0;
}
int Connection::backend_pid() const {
  return state_->connection ? PQbackendPID(state_->connection) : 0;
}
bool Connection::encrypted() const {
  return state_->connection && PQsslInUse(state_->connection) != 0;
}

void Connection::throw_connect_failed() const {
  const auto message = trimmed(PQerrorMessage(state_->connection));
  const auto sqlstate = sqlstate_in(message);
  const auto says = [&](std::string_view part) { return message.find(part) != std::string::npos; };
  auto remedy = remedy_for(sqlstate);
  std::string advice(advice_for(sqlstate));
  if (sqlstate.empty() && (says("certificate") || says("does not match host name"))) {
    remedy = Remedy::give_up;
    advice =
        "the server's certificate is not trusted: set `ca_file` (RDS: the region's global-bundle.pem), and use the "
        "name "
        "that the certificate carries";
  } else if (sqlstate.empty() && says("does not support SSL")) {
    remedy = Remedy::give_up;
    advice = "enable TLS on the server; only in a network that you trust say sslmode=disable in the URL";
  } else if (sqlstate.empty() && says("no password supplied")) {
    remedy = Remedy::give_up;
    advice = "set `password`";
  }
  throw PgError(remedy, sqlstate, false,
                fmt::format("{}: no connection: {}{}{}", who_, message.substr(0, message.find(" LOCATION:")),
                            advice.empty() ? "" : ": ", advice));
}

task<void> Connection::connect(Parameters parameters) {
  std::vector<const char*> names, values;
  for (const auto& [name, value] : parameters) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  state_->connection = PQconnectStartParams(names.data(), values.data(), 0);
  if (!state_->connection) throw std::bad_alloc();
  Busy busy(*this, connect_timeout_);
  PQsetErrorVerbosity(state_->connection, PQERRORS_VERBOSE);
  PQsetNoticeProcessor(
      state_->connection, [](void*, const char*) {}, nullptr);
  if (PQstatus(state_->connection) == CONNECTION_BAD) throw_connect_failed();
  for (auto status = PGRES_POLLING_WRITING; status != PGRES_POLLING_OK; status = PQconnectPoll(state_->connection)) {
    if (status == PGRES_POLLING_FAILED) throw_connect_failed();
    state_->watch_socket();
    if (status == PGRES_POLLING_READING) {
      co_await wait_readable();
      continue;
    }
    error_code failure;
    co_await state_->descriptor.async_wait(Wait::wait_write, asio::redirect_error(asio::use_awaitable, failure));
    if (state_->timed_out) throw_lost("the server cannot be reached: no answer in time");
    if (failure == asio::error::operation_aborted) throw_cancelled();
  }
  state_->watch_socket();
  PQsetnonblocking(state_->connection, 1);
  PQsetErrorVerbosity(state_->connection, PQERRORS_DEFAULT);
  busy.finished();
}

task<void> Connection::set_up(const Target& target) {
  // Set after connecting: poolers refuse what they do not know in the start-up packet.
  Statement statement(
      "SELECT pg_catalog.set_config(s.name, s.value, false) FROM (VALUES ('search_path', 'pg_catalog'), ('TimeZone', "
      "'UTC'), "
      "('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'iso_8601'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), "
      "('client_min_messages', 'warning'), ('standard_conforming_strings', 'on'), ('statement_timeout', $1), "
      "('lock_timeout', $2), ('idle_in_transaction_session_timeout', '300000'), "
      "('client_connection_check_interval', CASE WHEN $3::int >= 140000 THEN '10000' END)) AS s (name, value) "
      "WHERE s.value IS NOT NULL");
  statement.params.emplace_back(milliseconds(target.statement_timeout));
  statement.params.emplace_back(milliseconds(target.lock_timeout));
  statement.params.emplace_back(std::to_string(server_version()));
  co_await exec(std::move(statement));
}

task<std::unique_ptr<Connection>> Connection::open(const Target& target, Clock& clock) {
  static_cast<void>(clock);
  const auto parameters = connection_parameters(target);
  std::optional<PgError> failure;
  for (const auto& endpoint : endpoints(parameters)) {
    std::vector<std::string> addresses;
    try {
      addresses = co_await addresses_of(endpoint, target.who);
    } catch (const PgError& error) {
      failure = error;
    }
    for (const auto& address : addresses) {
      std::unique_ptr<Connection> connection(new Connection(target));
      connection->state_ = std::make_shared<State>(co_await asio::this_coro::executor);
      bool connected = false;
      try {
        co_await connection->connect(for_address(parameters, endpoint, address));
        co_await connection->set_up(target);
        connected = true;
      } catch (const PgError& error) {
        failure = error;
      }
      if (connected) co_return connection;
    }
  }
  throw *failure;
}

}  // namespace sluice::pg
