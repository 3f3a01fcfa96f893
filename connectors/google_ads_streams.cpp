#include "connectors/google_ads_streams.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "connectors/google_ads_fields.hpp"

namespace sluice::google {
namespace {

using namespace std::chrono_literals;

constexpr Option settings_of_streams[] = {
    {.name = query_option,
     .value = Value::text,
     .help = "The stream is what this query in the Google Ads Query Language gives. customer_id is added; with "
             "segments.date among its fields it is read by days, as `window` says."},
};

// Google restates what conversions are attributed to for 30 days by default.
constexpr Duration report_lookback = 30 * 24h;
// Clicks are not restated, and each day costs an operation.
constexpr Duration click_lookback = 2 * 24h;

struct Builtin {
  const char* name;
  const char* comment;
  const char* query;
  std::vector<std::string> key;  // behind the customer and the day
  Duration lookback = report_lookback;
};

// Objects are asked for without metrics and segments: with them, those without delivery are left out.
const std::vector<Builtin>& builtins() {
  static const std::vector<Builtin> all{
      {"customers",
       "Customers, their time zones and currencies; those that are cancelled too",
       "SELECT customer.descriptive_name, customer.currency_code, customer.time_zone, customer.manager, "
       "customer.test_account, customer.status FROM customer",
       {}},
      {"campaigns",
       "Campaigns",
       "SELECT campaign.id, campaign.name, campaign.status, campaign.primary_status, campaign.serving_status, "
       "campaign.advertising_channel_type, campaign.advertising_channel_sub_type, campaign.bidding_strategy_type, "
       "campaign.campaign_budget, campaign.start_date_time, campaign.end_date_time, campaign.labels FROM campaign",
       {"campaign_id"}},
      {"ad_groups",
       "Ad groups",
       "SELECT ad_group.id, ad_group.name, ad_group.status, ad_group.type, campaign.id, ad_group.cpc_bid_micros, "
       "ad_group.target_cpa_micros, ad_group.labels FROM ad_group",
       {"ad_group_id"}},
      {"ads",
       "Ads in their ad groups",
       "SELECT ad_group_ad.ad.id, ad_group.id, campaign.id, ad_group_ad.ad.name, ad_group_ad.ad.type, "
       "ad_group_ad.ad.final_urls, ad_group_ad.ad.responsive_search_ad.headlines, "
       "ad_group_ad.ad.responsive_search_ad.descriptions, ad_group_ad.status, ad_group_ad.ad_strength, "
       "ad_group_ad.policy_summary.approval_status FROM ad_group_ad",
       {"ad_group_id", "ad_group_ad_ad_id"}},
      {"keywords",
       "Keywords, negative ones too",
       "SELECT ad_group_criterion.criterion_id, ad_group.id, campaign.id, ad_group_criterion.keyword.text, "
       "ad_group_criterion.keyword.match_type, ad_group_criterion.negative, ad_group_criterion.status, "
       "ad_group_criterion.cpc_bid_micros, ad_group_criterion.quality_info.quality_score, "
       "ad_group_criterion.approval_status FROM ad_group_criterion WHERE ad_group_criterion.type = 'KEYWORD'",
       {"ad_group_id", "ad_group_criterion_criterion_id"}},
      {"budgets",
       "Campaign budgets",
       "SELECT campaign_budget.id, campaign_budget.name, campaign_budget.status, campaign_budget.amount_micros, "
       "campaign_budget.total_amount_micros, campaign_budget.delivery_method, campaign_budget.period, "
       "campaign_budget.type, campaign_budget.explicitly_shared, campaign_budget.reference_count FROM campaign_budget",
       {"campaign_budget_id"}},
      {"campaign_performance",
       "Delivery of campaigns by day",
       "SELECT segments.date, campaign.id, campaign.name, metrics.impressions, metrics.clicks, metrics.cost_micros, "
       "metrics.interactions, metrics.conversions, metrics.conversions_value, metrics.all_conversions, "
       "metrics.all_conversions_value, metrics.view_through_conversions, customer.currency_code FROM campaign",
       {"campaign_id"}},
      {"ad_group_performance",
       "Delivery of ad groups by day",
       "SELECT segments.date, ad_group.id, campaign.id, metrics.impressions, metrics.clicks, metrics.cost_micros, "
       "metrics.interactions, metrics.conversions, metrics.conversions_value, metrics.all_conversions, "
       "metrics.all_conversions_value, metrics.view_through_conversions, customer.currency_code FROM ad_group",
       {"ad_group_id"}},
      {"ad_performance",
       "Delivery of ads by day",
       "SELECT segments.date, ad_group_ad.ad.id, ad_group.id, campaign.id, metrics.impressions, metrics.clicks, "
       "metrics.cost_micros, metrics.interactions, metrics.conversions, metrics.conversions_value, "
       "metrics.all_conversions, metrics.view_through_conversions, customer.currency_code FROM ad_group_ad",
       {"ad_group_id", "ad_group_ad_ad_id"}},
      {"keyword_performance",
       "Delivery of keywords by day",
       "SELECT segments.date, ad_group_criterion.criterion_id, ad_group.id, campaign.id, "
       "ad_group_criterion.keyword.text, ad_group_criterion.keyword.match_type, metrics.impressions, metrics.clicks, "
       "metrics.cost_micros, metrics.conversions, metrics.conversions_value, metrics.average_cpc, "
       "customer.currency_code FROM keyword_view",
       {"ad_group_id", "ad_group_criterion_criterion_id"}},
      {"search_terms",
       "What people searched for, by day; without Performance Max",
       "SELECT segments.date, search_term_view.resource_name, search_term_view.search_term, search_term_view.status, "
       "ad_group.id, campaign.id, metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions, "
       "metrics.conversions_value, customer.currency_code FROM search_term_view",
       {"search_term_view_resource_name"}},
      // location_type splits the rows even where it is not asked for.
      {"geo_performance",
       "Delivery of campaigns by country and day",
       "SELECT segments.date, campaign.id, geographic_view.country_criterion_id, geographic_view.location_type, "
       "metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions, metrics.conversions_value, "
       "customer.currency_code FROM geographic_view",
       {"campaign_id", "geographic_view_country_criterion_id", "geographic_view_location_type"}},
      {"clicks",
       "Clicks with their gclid, of the last 90 days",
       "SELECT segments.date, click_view.gclid, campaign.id, ad_group.id, click_view.ad_group_ad, click_view.keyword, "
       "click_view.keyword_info.text, click_view.keyword_info.match_type, click_view.page_number, "
       "click_view.area_of_interest.country, click_view.area_of_interest.city, "
       "click_view.location_of_presence.country, click_view.location_of_presence.city, metrics.clicks FROM click_view",
       {},
       click_lookback},
      {"change_events",
       "Changes that people and tools made, of the last 30 days",
       "SELECT change_event.resource_name, change_event.change_date_time, change_event.change_resource_type, "
       "change_event.change_resource_name, change_event.client_type, change_event.user_email, "
       "change_event.resource_change_operation, change_event.changed_fields, change_event.old_resource, "
       "change_event.new_resource, change_event.campaign, change_event.ad_group, change_event.asset FROM change_event",
       {"change_event_resource_name"}},
  };
  return all;
}

const Builtin* find_builtin(std::string_view name) {
  const auto at = std::find_if(builtins().begin(), builtins().end(), [&](const Builtin& b) { return b.name == name; });
  return at == builtins().end() ? nullptr : &*at;
}

Query parsed(std::string_view text) {
  std::string why;
  const auto query = Query::parse(text, why);
  if (!query) throw std::logic_error("a query of ours: " + why);
  return *query;
}

StreamSpec spec_of(const Query& query) {
  StreamSpec spec;
  spec.partition_column = "customer_id";
  spec.columns.emplace_back("customer_id", Type::int64, "customer/id", true);
  for (const auto& field : query.fields)
    spec.columns.emplace_back(column_of(field), known_type(field).value_or(Type::text), json_path(field));
  spec.key = {"customer_id"};
  if (query.selects("segments.date")) {
    spec.cursor = Cursor::date;
    spec.cursor_column = "segments_date";
    spec.key.push_back(spec.cursor_column);
    spec.lookback = report_lookback;
    spec.slice_days = one_day_a_query(query) ? 1 : 0;
  }
  return spec;
}

StreamSpec spec_of(const Builtin& builtin) {
  auto spec = spec_of(parsed(builtin.query));
  spec.name = spec.from = builtin.name;
  spec.comment = builtin.comment;
  spec.key.insert(spec.key.end(), builtin.key.begin(), builtin.key.end());
  if (spec.cursor == Cursor::date) spec.lookback = builtin.lookback;
  if (spec.from == "customers") spec.partition_column.clear();
  // Not every click has a gclid (Google: clicks of App campaigns have none): a day is replaced as a whole.
  if (spec.from == "clicks") {
    spec.mode = LoadMode::append;
    spec.key.clear();
  }
  if (spec.from == "change_events") {
    spec.cursor = Cursor::value;
    spec.settle = 10min;  // Google: changes show within three minutes
  }
  return spec;
}

// What a window cannot be made of.
void check_windows(const Query& query, const Where& where, Faults& faults) {
  if (!query.selects("segments.date")) return;
  if (query.filters("segments.date"))
    faults.emplace_back(where,
                        "\"query\": segments.date is selected, so the days come from `window`; take it out of "
                        "WHERE");
  if (!query.limit.empty())
    faults.emplace_back(where, "\"query\": LIMIT would leave rows out of the days that are replaced; take it out");
}

// A slice of several days would be as many operations, and count as one.
void check_slice(const Query& query, const Settings& settings, Faults& faults) {
  if (!one_day_a_query(query) || !settings.has("window")) return;
  const auto window = settings.table("window");
  if (!window.has("slice") || window.duration("slice") <= 24h) return;
  faults.emplace_back(window.where("slice"),
                      fmt::format("\"slice\": {} is asked for day by day, and each day is an operation; leave `slice` "
                                  "out",
                                  query.from));
}

}  // namespace

std::span<const Option> stream_options() {
  return settings_of_streams;
}

std::vector<StreamSpec> catalogue() {
  std::vector<StreamSpec> specs;
  for (const auto& builtin : builtins()) specs.push_back(spec_of(builtin));
  return specs;
}

StreamSpec configure(const std::string& from, const Settings& settings, Faults& faults) {
  if (const auto* builtin = find_builtin(from)) {
    if (settings.has(query_option))
      faults.emplace_back(settings.where(query_option),
                          fmt::format("\"query\" stands beside `from: {}`: a stream is one or the other", from));
    check_slice(parsed(builtin->query), settings, faults);
    return spec_of(*builtin);
  }
  StreamSpec spec;
  const auto where = settings.where(query_option);
  std::string why;
  const auto query = Query::parse(settings.text(query_option), why);
  if (!query) {
    faults.emplace_back(where, "\"query\": " + why);
    return spec;
  }
  check_windows(*query, where, faults);
  check_slice(*query, settings, faults);
  spec = spec_of(*query);
  spec.name = spec.from = query_option;
  spec.comment = fmt::format("Rows of {}", query->from);
  spec.options = settings;
  spec.key.clear();  // which of its columns tell rows apart, load.key has to say
  if (one_day_a_query(*query)) spec.lookback = click_lookback;
  return spec;
}

Query query_of(const StreamSpec& stream) {
  const auto* builtin = find_builtin(stream.from);
  return parsed(builtin ? builtin->query : stream.options.text(query_option));
}

bool one_day_a_query(const Query& query) {
  return query.from == "click_view";
}

int kept_days(const StreamSpec& stream) {
  if (stream.from == "change_events") return 30;
  return stream.cursor == Cursor::date && one_day_a_query(query_of(stream)) ? 90 : 0;
}

}  // namespace sluice::google
