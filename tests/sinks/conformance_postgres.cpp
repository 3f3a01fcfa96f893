#include <libpq-fe.h>

#include "tests/sinks/conformance.hpp"
#include "tests/sinks/postgres_fixture.hpp"

namespace sluice::conformance {
namespace {

struct Disconnect {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};

class PostgresUnderTest final : public SinkUnderTest {
 public:
  std::string kind() const override { return "postgres"; }
  Clock& clock() override { return warehouse_.clock; }
  void run(task<void> t) override { warehouse_.run(std::move(t)); }

  std::unique_ptr<Sink> make(Events& events) override {
    return make_postgres_sink(warehouse_.options,
                              SinkContext{"warehouse", warehouse_.io.get_executor(), warehouse_.clock, events});
  }

  std::vector<std::string> query(const std::string& sql) override {
    const auto result = execute(sql);
    std::vector<std::string> rows;
    for (int r = 0; r < PQntuples(result.get()); ++r) {
      auto& row = rows.emplace_back();
      for (int c = 0; c < PQnfields(result.get()); ++c) {
        if (c > 0) row += '|';
        row += PQgetisnull(result.get(), r, c) ? "~" : PQgetvalue(result.get(), r, c);
      }
    }
    return rows;
  }

  std::string shown(Type type, const std::string& value) const override {
    if (type == Type::boolean) return value.substr(0, 1);
    if (type != Type::timestamp) return value;
    auto text = value;
    text[10] = ' ';
    return text.replace(text.size() - 1, 1, "+00");
  }

  std::vector<std::string> tables() override {
    return query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1");
  }

  std::string comment(const std::string& table, const std::string& column) override {
    if (column.empty()) return query("SELECT obj_description('" + table + "'::regclass)").at(0);
    return query("SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = '" + table +
                 "'::regclass AND attname = '" + column + "'")
        .at(0);
  }

 private:
  std::unique_ptr<PGresult, Clear> execute(const std::string& sql) {
    if (!connection_) {
      connection_.reset(PQconnectdb(test::Warehouse::cluster().url(warehouse_.database()).c_str()));
      execute("SET search_path = marketing; SET timezone = 'UTC'");
    }
    std::unique_ptr<PGresult, Clear> result(PQexec(connection_.get(), sql.c_str()));
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return result;
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }

  test::Warehouse warehouse_;
  std::unique_ptr<PGconn, Disconnect> connection_;
};

}  // namespace

std::unique_ptr<SinkUnderTest> postgres_under_test() {
  return std::make_unique<PostgresUnderTest>();
}

}  // namespace sluice::conformance
