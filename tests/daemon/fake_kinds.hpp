#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "daemon/options.hpp"

// A connector and a sink that are known to the configuration and do nothing: for testing what the file may say.

namespace sluice::test {

class FakeConnector final : public Connector {
 public:
  std::vector<StreamSpec> catalogue() const override {
    StreamSpec accounts;
    accounts.name = "accounts";
    accounts.columns = {Column("id", Type::text, "", true), Column("name", Type::text)};
    accounts.key = {"id"};

    StreamSpec campaigns;
    campaigns.name = "campaigns";
    campaigns.columns = {Column("id", Type::text, "", true), Column("name", Type::text),
                         Column("updated_time", Type::timestamp)};
    campaigns.key = {"id"};
    campaigns.cursor = Cursor::value;
    campaigns.cursor_column = "updated_time";

    StreamSpec insights;
    insights.name = "insights";
    insights.columns = {Column("account_id", Type::text), Column("date_start", Type::date), Column("ad_id", Type::text),
                        Column("impressions", Type::int64), Column("spend", Type::decimal)};
    insights.key = {"account_id", "date_start", "ad_id"};
    insights.cursor = Cursor::date;
    insights.partition_column = "account_id";
    insights.cursor_column = "date_start";
    insights.lookback = std::chrono::hours(28 * 24);

    StreamSpec log;
    log.name = "log";
    log.columns = {Column("line", Type::text)};
    return {accounts, campaigns, insights, log};
  }

  StreamSpec configure(const std::string& from, const Settings& options, Faults& faults) const override {
    for (auto& spec : catalogue()) {
      if (spec.name != (from == "query" ? "insights" : from)) continue;
      if (from == "query") {
        spec.slice_days = 0;
        spec.mode = LoadMode::append;
        spec.key.clear();
      }
      if (options.has("level") && from != "insights")
        faults.emplace_back(options.where("level"), "\"level\" belongs to insights");
      return spec;
    }
    throw std::logic_error("configure was asked for a stream that is not in the catalogue");
  }
  task<std::vector<Partition>> partitions(const StreamSpec&) override { co_return std::vector<Partition>(); }
  task<std::string> horizon(const StreamSpec&, const Partition&, Instant) override { co_return std::string(); }
  task<void> read(const StreamSpec&, const Slice&, Output&) override { co_return; }
  Batch parse(const StreamSpec& spec, const std::string&, std::string_view) const override {
    return Batch(spec.columns.size());
  }
  task<std::vector<Finding>> check() override { co_return std::vector<Finding>(); }
};

inline Kinds fake_kinds() {
  static constexpr std::string_view levels[] = {"campaign", "ad"};
  static constexpr Option rate[] = {{"rate", Value::rate, "How fast.", "10/s"},
                                    {"target", Value::percent, "Share of the quota.", "75%"}};
  static constexpr Option source[] = {{"access_token", Value::secret, "The token.", {}, true},
                                      {"accounts", Value::text_list, "Ad accounts."},
                                      {"base_url", Value::text, "Where the API is."},
                                      {"rate_limit", Value::table, "How fast it may be asked.", {}, false, rate}};
  static constexpr Option stream[] = {{"level", Value::choice, "One row per …", {}, false, {}, levels},
                                      {"breakdowns", Value::text_list, "Finer rows."},
                                      {"query", Value::text, "A stream of one's own."}};
  static constexpr Option sink[] = {{"url", Value::text, "Where the database is.", {}, true},
                                    {"password", Value::secret, "Its password."},
                                    {"max_connections", Value::integer, "At most.", "4", false, {}, {}, "2"}};
  static const ConnectorKind connectors[] = {
      {"fake_ads", source, stream,
       [](const Settings& settings, const ConnectorContext&) -> std::unique_ptr<Connector> {
         if (settings.has("base_url") && settings.text("base_url") == "refused")
           throw Error(Remedy::give_up, "the source refuses its base_url");
         return std::make_unique<FakeConnector>();
       },
       "query"}};
  static constexpr auto url_fault = [](const std::string& url) -> std::optional<std::string> {
    if (url != "nonsense") return {};
    return "expected sense";
  };
  static const SinkKind sinks[] = {{"fake_db", sink, true, url_fault, nullptr},
                                   {"fake_file", sink, false, url_fault, nullptr}};
  return {connectors, sinks};
}

}  // namespace sluice::test
