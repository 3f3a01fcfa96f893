#include "connectors/google_ads.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/google_ads_api.hpp"
#include "connectors/google_ads_customers.hpp"
#include "connectors/google_ads_fields.hpp"
#include "connectors/google_ads_json.hpp"
#include "connectors/google_ads_rows.hpp"
#include "connectors/google_ads_streams.hpp"
#include "core/read_json.hpp"

namespace sluice {
namespace google {
namespace {

using namespace std::chrono_literals;

// Google: days, weeks and hours are kept for 37 months.
constexpr int kept_months = 36;

class GoogleAds final : public Connector {
 public:
  GoogleAds(const Settings& source, const ConnectorContext& context)
      : api_(source, context), customers_(api_), reports_(api_) {}

  std::vector<StreamSpec> catalogue() const override { return google::catalogue(); }
  StreamSpec configure(const std::string& from, const Settings& options, Faults& faults) const override {
    return google::configure(from, options, faults);
  }
  task<std::map<std::string, DataType>> types(const StreamSpec& stream) override;
  task<std::vector<Partition>> partitions(const StreamSpec& stream) override;
  task<std::string> horizon(const StreamSpec& stream, const Partition& partition, Instant at) override;
  task<void> read(const StreamSpec& stream, const Slice& slice, Output& out) override;
  Batch parse(const StreamSpec& stream, const std::string& partition, std::string_view reply) const override;
  std::optional<Day> earliest(const StreamSpec& stream, const Partition& partition) const override;
  std::optional<std::int64_t> estimated_requests(const StreamSpec&, std::int64_t slices) const override {
    return slices;
  }
  std::string waiting_for() override { return api_.waiting_for(); }
  std::string base_url() const override { return api_.base_url(); }
  task<std::vector<Finding>> check() override;

 private:
  task<void> check_version(std::vector<Finding>& findings);
  task<void> check_customers(std::vector<Finding>& findings);
  task<void> ask_types(std::vector<std::string> fields);

  GoogleApi api_;
  Customers customers_;
  Reports reports_;
  std::map<std::string, DataType> types_;  // of fields, as the API said
};

// Each of the fields that nobody here knows is asked about once, all of a query together.
task<std::map<std::string, DataType>> GoogleAds::types(const StreamSpec& stream) {
  const auto query = query_of(stream);
  std::vector<std::string> unknown;
  for (const auto& field : query.fields)
    if (!known_type(field) && !types_.contains(field)) unknown.push_back(field);
  if (!unknown.empty()) co_await ask_types(std::move(unknown));
  std::map<std::string, DataType> types;
  for (const auto& field : query.fields)
    if (!known_type(field)) types.emplace(column_of(field), types_.at(field));
  co_return types;
}

task<void> GoogleAds::ask_types(std::vector<std::string> fields) {
  std::string names;
  for (const auto& field : fields) names += fmt::format("{}'{}'", names.empty() ? "" : ", ", field);
  const auto query = fmt::format("SELECT name, data_type, is_repeated WHERE name IN ({})", names);
  PageGuard guard;
  for (std::string token;;) {
    const auto answer = co_await api_.fields(query, token);
    const auto page = read_json(answer.body);
    if (!page.is_object()) throw Error(Remedy::retry, "the metadata of fields is not the JSON it should be");
    for (const auto& row : member(page, "results")) {
      const auto name = text_of(row, "name");
      types_.insert_or_assign(name, type_of(name, text_of(row, "dataType"), flag_of(row, "isRepeated")));
    }
    token = text_of(page, "nextPageToken");
    if (token.empty()) break;
    guard.visit(token);
  }
  for (const auto& field : fields)
    if (!types_.contains(field))
      throw Error(Remedy::give_up, fmt::format("the Google Ads API {} has no field {}: check the stream's query",
                                               api_.version(), field));
}

task<std::vector<Partition>> GoogleAds::partitions(const StreamSpec& stream) {
  if (stream.partition_column.empty()) co_return std::vector<Partition>(1, Partition(""));
  co_return co_await customers_.partitions();
}

task<std::string> GoogleAds::horizon(const StreamSpec& stream, const Partition&, Instant at) {
  at = std::min(at, api_.now());
  co_return format_instant(std::chrono::floor<std::chrono::seconds>(at - stream.settle));
}

task<void> GoogleAds::read(const StreamSpec& stream, const Slice& slice, Output& out) {
  if (stream.partition_column.empty()) {
    co_await customers_.read(stream, out);
    co_return;
  }
  const auto& customer = slice.partition().id;
  if (const auto why = customers_.left_out(customer); !why.empty()) throw NotOffered(why);
  try {
    co_await reports_.read(stream, slice, out);
  } catch (const ApiError& error) {
    if (error.reason() != reason::no_access || !customers_.leave_out(customer, error.what())) throw;
    throw NotOffered(error.what());
  }
}

Batch GoogleAds::parse(const StreamSpec& stream, const std::string&, std::string_view reply) const {
  RowReader reader(stream);
  return reader.map_saved(std::string(reply));
}

std::optional<Day> GoogleAds::earliest(const StreamSpec& stream, const Partition& partition) const {
  if (stream.cursor != Cursor::date) return {};
  const auto today = day_of(api_.clock().now(), partition.zone);
  if (const int days = kept_days(stream); days > 0) return today - (days - 2);  // it may be asked for after midnight
  return Day(cctz::civil_month(today) - kept_months);
}

task<void> GoogleAds::check_version(std::vector<Finding>& findings) {
  const auto status = co_await api_.probe(api_.version());
  if (status == version_lives) co_return;
  auto what = fmt::format("version {} of the Google Ads API ", api_.version());
  if (status == version_gone) {
    const auto others = co_await api_.other_versions();
    what += "has ended, or is not there yet: set api_version to one that is alive; " + others;
  } else {
    what +=
        fmt::format("answered HTTP {} where {} was expected: check base_url and the network", status, version_lives);
  }
  findings.emplace_back(Finding::Level::error, what);
}

task<void> GoogleAds::check_customers(std::vector<Finding>& findings) {
  const auto partitions = co_await customers_.partitions();
  findings.emplace_back(Finding::Level::ok, "the credential is valid");
  for (const auto& customer : partitions) {
    if (customer.active)
      findings.emplace_back(Finding::Level::ok, fmt::format("customer {} \"{}\", days are those of {}", customer.id,
                                                            customer.name, customer.zone.name()));
    else
      findings.emplace_back(Finding::Level::warning,
                            fmt::format("customer {} is left out: {}", customer.id, customer.inactive_reason));
  }
}

task<std::vector<Finding>> GoogleAds::check() {
  std::vector<Finding> findings;
  try {
    co_await check_version(findings);
    if (findings.empty()) co_await check_customers(findings);
  } catch (const Error& error) {
    findings.emplace_back(Finding::Level::error, error.what());
  }
  co_return findings;
}

std::unique_ptr<Connector> make(const Settings& source, const ConnectorContext& context) {
  return std::make_unique<GoogleAds>(source, context);
}

}  // namespace
}  // namespace google

ConnectorKind google_ads() {
  return {"google_ads", google::source_options(), google::stream_options(), google::make, google::query_option};
}

}  // namespace sluice
