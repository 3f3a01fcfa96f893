#include <fmt/format.h>
#include <openssl/ssl.h>

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <charconv>

#include "core/check.hpp"
#include "db/postgres_state.hpp"

namespace sluice::pg {
namespace {

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text ? text : "";
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
  const auto severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  const bool ends_session = severity == "FATAL" || severity == "PANIC";
  const bool lost = sqlstate.empty() || ends_session || PQstatus(state_->connection) == CONNECTION_BAD;
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

task<std::optional<PgError>> Connection::attempt(std::vector<Statement> statements) {
  constexpr std::string_view lock_not_available = "55P03";
  statements.insert(statements.begin(), "SAVEPOINT attempt");
  statements.emplace_back("RELEASE SAVEPOINT attempt");
  std::optional<PgError> refusal;
  try {
    co_await exec_all(std::move(statements));
  } catch (const PgError& error) {
    refusal = error;
  }
  if (!refusal) co_return refusal;
  if (refusal->passing() && refusal->sqlstate() != lock_not_available) throw *refusal;
  std::vector<Statement> undo;
  undo.emplace_back("ROLLBACK TO SAVEPOINT attempt");
  undo.emplace_back("RELEASE SAVEPOINT attempt");
  co_await exec_all(std::move(undo));
  co_return refusal;
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
std::optional<Instant> Connection::certificate_end() const {
  auto* tls = state_->connection ? static_cast<SSL*>(PQsslStruct(state_->connection, "OpenSSL")) : nullptr;
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(tls ? SSL_get1_peer_certificate(tls) : nullptr,
                                                                &X509_free);
  return certificate ? end_of(*certificate) : std::nullopt;
}
bool Connection::encrypted() const {
  return state_->connection && PQsslInUse(state_->connection) != 0;
}

}  // namespace sluice::pg
