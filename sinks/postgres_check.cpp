#include "sinks/postgres_check.hpp"

#include <fmt/format.h>

#include "core/check.hpp"
#include "sinks/postgres_statements.hpp"

namespace sluice {
namespace {

constexpr int oldest_server = 120000;

class Check {
 public:
  Check(PostgresCore& core, const std::vector<std::string>& tables)
      : core_(core), schema_(core.options.schema), tables_(tables) {}

  task<std::vector<Finding>> run() {
    std::optional<Error> failure;
    try {
      co_await examine();
    } catch (const Error& error) {
      failure = error;
    }
    if (failure) findings_.emplace_back(Finding::Level::error, failure->what());
    co_return std::move(findings_);
  }

 private:
  void add(Finding::Level level, const std::string& message) {
    findings_.emplace_back(level, fmt::format("sink {}: {}", core_.name, message));
  }
  void ok(const std::string& message) { add(Finding::Level::ok, message); }
  void warn(const std::string& message) { add(Finding::Level::warning, message); }
  void fail(const std::string& message) { add(Finding::Level::error, message); }
  void add(const std::optional<Finding>& finding) {
    if (finding) add(finding->level, finding->message);
  }

  task<void> examine() {
    auto session = co_await core_.pool.acquire();
    co_await who_we_are(*session);
    co_await privileges(*session);
    co_await table_privileges(*session);
    co_await roles(*session);
    co_await clocks(*session);
    if (const auto end = session->certificate_end())
      add(certificate_finding(*end, core_.clock.now(), "the database server's"));
    co_await pooling(*session);
  }

  task<void> who_we_are(pg::Connection& session) {
    const auto r = co_await session.exec(
        "SELECT current_user, current_database(), current_setting('server_version'), inet_client_addr() IS NULL, "
        "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user), current_setting('server_encoding')");
    user_ = r.text(0, 0);
    database_ = r.text(0, 1);
    ok(fmt::format("connected to {} as {}, PostgreSQL {}", database_, user_, r.text(0, 2)));
    if (session.server_version() < oldest_server) fail("PostgreSQL 12 is the oldest that is supported");
    if (!r.flag(0, 3) && !session.encrypted()) warn("the connection is not encrypted (sslmode in the URL)");
    if (r.flag(0, 4)) warn(fmt::format("{} is a superuser; a role of its own with fewer rights is safer", user_));
    if (r.text(0, 5) != "UTF8")
      warn(fmt::format("the database's encoding is {}, which cannot hold every text; make one with ENCODING 'UTF8'",
                       r.text(0, 5)));
  }

  task<void> privileges(pg::Connection& session) {
    pg::Statement asked(
        "SELECT to_regnamespace(quote_ident($1)) IS NOT NULL, has_database_privilege(current_database(), 'CREATE'), "
        "has_database_privilege(current_database(), 'TEMPORARY'), coalesce((SELECT has_schema_privilege(oid, 'CREATE') "
        "AND has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1), false)");
    asked.params = {schema_};
    const auto r = co_await session.exec(std::move(asked));
    const bool there = r.flag(0, 0);
    if (!there && !r.flag(0, 1))
      fail(fmt::format(
          "the schema {0} does not exist and {1} may not create it: CREATE SCHEMA {2} AUTHORIZATION {3}, or "
          "GRANT CREATE ON DATABASE {4} TO {3}",
          schema_, user_, quoted_name(schema_), sql_name(user_), sql_name(database_)));
    if (there && !r.flag(0, 3))
      fail(fmt::format("{} may not create tables in the schema {}: GRANT USAGE, CREATE ON SCHEMA {} TO {}", user_,
                       schema_, quoted_name(schema_), sql_name(user_)));
    if (!r.flag(0, 2))
      fail(fmt::format("{} may not create temporary tables: GRANT TEMPORARY ON DATABASE {} TO {}", user_,
                       sql_name(database_), sql_name(user_)));
  }

  // Of what is there already: tables that somebody else made, or took away.
  task<void> table_privileges(pg::Connection& session) {
    pg::Statement asked(
        "SELECT c.relname, pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'USAGE'), array_to_string(ARRAY(SELECT "
        "p "
        "FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p WHERE NOT has_table_privilege(c.oid, p)), ', "
        "') "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN "
        "('r', "
        "'p') AND (c.relname = ANY ($2::text[]) OR c.relname LIKE '\\_sluice\\_%') ORDER BY 1");
    asked.params = {schema_, array_literal(tables_)};
    const auto r = co_await session.exec(std::move(asked));
    for (int i = 0; i < r.rows(); ++i) {
      const auto name = fmt::format("{}.{}", quoted_name(schema_), quoted_name(r.text(i, 0)));
      if (const auto missing = r.text(i, 3); !missing.empty())
        fail(fmt::format("{0} lacks {1} on the table {2}: GRANT {1} ON {2} TO {3}", user_, missing, name,
                         sql_name(user_)));
      if (!r.flag(i, 2))
        warn(fmt::format(
            "the table {0} belongs to {1}, so {2} cannot add or widen its columns: ALTER TABLE {0} OWNER TO "
            "{3}",
            name, r.text(i, 1), user_, sql_name(user_)));
    }
  }

  task<void> roles(pg::Connection& session) {
    for (const auto& role : core_.options.grant) {
      pg::Statement asked("SELECT 1 FROM pg_roles WHERE rolname = $1");
      asked.params = {role};
      const auto found = co_await session.exec(std::move(asked));
      if (found.rows() == 0)
        fail(fmt::format("grant: there is no role {}; CREATE ROLE {}, or correct the name", role, sql_name(role)));
    }
  }

  task<void> clocks(pg::Connection& session) {
    const auto asked = core_.clock.now();
    const auto r = co_await session.exec("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    const auto theirs = parse_instant(r.text(0, 0)).value();
    // It was read somewhere between question and answer.
    add(clock_finding(std::clamp(theirs, asked, std::max(asked, core_.clock.now())), theirs, "the database server's"));
  }

  // A proxy that pools by transaction hands a session's backend on between two of its transactions, and the temporary
  // tables with it.
  task<void> pooling(pg::Connection& session) {
    const auto pid = co_await backend(session);
    auto second = core_.pool.acquire();
    const auto patience = core_.options.connect_timeout;
    auto other = co_await with_timeout(core_.clock, patience, std::move(second));
    if (!other) {
      fail(fmt::format(
          "a second connection is not given within {}: a pooler's pool_size, or the server's max_connections, "
          "has no room for the sink's max_connections ({})",
          format_duration(patience), core_.options.max_connections));
      co_return;
    }
    co_await (*other)->exec("BEGIN");
    const auto theirs = co_await backend(**other);
    // Where both share one backend, ours would wait for the end of their transaction.
    bool by_transaction = theirs == pid;
    if (!by_transaction) {
      const auto again = co_await backend(session);
      by_transaction = again != pid;
    }
    co_await (*other)->exec("ROLLBACK");
    if (by_transaction)
      fail(
          "a proxy before the server pools by transaction, and sluice's temporary tables get lost in it: let it pool "
          "this "
          "user by session (PgBouncer: pool_mode = session), or connect to the server itself");
    else if (session.backend_pid() != pid)
      ok("a pooler stands before the server, and keeps sessions");
  }

  static task<std::int64_t> backend(pg::Connection& session) {
    const auto r = co_await session.exec("SELECT pg_backend_pid()");
    co_return r.integer(0, 0);
  }

  PostgresCore& core_;
  const std::string& schema_;
  const std::vector<std::string>& tables_;
  std::string user_, database_;
  std::vector<Finding> findings_;
};

}  // namespace

task<std::vector<Finding>> check_postgres(PostgresCore& core, std::vector<std::string> tables) {
  Check check(core, tables);
  co_return co_await check.run();
}

}  // namespace sluice
