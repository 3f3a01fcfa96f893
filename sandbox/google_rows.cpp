#include "sandbox/google_rows.hpp"

#include <algorithm>
#include <map>

#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using Row = GoogleRow;
using Writer = GoogleRowWriter;

void put(std::string& out, std::string_view text) {
  out += '"';
  out += text;
  out += '"';
}
void put(std::string& out, std::int64_t number) {
  put(out, fmt::format("{}", number));
}

// Google's ids have ten to twelve digits.
std::int64_t id_of(const Object& object) {
  return object.id % 1'000'000'000'000;
}

std::string_view status_of(const Writer& w, const Object& object) {
  const auto status = w.world().status(object, w.now());
  return status == "ACTIVE" ? "ENABLED" : status == "PAUSED" ? "PAUSED" : "REMOVED";
}

double conversions(const Row& row) {
  return static_cast<double>(row.clicks * static_cast<std::int64_t>(row.hash % 20)) / 100;
}

constexpr std::string_view kTerms[] = {"running shoes", "günstige jacken", "kaffee online", "靴",
                                       "best tent \\\"light\\\""};
constexpr std::string_view kDevices[] = {"MOBILE", "DESKTOP", "TABLET"};
constexpr std::int64_t kCountries[] = {2276, 2840, 2392, 2076, 2356};  // criterion ids of countries

std::string customer_path(const Row& row) {
  return fmt::format("customers/{}", customer_number(*row.account));
}

template <const Object* Row::*which>
void put_id(const Writer&, const Row& row, std::string& out) {
  put(out, id_of(*(row.*which)));
}
template <const Object* Row::*which>
void put_name(const Writer&, const Row& row, std::string& out) {
  out += (row.*which)->quoted_name;
}
template <const Object* Row::*which>
void put_status(const Writer& w, const Row& row, std::string& out) {
  put(out, status_of(w, *(row.*which)));
}
struct GoogleField {
  std::string_view type;
  Writer::Write write;
};

#define WRITE(...)                                        \
  [](const Writer& w, const Row& row, std::string& out) { \
    (void)w, (void)row;                                   \
    __VA_ARGS__;                                          \
  }

const std::map<std::string_view, GoogleField>& fields() {
  static const std::map<std::string_view, GoogleField> all{
      {"customer.id", {"INT64", WRITE(put(out, customer_number(*row.account)))}},
      {"customer.descriptive_name", {"STRING", WRITE(out += row.account->quoted_name)}},
      {"customer.currency_code", {"STRING", WRITE(put(out, row.account->currency))}},
      {"customer.time_zone", {"STRING", WRITE(put(out, row.account->zone_name))}},
      {"customer.manager", {"BOOLEAN", WRITE(out += "false")}},
      {"customer.test_account", {"BOOLEAN", WRITE(out += "false")}},
      {"customer.status", {"ENUM", WRITE(put(out, row.account->status == 1 ? "ENABLED" : "CANCELED"))}},
      {"campaign.id", {"INT64", put_id<&Row::campaign>}},
      {"campaign.name", {"STRING", put_name<&Row::campaign>}},
      {"campaign.status", {"ENUM", put_status<&Row::campaign>}},
      {"campaign.primary_status", {"ENUM", WRITE(put(out, "ELIGIBLE"))}},
      {"campaign.serving_status", {"ENUM", WRITE(put(out, "SERVING"))}},
      {"campaign.advertising_channel_type",
       {"ENUM", WRITE(put(out, row.campaign->hash % 5 == 0 ? "PERFORMANCE_MAX" : "SEARCH"))}},
      {"campaign.advertising_channel_sub_type", {"ENUM", WRITE(put(out, "SEARCH_MOBILE_APP"))}},
      {"campaign.bidding_strategy_type", {"ENUM", WRITE(put(out, "MAXIMIZE_CONVERSIONS"))}},
      {"campaign.campaign_budget",
       {"RESOURCE_NAME",
        WRITE(put(out, fmt::format("{}/campaignBudgets/{}", customer_path(row), id_of(*row.campaign) + 1)))}},
      {"campaign.start_date_time",
       {"STRING", WRITE(put(out, cctz::format("%Y-%m-%d %H:%M:%S",
                                              std::chrono::floor<std::chrono::seconds>(row.campaign->created),
                                              row.account->zone)))}},
      {"campaign.end_date_time", {"STRING", WRITE(put(out, "2037-12-30 23:59:59"))}},
      {"campaign.labels", {"RESOURCE_NAME", WRITE(out += "[]")}},
      {"campaign.optimization_score", {"DOUBLE", WRITE(out += "0.75")}},
      {"ad_group.id", {"INT64", put_id<&Row::ad_group>}},
      {"ad_group.name", {"STRING", put_name<&Row::ad_group>}},
      {"ad_group.status", {"ENUM", put_status<&Row::ad_group>}},
      {"ad_group.type", {"ENUM", WRITE(put(out, "SEARCH_STANDARD"))}},
      {"ad_group.cpc_bid_micros", {"INT64", WRITE(put(out, between(row.hash, 10, 400) * 10'000))}},
      {"ad_group.target_cpa_micros", {"INT64", WRITE(put(out, between(row.hash, 1, 90) * 1'000'000))}},
      {"ad_group.labels", {"RESOURCE_NAME", WRITE(out += "[]")}},
      {"ad_group_ad.ad.id", {"INT64", put_id<&Row::ad>}},
      {"ad_group_ad.ad.name", {"STRING", put_name<&Row::ad>}},
      {"ad_group_ad.ad.type", {"ENUM", WRITE(put(out, "RESPONSIVE_SEARCH_AD"))}},
      {"ad_group_ad.ad.final_urls", {"STRING", WRITE(out += R"(["https://shop.example/"])")}},
      {"ad_group_ad.ad.responsive_search_ad.headlines",
       {"MESSAGE", WRITE(out += R"([{"text":"Now 20 % off"},{"text":"Free shipping"}])")}},
      {"ad_group_ad.ad.responsive_search_ad.descriptions",
       {"MESSAGE", WRITE(out += R"([{"text":"For all who go outside."}])")}},
      {"ad_group_ad.status", {"ENUM", put_status<&Row::ad>}},
      {"ad_group_ad.ad_strength", {"ENUM", WRITE(put(out, "GOOD"))}},
      {"ad_group_ad.policy_summary.approval_status", {"ENUM", WRITE(put(out, "APPROVED"))}},
      {"ad_group_criterion.criterion_id",
       {"INT64", WRITE(put(out, 300'000'000 + id_of(*row.ad_group) % 1'000'000 * 10 + row.nth))}},
      {"ad_group_criterion.keyword.text",
       {"STRING", WRITE(put(out, kTerms[static_cast<std::size_t>(row.nth) % std::size(kTerms)]))}},
      {"ad_group_criterion.keyword.match_type", {"ENUM", WRITE(put(out, row.nth % 2 ? "EXACT" : "PHRASE"))}},
      {"ad_group_criterion.negative", {"BOOLEAN", WRITE(out += "false")}},
      {"ad_group_criterion.status", {"ENUM", WRITE(put(out, "ENABLED"))}},
      {"ad_group_criterion.type", {"ENUM", WRITE(put(out, "KEYWORD"))}},
      {"ad_group_criterion.cpc_bid_micros", {"INT64", WRITE(put(out, between(row.hash, 10, 400) * 10'000))}},
      {"ad_group_criterion.quality_info.quality_score",
       {"INT32", WRITE(out += fmt::format("{}", between(row.hash, 1, 10)))}},
      {"ad_group_criterion.approval_status", {"ENUM", WRITE(put(out, "APPROVED"))}},
      {"campaign_budget.id", {"INT64", WRITE(put(out, id_of(*row.campaign) + 1))}},
      {"campaign_budget.name", {"STRING", put_name<&Row::campaign>}},
      {"campaign_budget.status", {"ENUM", WRITE(put(out, "ENABLED"))}},
      {"campaign_budget.amount_micros", {"INT64", WRITE(put(out, between(row.hash, 5, 900) * 1'000'000))}},
      {"campaign_budget.total_amount_micros", {"INT64", WRITE(put(out, std::int64_t{0}))}},
      {"campaign_budget.delivery_method", {"ENUM", WRITE(put(out, "STANDARD"))}},
      {"campaign_budget.period", {"ENUM", WRITE(put(out, "DAILY"))}},
      {"campaign_budget.type", {"ENUM", WRITE(put(out, "STANDARD"))}},
      {"campaign_budget.explicitly_shared", {"BOOLEAN", WRITE(out += "false")}},
      {"campaign_budget.reference_count", {"INT64", WRITE(put(out, 1))}},
      {"search_term_view.resource_name",
       {"RESOURCE_NAME", WRITE(put(out, fmt::format("{}/searchTermViews/{}~{}~{}", customer_path(row),
                                                    id_of(*row.campaign), id_of(*row.ad_group), row.nth)))}},
      {"search_term_view.search_term",
       {"STRING", WRITE(put(out, kTerms[static_cast<std::size_t>(row.nth) % std::size(kTerms)]))}},
      {"search_term_view.status", {"ENUM", WRITE(put(out, "NONE"))}},
      {"geographic_view.country_criterion_id",
       {"INT64", WRITE(put(out, kCountries[static_cast<std::size_t>(row.nth) % std::size(kCountries)]))}},
      {"geographic_view.location_type", {"ENUM", WRITE(put(out, "LOCATION_OF_PRESENCE"))}},
      // Clicks of App campaigns have none.
      {"click_view.gclid",
       {"STRING", WRITE(put(out, row.campaign->hash % 5 == 1 ? "" : fmt::format("Cj0KCQ{:016x}", row.hash)))}},
      {"click_view.ad_group_ad",
       {"RESOURCE_NAME",
        WRITE(put(out, fmt::format("{}/adGroupAds/{}~{}", customer_path(row), id_of(*row.ad_group), id_of(*row.ad))))}},
      {"click_view.keyword",
       {"RESOURCE_NAME",
        WRITE(put(out, fmt::format("{}/adGroupCriteria/{}~{}", customer_path(row), id_of(*row.ad_group), row.nth)))}},
      {"click_view.keyword_info.text", {"STRING", WRITE(put(out, kTerms[row.hash % std::size(kTerms)]))}},
      {"click_view.keyword_info.match_type", {"ENUM", WRITE(put(out, "BROAD"))}},
      {"click_view.page_number", {"INT64", WRITE(put(out, 1))}},
      {"click_view.area_of_interest.country", {"RESOURCE_NAME", WRITE(put(out, "geoTargetConstants/2276"))}},
      {"click_view.area_of_interest.city", {"RESOURCE_NAME", WRITE(put(out, "geoTargetConstants/1003854"))}},
      {"click_view.location_of_presence.country", {"RESOURCE_NAME", WRITE(put(out, "geoTargetConstants/2276"))}},
      {"click_view.location_of_presence.city", {"RESOURCE_NAME", WRITE(put(out, "geoTargetConstants/1003854"))}},
      {"change_event.resource_name",
       {"RESOURCE_NAME",
        WRITE(put(out, fmt::format("{}/changeEvents/{}~{}~0", customer_path(row), id_of(*row.campaign), row.nth)))}},
      {"change_event.change_date_time", {"STRING", WRITE(put(out, google_change_time(row)))}},
      {"change_event.change_resource_type", {"ENUM", WRITE(put(out, "CAMPAIGN"))}},
      {"change_event.change_resource_name",
       {"STRING", WRITE(put(out, fmt::format("{}/campaigns/{}", customer_path(row), id_of(*row.campaign))))}},
      {"change_event.client_type", {"ENUM", WRITE(put(out, "GOOGLE_ADS_WEB_CLIENT"))}},
      {"change_event.user_email", {"STRING", WRITE(put(out, "someone@example.com"))}},
      {"change_event.resource_change_operation", {"ENUM", WRITE(put(out, "UPDATE"))}},
      {"change_event.changed_fields", {"STRING", WRITE(put(out, "status"))}},
      {"change_event.old_resource", {"MESSAGE", WRITE(out += R"({"campaign":{"status":"PAUSED"}})")}},
      {"change_event.new_resource", {"MESSAGE", WRITE(out += R"({"campaign":{"status":"ENABLED"}})")}},
      {"change_event.campaign",
       {"RESOURCE_NAME", WRITE(put(out, fmt::format("{}/campaigns/{}", customer_path(row), id_of(*row.campaign))))}},
      {"change_event.ad_group", {"RESOURCE_NAME", WRITE(put(out, ""))}},
      {"change_event.asset", {"RESOURCE_NAME", WRITE(put(out, ""))}},
      {"segments.date", {"DATE", WRITE(put(out, format_day(row.day)))}},
      {"segments.device", {"ENUM", WRITE(put(out, kDevices[0]))}},
      {"metrics.impressions", {"INT64", WRITE(put(out, row.impressions))}},
      {"metrics.clicks", {"INT64", WRITE(put(out, row.clicks))}},
      {"metrics.cost_micros", {"INT64", WRITE(put(out, row.cost_micros))}},
      {"metrics.interactions", {"INT64", WRITE(put(out, row.clicks))}},
      {"metrics.conversions", {"DOUBLE", WRITE(out += fmt::format("{}", conversions(row)))}},
      {"metrics.conversions_value", {"DOUBLE", WRITE(out += fmt::format("{:.2f}", conversions(row) * 19.9))}},
      {"metrics.all_conversions", {"DOUBLE", WRITE(out += fmt::format("{}", conversions(row)))}},
      {"metrics.all_conversions_value", {"DOUBLE", WRITE(out += fmt::format("{:.2f}", conversions(row) * 19.9))}},
      {"metrics.view_through_conversions", {"INT64", WRITE(put(out, row.impressions / 5000))}},
      {"metrics.average_cpc",
       {"DOUBLE",
        WRITE(out += fmt::format("{}", row.clicks ? static_cast<double>(row.cost_micros / row.clicks) : 0.0))}},
      // Known to the API, and to no table of the program that is tested.
      {"metrics.sandbox_score", {"DOUBLE", WRITE(out += "0.5")}},
  };
  return all;
}
#undef WRITE

std::string camel(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i + 1 < text.size()) {
      const char c = text[++i];
      out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= path.size();) {
    const auto dot = std::min(path.find('.', at), path.size());
    parts.push_back(path.substr(at, dot - at));
    at = dot + 1;
  }
  return parts;
}

}  // namespace

std::int64_t customer_number(const Account& account) {
  return 2'000'000'000 + account.id / 1000 % 7'000'000 * 1000 + account.index;
}

// The nth edit of the campaign.
std::string google_change_time(const GoogleRow& row) {
  const auto when = row.campaign->created + row.nth * row.campaign->period;
  return cctz::format("%Y-%m-%d %H:%M:%S.123456", std::chrono::floor<std::chrono::seconds>(when), row.account->zone);
}

std::optional<std::string_view> google_data_type(std::string_view field) {
  const auto at = fields().find(field);
  return at == fields().end() ? std::nullopt : std::optional(at->second.type);
}

GoogleRowWriter::GoogleRowWriter(const World& world, const GoogleQuery& query, Instant now) : world_(world), now_(now) {
  std::vector<std::pair<std::vector<std::string>, Write>> sorted;
  for (const auto& name : query.fields) {
    const auto known = fields().find(name);
    if (known == fields().end())
      throw GoogleError("queryError", "UNRECOGNIZED_FIELD", "Unrecognized field in the query: '" + name + "'.");
    const auto path = camel(name);
    mask_ += (mask_.empty() ? "" : ",") + path;
    sorted.emplace_back(parts_of(path), known->second.write);
  }
  std::ranges::stable_sort(sorted, {}, [](const auto& one) { return one.first; });
  std::vector<std::string> open;  // the objects that the row is in
  for (const auto& [path, write] : sorted) {
    std::string before = pieces_.empty() ? "{" : "";
    std::size_t common = 0;
    while (common < open.size() && common + 1 < path.size() && open[common] == path[common]) ++common;
    before.append(open.size() - common, '}');
    if (!pieces_.empty()) before += ',';
    open.resize(common);
    for (; common + 1 < path.size(); ++common) {
      before += '"' + path[common] + "\":{";
      open.push_back(path[common]);
    }
    before += '"' + path.back() + "\":";
    pieces_.push_back({std::move(before), write});
  }
  end_.assign(open.size() + 1, '}');
}

void GoogleRowWriter::write(const GoogleRow& row, std::string& out) const {
  for (const auto& piece : pieces_) {
    out += piece.before;
    piece.value(*this, row, out);
  }
  out += end_;
}

}  // namespace sluice::sandbox
