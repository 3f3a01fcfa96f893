#include "daemon/yaml.hpp"
#include "db/sqlite.hpp"
#include "sinks/sqlite.hpp"
#include "tests/sinks/conformance.hpp"
#include "tests/support/folder.hpp"
#include "tests/support/world.hpp"

namespace sluice::conformance {
namespace {

class SqliteUnderTest final : public SinkUnderTest {
 public:
  std::string kind() const override { return "sqlite"; }
  Clock& clock() override { return world_.clock(); }
  void run(task<void> t) override { world_.run(std::move(t)); }

  std::unique_ptr<Sink> make(Events& events) override {
    return sqlite_sink_at(path_, world_.executor(), world_.clock(), events);
  }

  std::vector<std::string> query(const std::string& sql) override {
    sqlite::Database database(path_);
    auto statement = database.prepare(sql);
    std::vector<std::string> rows;
    while (statement.step()) {
      auto& row = rows.emplace_back();
      for (int i = 0; i < statement.columns(); ++i) row += (i == 0 ? "" : "|") + statement.maybe_text(i).value_or("~");
    }
    return rows;
  }

  std::string shown(Type type, const std::string& value) const override {
    if (type == Type::boolean) return value == "true" ? "1" : "0";
    if (type == Type::timestamp && value.size() == 20) return value.substr(0, 19) + ".000000Z";
    if (type == Type::time && value.size() == 8) return value + ".000000";
    return value;
  }

  std::vector<std::string> tables() override {
    return query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1");
  }

  // SQLite keeps the remarks of CREATE TABLE.
  std::string comment(const std::string& table, const std::string& column) override {
    const auto sql = query("SELECT sql FROM sqlite_schema WHERE name = '" + table + "'").at(0);
    const auto from = column.empty() ? sql.find("--") : sql.find('"' + column + '"');
    return sql.substr(from, sql.find('\n', from) - from);
  }

 private:
  test::Folder folder_;
  const std::string path_ = folder_ / "warehouse.db";
  test::World world_;
};

}  // namespace

std::unique_ptr<Sink> sqlite_sink_at(const std::string& path, asio::any_io_executor executor, Clock& clock,
                                     Events& events) {
  Faults faults;
  const auto kind = sqlite_sink();
  const auto settings = parse_settings("url: sqlite://" + path, "test.yaml", kind.options, faults);
  if (!faults.empty()) throw std::logic_error(faults[0].message);
  return kind.make(settings, SinkContext{"warehouse", std::move(executor), clock, events});
}

std::unique_ptr<SinkUnderTest> sqlite_under_test() {
  return std::make_unique<SqliteUnderTest>();
}

}  // namespace sluice::conformance
