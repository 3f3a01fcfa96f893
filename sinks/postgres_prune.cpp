#include "sinks/postgres_prune.hpp"

#include <fmt/format.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t rows_at_once = 1000;
constexpr Duration between_statements = 50ms;

class Pruning {
 public:
  Pruning(PostgresCore& core, Instant before)
      : core_(core), before_(format_instant(before)), key_(advisory_key("sluice prune " + core.options.schema)) {}

  task<std::int64_t> run() {
    if (co_await exists("_sluice_loads")) co_await prune_ledger();
    if (co_await exists("_sluice_quarantine")) {
      std::vector<pg::Param> params{before_};
      co_await repeat(one_step("_sluice_quarantine", "", "l.\"last_seen\" < $1::timestamptz"), std::move(params));
    }
    co_return pruned_;
  }

 private:
  std::string books(std::string_view table) const {
    return quoted_name(core_.options.schema) + "." + quoted_name(table);
  }

  task<bool> exists(std::string_view table) {
    auto session = co_await core_.pool.acquire();
    pg::Statement asked("SELECT to_regclass($1) IS NOT NULL", {books(table)});
    const auto found = co_await session->exec(std::move(asked));
    co_return found.flag(0, 0);
  }

  // Partition by partition, so that an index finds the lines, and the newest of each window is worked out of few.
  task<void> prune_ledger() {
    std::vector<std::pair<std::string, std::string>> places;
    {
      auto session = co_await core_.pool.acquire();
      pg::Statement asked(
          fmt::format("SELECT DISTINCT \"table_name\", \"partition\" FROM {} WHERE \"committed_at\" < $1::timestamptz",
                      books("_sluice_loads")),
          {before_});
      const auto found = co_await session->exec(std::move(asked));
      for (int i = 0; i < found.rows(); ++i) places.emplace_back(found.text(i, 0), found.text(i, 1));
    }
    const auto newest = fmt::format(
        "WITH newest AS MATERIALIZED (SELECT \"window\", max(\"started_at\") AS started_at FROM {} WHERE "
        "\"table_name\" = $2::text AND \"partition\" = $3::text AND NOT \"superseded\" GROUP BY 1) ",
        books("_sluice_loads"));
    const auto step = one_step("_sluice_loads", " LEFT JOIN newest AS n ON n.\"window\" = l.\"window\"",
                               "l.\"table_name\" = $2::text AND l.\"partition\" = $3::text AND l.\"committed_at\" < "
                               "$1::timestamptz AND (l.\"superseded\" OR l.\"window\" LIKE '(%' OR l.\"started_at\" < "
                               "n.started_at)");
    for (const auto& [table, partition] : places) {
      std::vector<pg::Param> params{before_, table, partition};
      co_await repeat(newest + step, std::move(params));
    }
  }

  // Rows that somebody has locked are left for another day, and while another process prunes nothing is found.
  std::string one_step(std::string_view table, std::string_view join, std::string_view condition) const {
    return fmt::format(
        "DELETE FROM {0} WHERE ctid = ANY (ARRAY(SELECT l.ctid FROM {0} AS l{1} WHERE {2} LIMIT {3} FOR UPDATE OF l "
        "SKIP "
        "LOCKED)) AND (SELECT pg_try_advisory_xact_lock({4}))",
        books(table), join, condition, rows_at_once, key_);
  }

  task<void> repeat(std::string sql, std::vector<pg::Param> params) {
    for (;;) {
      std::int64_t gone = 0;
      {
        auto session = co_await core_.pool.acquire();
        pg::Statement statement(sql, params);
        const auto result = co_await session->exec(std::move(statement));
        gone = result.affected();
      }
      pruned_ += gone;
      if (gone < rows_at_once) co_return;
      co_await core_.clock.sleep_for(between_statements);
    }
  }

  PostgresCore& core_;
  const std::string before_, key_;
  std::int64_t pruned_ = 0;
};

}  // namespace

task<std::int64_t> prune_postgres(PostgresCore& core, Instant before) {
  Pruning pruning(core, before);
  co_return co_await pruning.run();
}

}  // namespace sluice
