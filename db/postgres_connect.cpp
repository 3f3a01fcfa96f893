#include <fmt/format.h>

#include <algorithm>

#include "core/look_up.hpp"
#include "db/postgres_state.hpp"

namespace sluice::pg {
namespace {

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

task<std::vector<std::string>> addresses_of(const Endpoint& endpoint, const Target& target) {
  std::vector<std::string> found;
  if (!endpoint.needs_lookup) {
    found.emplace_back();
    co_return found;
  }
  error_code failure;
  const auto deadline = std::chrono::steady_clock::now() + target.connect_timeout;
  const auto addresses = co_await look_up(endpoint.host, deadline, failure);
  if (failure)
    throw PgError(
        Remedy::retry, "", false,
        fmt::format("{}: the host name {} cannot be resolved ({}); look at the name and at this machine's DNS",
                    target.who, endpoint.host,
                    failure == asio::error::timed_out ? "it took too long" : failure.message()));
  for (const auto& address : addresses) found.push_back(address.to_string());
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
  // Set after connecting: poolers refuse what they do not know in the start-up packet. Read committed: what a lock made
  // wait for must be seen once the lock is had.
  Statement statement(
      "SELECT pg_catalog.set_config(s.name, s.value, false) FROM (VALUES ('search_path', 'pg_catalog'), ('TimeZone', "
      "'UTC'), "
      "('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'iso_8601'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), "
      "('client_min_messages', 'warning'), ('standard_conforming_strings', 'on'), ('statement_timeout', $1), "
      "('lock_timeout', $2), ('idle_in_transaction_session_timeout', '300000'), "
      "('default_transaction_isolation', 'read committed'), "
      // A machine that is gone keeps its locks for a minute, not for two hours.
      "('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'), "
      "('idle_session_timeout', CASE WHEN $3::int >= 140000 THEN '0' END), "
      "('client_connection_check_interval', CASE WHEN $3::int >= 140000 THEN '10000' END), "
      "('transaction_timeout', CASE WHEN $3::int >= 170000 THEN '0' END)) AS s (name, value) "
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
      addresses = co_await addresses_of(endpoint, target);
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
