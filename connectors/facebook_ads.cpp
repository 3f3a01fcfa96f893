#include "connectors/facebook_ads.hpp"

#include <cctz/time_zone.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "connectors/facebook_ads_accounts.hpp"
#include "connectors/facebook_ads_api.hpp"
#include "connectors/facebook_ads_insights.hpp"
#include "connectors/facebook_ads_objects.hpp"
#include "connectors/facebook_ads_streams.hpp"
#include "core/read_json.hpp"

namespace sluice {
namespace facebook {
namespace {

using namespace std::chrono_literals;

class FacebookAds final : public Connector {
 public:
  FacebookAds(const Settings& source, const ConnectorContext& context)
      : api_(source, context), accounts_(api_), reports_(api_), insights_(api_, reports_) {}

  std::vector<StreamSpec> catalogue() const override { return facebook::catalogue(); }
  StreamSpec configure(const std::string& from, const Settings& options, Faults& faults) const override {
    return facebook::configure(from, options, faults);
  }
  task<std::vector<Partition>> partitions(const StreamSpec& stream) override;
  task<std::string> horizon(const StreamSpec& stream, const Partition& partition, Instant at) override;
  task<void> read(const StreamSpec& stream, const Slice& slice, Output& out) override;
  Batch parse(const StreamSpec& stream, const std::string& partition, std::string_view reply) const override;
  std::optional<Day> earliest(const StreamSpec& stream, const Partition& partition) const override;
  // Reports are made by Meta while we wait: waiting for several costs nothing.
  int parallel_slices() const override { return 8; }
  std::optional<std::int64_t> estimated_requests(const StreamSpec& stream, std::int64_t slices) const override;
  std::string waiting_for() override { return api_.waiting_for(); }
  std::string base_url() const override { return api_.base_url(); }
  task<std::vector<Finding>> check() override;

 private:
  task<void> check_token(std::vector<Finding>& findings);
  task<void> check_accounts(std::vector<Finding>& findings);

  GraphApi api_;
  Accounts accounts_;
  Reports reports_;
  InsightsReader insights_;
};

task<std::vector<Partition>> FacebookAds::partitions(const StreamSpec& stream) {
  if (stream.partition_column.empty()) co_return std::vector<Partition>(1, Partition(""));
  co_return co_await accounts_.partitions();
}

task<std::string> FacebookAds::horizon(const StreamSpec& stream, const Partition&, Instant at) {
  // By Meta's clock: what one that is ahead of it calls now is still to come, and would never be asked for again.
  at = std::min(at, api_.now());
  co_return format_instant(std::chrono::floor<std::chrono::seconds>(at - stream.settle));
}

task<void> FacebookAds::read(const StreamSpec& stream, const Slice& slice, Output& out) {
  if (stream.cursor == Cursor::date) return insights_.read(stream, slice, out);
  if (stream.cursor == Cursor::none) return read_accounts(api_, stream, out);
  return read_objects(api_, stream, slice, out);
}

Batch FacebookAds::parse(const StreamSpec& stream, const std::string&, std::string_view reply) const {
  const auto answer = read_json(reply);
  if (answer.is_object() && answer.contains("error"))
    throw Error(Remedy::give_up, fmt::format("the API refused: {}", answer["error"].dump()));
  auto mapper = object_mapper(stream);  // of insights too: they have no `id`, which it passes over
  auto batch = mapper.map_saved(std::string(reply), "data");
  keep_each_creative_once(batch, stream);
  return batch;
}

std::optional<Day> FacebookAds::earliest(const StreamSpec& stream, const Partition& partition) const {
  if (stream.cursor != Cursor::date) return {};
  const auto today = day_of(api_.clock().now(), partition.zone);
  return first_kept(today, insights_query(stream).hourly() ? kept_months_in_parts : kept_months);
}

std::optional<std::int64_t> FacebookAds::estimated_requests(const StreamSpec& stream, std::int64_t slices) const {
  // A report: one to submit it, three to watch it, one page.
  return stream.cursor == Cursor::date ? slices * 5 : slices;
}

task<void> FacebookAds::check_token(std::vector<Finding>& findings) {
  Headers parameters{{"fields", "id,name"}};
  Caller caller("");
  const auto answer = co_await api_.get("me", std::move(parameters), std::move(caller));
  const auto me = read_json(answer.body);
  const auto name = me.is_object() ? me.value("name", nlohmann::json()) : nlohmann::json();
  findings.emplace_back(Finding::Level::ok,
                        fmt::format("the access token is valid: it belongs to {}",
                                    name.is_string() ? name.get<std::string>() : "a user without a name"));
  if (const auto warning = api_.dialect().judge(HttpRequest(), answer).version_warning)
    findings.emplace_back(Finding::Level::warning, *warning);
}

task<void> FacebookAds::check_accounts(std::vector<Finding>& findings) {
  const auto accounts = co_await accounts_.fetch();
  for (const auto& account : accounts) {
    if (account.active)
      findings.emplace_back(Finding::Level::ok, fmt::format("ad account {} \"{}\", days are those of {}", account.id,
                                                            account.name, account.zone.name()));
    else
      findings.emplace_back(Finding::Level::warning,
                            fmt::format("ad account {} is left out: {}", account.id, account.inactive_reason));
  }
}

task<std::vector<Finding>> FacebookAds::check() {
  std::vector<Finding> findings;
  try {
    co_await check_token(findings);
    co_await check_accounts(findings);
  } catch (const Error& error) {
    findings.emplace_back(Finding::Level::error, error.what());
  }
  co_return findings;
}

std::unique_ptr<Connector> make(const Settings& source, const ConnectorContext& context) {
  return std::make_unique<FacebookAds>(source, context);
}

}  // namespace
}  // namespace facebook

ConnectorKind facebook_ads() {
  return {"facebook_ads", facebook::source_options(), facebook::stream_options(), facebook::make};
}

}  // namespace sluice
