#include <fmt/format.h>

#include <algorithm>

#include "sinks/postgres.hpp"
#include "sinks/postgres_catalog.hpp"
#include "sinks/postgres_check.hpp"
#include "sinks/postgres_load.hpp"
#include "sinks/postgres_prune.hpp"

namespace sluice {
namespace {

constexpr std::string_view undefined_table = "42P01";
constexpr std::string_view undefined_schema = "3F000";

// Runs a query that finds nothing where sluice has not been yet.
task<std::optional<pg::Result>> query(pg::Connection& session, pg::Statement statement) {
  std::optional<pg::Result> result;
  std::optional<pg::PgError> failure;
  try {
    result = co_await session.exec(std::move(statement));
  } catch (const pg::PgError& error) {
    failure = error;
  }
  if (failure && failure->sqlstate() != undefined_table && failure->sqlstate() != undefined_schema) throw *failure;
  co_return result;
}

class PostgresSink final : public Sink {
 public:
  PostgresSink(PostgresOptions options, const SinkContext& context, pg::Target target)
      : core_(std::make_shared<PostgresCore>(std::move(options), context, std::move(target))) {}

  ~PostgresSink() override { core_->pool.close(); }

  task<std::vector<std::string>> plan(const Table& table) override {
    auto session = co_await core_->pool.acquire();
    session->set_context("table " + table.name);
    std::vector<std::string> statements = co_await missing_basics(*session);
    const auto found = co_await read_table(*session, schema(), table.name);
    for (const auto& action : plan_table(table, existing(found)))
      for (auto& sql : statements_of(table, action, session->server_version())) statements.push_back(std::move(sql));
    co_return statements;
  }

  task<std::map<std::string, std::string>> prepare(const Table& table) override {
    auto session = co_await core_->pool.acquire();
    session->set_context("table " + table.name);
    std::map<std::string, std::string> changes;
    auto found = co_await read_table(*session, schema(), table.name);
    auto actions = plan_table(table, existing(found));
    const auto basics = co_await missing_basics(*session);
    const bool something =
        !basics.empty() || std::any_of(actions.begin(), actions.end(), [](const TableAction& action) {
          return !std::holds_alternative<RefuseColumn>(action);
        });
    std::exception_ptr failure;
    if (something) {
      try {
        co_await alter(*session, table, changes);
      } catch (const Error&) {
        failure = std::current_exception();
      }
      // Ends the transaction, and the locks, at once.
      if (failure) session->close();
      if (failure) std::rethrow_exception(failure);
      found = co_await read_table(*session, schema(), table.name);
    }
    for (const auto& action : actions)
      if (const auto* refused = std::get_if<RefuseColumn>(&action)) refuse(changes, refused->name, refused->why);
    core_->tables.insert_or_assign(table.name, std::move(*found));
    co_return changes;
  }

  task<Progress> progress(const LaneId& lane, const std::string& table, const std::string& days) override {
    auto session = co_await core_->pool.acquire();
    pg::Statement statement(fmt::format(
        "SELECT \"version\", to_char(\"updated_at\", 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \"done_to\", "
        "coalesce(\"table_name\" = $5 AND \"days\" = $6, false) AND to_regclass($7) IS NOT NULL FROM {} WHERE "
        "\"pipeline\" = $1 AND \"stream\" = $2 AND \"partition\" = $3 AND \"lane\" = $4",
        bookkeeping("_sluice_progress")));
    statement.params = {lane.pipeline, lane.stream, lane.partition, lane.lane, table, days, bookkeeping(table)};
    const auto result = co_await query(*session, std::move(statement));
    Progress progress;
    if (!result || result->rows() == 0) co_return progress;
    progress.version = result->integer(0, 0);
    progress.updated_at = parse_instant(result->text(0, 1));
    if (result->flag(0, 3)) progress.done_to = result->maybe(0, 2);
    co_return progress;
  }

  task<std::vector<std::pair<LaneId, Progress>>> lanes(const std::string& pipeline) override {
    auto session = co_await core_->pool.acquire();
    pg::Statement statement(
        fmt::format("SELECT \"stream\", \"partition\", \"lane\", \"done_to\", \"version\" FROM {} WHERE "
                    "\"pipeline\" = $1 ORDER BY 1, 2, 3",
                    bookkeeping("_sluice_progress")));
    statement.params = {pipeline};
    const auto result = co_await query(*session, std::move(statement));
    std::vector<std::pair<LaneId, Progress>> found;
    for (int i = 0; result && i < result->rows(); ++i) {
      Progress progress;
      progress.done_to = result->maybe(i, 3);
      progress.version = result->integer(i, 4);
      LaneId lane(pipeline, result->text(i, 0), result->text(i, 1), result->text(i, 2));
      found.emplace_back(std::move(lane), std::move(progress));
    }
    co_return found;
  }

  task<std::vector<std::string>> loaders(const std::string& table) override {
    auto session = co_await core_->pool.acquire();
    pg::Statement statement(
        fmt::format("SELECT DISTINCT \"pipeline\" FROM {} WHERE \"table_name\" = $1 AND NOT \"superseded\" ORDER BY 1",
                    bookkeeping("_sluice_loads")));
    statement.params = {table};
    const auto result = co_await query(*session, std::move(statement));
    std::vector<std::string> pipelines;
    for (int i = 0; result && i < result->rows(); ++i) pipelines.push_back(result->text(i, 0));
    co_return pipelines;
  }

  task<std::vector<DayWindow>> loaded_days(const std::string& table, const std::string& partition) override {
    auto session = co_await core_->pool.acquire();
    pg::Statement statement(
        fmt::format("SELECT DISTINCT \"window\" FROM {} WHERE \"table_name\" = $1 AND \"partition\" = $2 AND NOT "
                    "\"superseded\"",
                    bookkeeping("_sluice_loads")));
    statement.params = {table, partition};
    const auto result = co_await query(*session, std::move(statement));
    std::vector<DayWindow> windows;
    for (int i = 0; result && i < result->rows(); ++i)
      if (const auto window = parse_day_window(result->text(i, 0))) windows.push_back(*window);
    co_return windows;
  }

  task<std::vector<std::string>> columns_of(const std::string& table) override {
    auto session = co_await core_->pool.acquire();
    const auto found = existing(co_await read_table(*session, schema(), table));
    std::vector<std::string> columns;
    if (found)
      for (const auto& column : found->columns) columns.push_back(column.name);
    co_return columns;
  }

  task<std::unique_ptr<Load>> open(const Table& table, const LaneId& lane, const Slice& slice, const std::string& run,
                                   Instant read_started) override {
    if (!core_->tables.contains(table.name)) {
      auto session = co_await core_->pool.acquire();
      auto found = co_await read_table(*session, schema(), table.name);
      if (!found)
        throw Error(Remedy::retry, fmt::format("sink {}: the table {} is not there; it was dropped or never prepared",
                                               core_->name, table.name));
      core_->tables.insert_or_assign(table.name, std::move(*found));
    }
    co_return make_postgres_load(core_, table, lane, slice, run, read_started);
  }

  task<std::int64_t> count_quarantined(const std::string& pipeline, const std::string& stream) override {
    auto session = co_await core_->pool.acquire();
    pg::Statement statement(fmt::format("SELECT count(*) FROM {} WHERE \"pipeline\" = $1 AND \"stream\" = $2",
                                        bookkeeping("_sluice_quarantine")));
    statement.params = {pipeline, stream};
    const auto result = co_await query(*session, std::move(statement));
    std::int64_t count = 0;
    if (result) count = result->integer(0, 0);
    co_return count;
  }

  task<std::vector<QuarantinedRow>> quarantined(const std::string& pipeline, const std::string& stream,
                                                const QuarantineFilter& filter, std::size_t limit) override {
    auto session = co_await core_->pool.acquire();
    auto statement = of_quarantine(
        "SELECT \"id\", \"slice\", \"key\", \"reason\", \"rule\", \"raw\", \"run\", to_char(\"first_seen\", "
        "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), to_char(\"last_seen\", 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
        pipeline, stream, filter);
    statement.sql += " ORDER BY \"last_seen\" DESC, \"id\" LIMIT " + std::to_string(limit);
    const auto result = co_await query(*session, std::move(statement));
    std::vector<QuarantinedRow> found;
    for (int i = 0; result && i < result->rows(); ++i) {
      QuarantinedRow row;
      int column = 0;
      for (auto* field :
           {&row.id, &row.slice, &row.key, &row.reason, &row.rule, &row.raw, &row.run, &row.first_seen, &row.last_seen})
        *field = result->text(i, column++);
      found.push_back(std::move(row));
    }
    co_return found;
  }

  task<std::vector<QuarantinedRead>> quarantined_reads(const std::string& pipeline, const std::string& stream,
                                                       const QuarantineFilter& filter) override {
    auto session = co_await core_->pool.acquire();
    auto statement = of_quarantine("SELECT \"slice\", \"run\", max(\"last_seen\") AS seen", pipeline, stream, filter);
    statement.sql = fmt::format(
        "SELECT q.\"slice\", q.\"run\", to_char(coalesce(l.started, q.seen), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
        "coalesce(l.complete, true) FROM "
        "({} GROUP BY 1, 2) AS q LEFT JOIN (SELECT \"slice\", \"run\", max(\"started_at\") AS started, "
        "bool_and(\"complete\") AS complete FROM {} WHERE "
        "\"pipeline\" = $1 AND \"stream\" = $2 GROUP BY 1, 2) AS l USING (\"slice\", \"run\") ORDER BY 3 DESC, 1",
        statement.sql, bookkeeping("_sluice_loads"));
    const auto result = co_await query(*session, std::move(statement));
    std::vector<QuarantinedRead> reads;
    for (int i = 0; result && i < result->rows(); ++i)
      reads.push_back({result->text(i, 0), result->text(i, 1), parse_instant(result->text(i, 2)).value(),
                       result->text(i, 3) == "t"});
    co_return reads;
  }

  task<std::int64_t> drop_quarantined(const std::string& pipeline, const std::string& stream,
                                      const QuarantineFilter& filter) override {
    auto session = co_await core_->pool.acquire();
    auto statement = of_quarantine("DELETE", pipeline, stream, filter);
    const auto result = co_await query(*session, std::move(statement));
    co_return result ? result->affected() : 0;
  }

  task<std::int64_t> prune(Instant before) override { return prune_postgres(*core_, before); }

  task<std::vector<Finding>> check(std::vector<std::string> tables) override {
    return check_postgres(*core_, std::move(tables));
  }

  task<void> close() override {
    core_->pool.close();
    co_return;
  }

 private:
  const std::string& schema() const { return core_->options.schema; }
  std::string bookkeeping(std::string_view table) const { return quoted_name(schema()) + "." + quoted_name(table); }

  // `what` FROM the quarantine, its rows that the filter lets through.
  pg::Statement of_quarantine(std::string_view what, const std::string& pipeline, const std::string& stream,
                              const QuarantineFilter& filter) const {
    pg::Statement statement(
        fmt::format("{} FROM {} WHERE \"pipeline\" = $1 AND \"stream\" = $2", what, bookkeeping("_sluice_quarantine")));
    statement.params = {pipeline, stream};
    const auto narrow = [&](std::string_view condition, const std::string& value) {
      if (value.empty()) return;
      statement.params.emplace_back(value);
      statement.sql += fmt::format(" AND {} ${}::text", condition, statement.params.size());
    };
    narrow("\"id\" =", filter.id);
    narrow("\"slice\" =", filter.slice);
    narrow("\"rule\" =", filter.rule);
    narrow("\"run\" =", filter.run);
    if (!filter.since) return statement;
    statement.params.emplace_back(format_instant(*filter.since));
    statement.sql += fmt::format(" AND \"last_seen\" >= ${}::timestamptz", statement.params.size());
    return statement;
  }

  static std::optional<ExistingTable> existing(const std::optional<PostgresTable>& found) {
    std::optional<ExistingTable> table;
    if (found) table = found->existing();
    return table;
  }

  std::vector<std::string> statements_of(const Table& table, const TableAction& action, int server_version) const {
    if (std::holds_alternative<CreateTable>(action)) return create_table(table, schema(), core_->options.grant);
    if (const auto* added = std::get_if<AddColumn>(&action)) return add_column(table, schema(), *added);
    if (const auto* wider = std::get_if<WidenColumn>(&action))
      return {widen_column(table, schema(), *wider, server_version)};
    if (const auto* index = std::get_if<AddIndex>(&action)) return {add_index(table, schema(), *index)};
    return {};
  }

  // The schema and sluice's own tables, as far as they are missing.
  task<std::vector<std::string>> missing_basics(pg::Connection& session) {
    pg::Statement asked_schema("SELECT to_regnamespace(quote_ident($1)) IS NOT NULL");
    asked_schema.params = {schema()};
    const auto has_schema = co_await session.exec(std::move(asked_schema));
    std::vector<std::string> statements;
    if (!has_schema.flag(0, 0)) {
      statements.push_back("CREATE SCHEMA IF NOT EXISTS " + quoted_name(schema()));
      for (const auto& role : core_->options.grant)
        statements.push_back(fmt::format("GRANT USAGE ON SCHEMA {} TO {}", quoted_name(schema()), sql_name(role)));
    }
    pg::Statement asked_columns(
        "SELECT c.relname || '.' || a.attname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN "
        "pg_attribute AS a ON a.attrelid = c.oid WHERE n.nspname = $1 AND c.relname LIKE '\\_sluice\\_%' AND a.attnum "
        "> 0 "
        "AND NOT a.attisdropped AND c.relkind IN ('r', 'p')");
    asked_columns.params = {schema()};
    const auto columns = co_await session.exec(std::move(asked_columns));
    std::set<std::string> present;
    for (int i = 0; i < columns.rows(); ++i) present.insert(columns.text(i, 0));
    for (auto& sql : bookkeeping_ddl(schema(), present)) statements.push_back(std::move(sql));
    co_return statements;
  }

  // The books speak of a table of that name that is no more.
  task<void> forget(pg::Connection& session, const std::string& table) {
    std::vector<pg::Statement> statements;
    statements.emplace_back(fmt::format("UPDATE {} SET \"done_to\" = NULL, \"version\" = \"version\" + 1 WHERE "
                                        "\"table_name\" = $1",
                                        bookkeeping("_sluice_progress")),
                            std::vector<pg::Param>{table});
    statements.emplace_back(
        fmt::format("UPDATE {} SET \"superseded\" = true WHERE \"table_name\" = $1", bookkeeping("_sluice_loads")),
        std::vector<pg::Param>{table});
    co_await session.exec_all(std::move(statements));
  }

  // All in one transaction, one process at a time; what there is to do is worked out anew under the lock.
  task<void> alter(pg::Connection& session, const Table& table, std::map<std::string, std::string>& changes) {
    std::vector<pg::Statement> begin;
    begin.emplace_back("BEGIN");
    begin.emplace_back("SET LOCAL lock_timeout = '5s'");
    begin.emplace_back("SELECT pg_advisory_xact_lock($1::bigint)",
                       std::vector<pg::Param>{advisory_key("sluice prepare " + schema())});
    co_await session.exec_all(std::move(begin));
    const auto basics = co_await missing_basics(session);
    for (const auto& sql : basics) co_await session.exec(sql);
    const auto found = co_await read_table(session, schema(), table.name);
    if (!found) co_await forget(session, table.name);
    for (const auto& action : plan_table(table, existing(found))) {
      if (const auto* wider = std::get_if<WidenColumn>(&action)) {
        co_await widen(session, table, *wider, changes);
        continue;
      }
      for (const auto& sql : statements_of(table, action, session.server_version())) co_await session.exec(sql);
      if (const auto* added = std::get_if<AddColumn>(&action); added && table.find(added->name))
        changes[added->name] = "column_added";
    }
    const auto committed = co_await session.exec("COMMIT");
    if (committed.tag() != "COMMIT")
      throw Error(Remedy::retry, fmt::format("sink {}, table {}: the server rolled the change of the table back",
                                             core_->name, table.name));
  }

  // Where a view or a lock forbids it the column stays, and its rows that do not fit are set aside.
  task<void> widen(pg::Connection& session, const Table& table, const WidenColumn& action,
                   std::map<std::string, std::string>& changes) {
    std::vector<pg::Statement> statements;
    statements.emplace_back(widen_column(table, schema(), action, session.server_version()));
    const auto refusal = co_await session.attempt(std::move(statements));
    if (!refusal) {
      changes[action.name] = "widened";
      co_return;
    }
    refuse(changes, action.name,
           fmt::format("column {} could not be widened to {}; its values that do not fit go to the quarantine: {}",
                       action.name, to_string(action.to), refusal->what()));
  }

  void refuse(std::map<std::string, std::string>& changes, const std::string& column, const std::string& why) {
    changes[column] = "refused";
    core_->events.emit(Notice{Level::warning, {}, {}, fmt::format("sink {}: {}", core_->name, why), {}, core_->name});
  }

  std::shared_ptr<PostgresCore> core_;
};

}  // namespace

std::unique_ptr<Sink> make_postgres_sink(PostgresOptions options, const SinkContext& context) {
  static_cast<void>(quoted_name(options.schema));
  pg::Target target;
  target.who = "sink " + context.name;
  target.url = options.url;
  target.password = options.password;
  target.ca_file = options.ca_file;
  target.connect_timeout = options.connect_timeout;
  target.statement_timeout = options.statement_timeout;
  target.answer_grace = options.answer_grace;
  target.lock_timeout = options.lock_timeout;
  static_cast<void>(pg::connection_parameters(target));  // a URL that cannot be read is said now
  return std::make_unique<PostgresSink>(std::move(options), context, std::move(target));
}

}  // namespace sluice
