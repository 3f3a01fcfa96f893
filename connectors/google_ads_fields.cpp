#include "connectors/google_ads_fields.hpp"

#include <algorithm>

namespace sluice::google {
namespace {

struct Field {
  std::string_view name;
  Type type;
};

// In the order of their names. Micros and ids are whole numbers; averages, shares, rates and conversions are what the
// API computes, floating; sums of money are kept as they are printed (see is_money).
constexpr Field fields[] = {
    {"ad_group.ad_rotation_mode", Type::text},
    {"ad_group.campaign", Type::text},
    {"ad_group.cpc_bid_micros", Type::int64},
    {"ad_group.cpm_bid_micros", Type::int64},
    {"ad_group.final_url_suffix", Type::text},
    {"ad_group.id", Type::int64},
    {"ad_group.labels", Type::json},
    {"ad_group.name", Type::text},
    {"ad_group.optimized_targeting_enabled", Type::boolean},
    {"ad_group.resource_name", Type::text},
    {"ad_group.status", Type::text},
    {"ad_group.target_cpa_micros", Type::int64},
    {"ad_group.tracking_url_template", Type::text},
    {"ad_group.type", Type::text},
    {"ad_group_ad.ad.added_by_google_ads", Type::boolean},
    {"ad_group_ad.ad.display_url", Type::text},
    {"ad_group_ad.ad.final_urls", Type::json},
    {"ad_group_ad.ad.id", Type::int64},
    {"ad_group_ad.ad.name", Type::text},
    {"ad_group_ad.ad.responsive_search_ad.descriptions", Type::json},
    {"ad_group_ad.ad.responsive_search_ad.headlines", Type::json},
    {"ad_group_ad.ad.tracking_url_template", Type::text},
    {"ad_group_ad.ad.type", Type::text},
    {"ad_group_ad.ad_group", Type::text},
    {"ad_group_ad.ad_strength", Type::text},
    {"ad_group_ad.labels", Type::json},
    {"ad_group_ad.policy_summary.approval_status", Type::text},
    {"ad_group_ad.policy_summary.review_status", Type::text},
    {"ad_group_ad.resource_name", Type::text},
    {"ad_group_ad.status", Type::text},
    {"ad_group_criterion.approval_status", Type::text},
    {"ad_group_criterion.cpc_bid_micros", Type::int64},
    {"ad_group_criterion.criterion_id", Type::int64},
    {"ad_group_criterion.effective_cpc_bid_micros", Type::int64},
    {"ad_group_criterion.final_urls", Type::json},
    {"ad_group_criterion.keyword.match_type", Type::text},
    {"ad_group_criterion.keyword.text", Type::text},
    {"ad_group_criterion.negative", Type::boolean},
    {"ad_group_criterion.quality_info.quality_score", Type::int64},
    {"ad_group_criterion.resource_name", Type::text},
    {"ad_group_criterion.status", Type::text},
    {"ad_group_criterion.system_serving_status", Type::text},
    {"ad_group_criterion.type", Type::text},
    {"campaign.advertising_channel_sub_type", Type::text},
    {"campaign.advertising_channel_type", Type::text},
    {"campaign.base_campaign", Type::text},
    {"campaign.bidding_strategy_type", Type::text},
    {"campaign.campaign_budget", Type::text},
    {"campaign.end_date_time", Type::text},
    {"campaign.experiment_type", Type::text},
    {"campaign.final_url_suffix", Type::text},
    {"campaign.id", Type::int64},
    {"campaign.labels", Type::json},
    {"campaign.missing_eu_political_advertising_declaration", Type::boolean},
    {"campaign.name", Type::text},
    {"campaign.optimization_score", Type::float64},
    {"campaign.primary_status", Type::text},
    {"campaign.resource_name", Type::text},
    {"campaign.serving_status", Type::text},
    {"campaign.start_date_time", Type::text},
    {"campaign.status", Type::text},
    {"campaign.tracking_url_template", Type::text},
    {"campaign_budget.amount_micros", Type::int64},
    {"campaign_budget.delivery_method", Type::text},
    {"campaign_budget.explicitly_shared", Type::boolean},
    {"campaign_budget.id", Type::int64},
    {"campaign_budget.name", Type::text},
    {"campaign_budget.period", Type::text},
    {"campaign_budget.reference_count", Type::int64},
    {"campaign_budget.resource_name", Type::text},
    {"campaign_budget.status", Type::text},
    {"campaign_budget.total_amount_micros", Type::int64},
    {"campaign_budget.type", Type::text},
    {"change_event.ad_group", Type::text},
    {"change_event.asset", Type::text},
    {"change_event.campaign", Type::text},
    {"change_event.change_date_time", Type::text},
    {"change_event.change_resource_name", Type::text},
    {"change_event.change_resource_type", Type::text},
    {"change_event.changed_fields", Type::text},
    {"change_event.client_type", Type::text},
    {"change_event.new_resource", Type::json},
    {"change_event.old_resource", Type::json},
    {"change_event.resource_change_operation", Type::text},
    {"change_event.resource_name", Type::text},
    {"change_event.user_email", Type::text},
    {"click_view.ad_group_ad", Type::text},
    {"click_view.area_of_interest.city", Type::text},
    {"click_view.area_of_interest.country", Type::text},
    {"click_view.area_of_interest.region", Type::text},
    {"click_view.campaign_location_target", Type::text},
    {"click_view.gclid", Type::text},
    {"click_view.keyword", Type::text},
    {"click_view.keyword_info.match_type", Type::text},
    {"click_view.keyword_info.text", Type::text},
    {"click_view.location_of_presence.city", Type::text},
    {"click_view.location_of_presence.country", Type::text},
    {"click_view.location_of_presence.region", Type::text},
    {"click_view.page_number", Type::int64},
    {"click_view.resource_name", Type::text},
    {"click_view.user_list", Type::text},
    {"customer.auto_tagging_enabled", Type::boolean},
    {"customer.currency_code", Type::text},
    {"customer.descriptive_name", Type::text},
    {"customer.id", Type::int64},
    {"customer.manager", Type::boolean},
    {"customer.optimization_score", Type::float64},
    {"customer.status", Type::text},
    {"customer.test_account", Type::boolean},
    {"customer.time_zone", Type::text},
    {"geographic_view.country_criterion_id", Type::int64},
    {"geographic_view.location_type", Type::text},
    {"geographic_view.resource_name", Type::text},
    {"metrics.absolute_top_impression_percentage", Type::float64},
    {"metrics.all_conversions", Type::float64},
    {"metrics.all_conversions_value", Type::decimal},
    {"metrics.average_cost", Type::float64},
    {"metrics.average_cpc", Type::float64},
    {"metrics.average_cpm", Type::float64},
    {"metrics.clicks", Type::int64},
    {"metrics.conversions", Type::float64},
    {"metrics.conversions_from_interactions_rate", Type::float64},
    {"metrics.conversions_value", Type::decimal},
    {"metrics.cost_micros", Type::int64},
    {"metrics.cost_per_conversion", Type::float64},
    {"metrics.ctr", Type::float64},
    {"metrics.engagements", Type::int64},
    {"metrics.impressions", Type::int64},
    {"metrics.interaction_rate", Type::float64},
    {"metrics.interactions", Type::int64},
    {"metrics.invalid_clicks", Type::int64},
    {"metrics.phone_calls", Type::int64},
    {"metrics.publisher_organic_clicks", Type::int64},
    {"metrics.publisher_purchased_clicks", Type::int64},
    {"metrics.publisher_unknown_clicks", Type::int64},
    {"metrics.search_absolute_top_impression_share", Type::float64},
    {"metrics.search_budget_lost_impression_share", Type::float64},
    {"metrics.search_impression_share", Type::float64},
    {"metrics.search_rank_lost_impression_share", Type::float64},
    {"metrics.search_top_impression_share", Type::float64},
    {"metrics.sk_ad_network_installs", Type::int64},
    {"metrics.sk_ad_network_total_conversions", Type::int64},
    {"metrics.top_impression_percentage", Type::float64},
    {"metrics.value_per_conversion", Type::float64},
    {"metrics.video_trueview_views", Type::int64},
    {"metrics.view_through_conversions", Type::int64},
    {"search_term_view.ad_group", Type::text},
    {"search_term_view.resource_name", Type::text},
    {"search_term_view.search_term", Type::text},
    {"search_term_view.status", Type::text},
    {"segments.ad_network_type", Type::text},
    {"segments.click_type", Type::text},
    {"segments.conversion_action", Type::text},
    {"segments.conversion_action_category", Type::text},
    {"segments.conversion_action_name", Type::text},
    {"segments.date", Type::date},
    {"segments.day_of_week", Type::text},
    {"segments.device", Type::text},
    {"segments.hour", Type::int64},
    {"segments.keyword.info.match_type", Type::text},
    {"segments.keyword.info.text", Type::text},
    {"segments.month", Type::date},
    {"segments.quarter", Type::date},
    {"segments.search_term_match_type", Type::text},
    {"segments.slot", Type::text},
    {"segments.week", Type::date},
    {"segments.year", Type::int64},
};
static_assert(std::is_sorted(std::begin(fields), std::end(fields),
                             [](const Field& a, const Field& b) { return a.name < b.name; }));

constexpr std::string_view without_presence[] = {
    "ad_group.optimized_targeting_enabled",    "campaign.missing_eu_political_advertising_declaration",
    "metrics.publisher_organic_clicks",        "metrics.publisher_purchased_clicks",
    "metrics.publisher_unknown_clicks",        "metrics.sk_ad_network_installs",
    "metrics.sk_ad_network_total_conversions",
};

// Sums of money in the account's currency, which the API gives as doubles. Averages and other ratios stay doubles.
bool is_money(std::string_view field) {
  return field.find("conversions_value") != field.npos || field.find("lifetime_value") != field.npos;
}

}  // namespace

std::optional<DataType> known_type(std::string_view field) {
  const auto at = std::lower_bound(std::begin(fields), std::end(fields), field,
                                   [](const Field& f, std::string_view name) { return f.name < name; });
  if (at == std::end(fields) || at->name != field) return {};
  return at->type;
}

DataType type_of(std::string_view field, std::string_view data_type, bool repeated) {
  if (repeated || data_type == "MESSAGE") return Type::json;
  if (data_type == "INT64" || data_type == "INT32") return Type::int64;
  if (data_type == "UINT64") return Type::decimal;  // it may be larger than an int64
  if (data_type == "DOUBLE" || data_type == "FLOAT") return is_money(field) ? Type::decimal : Type::float64;
  if (data_type == "BOOLEAN") return Type::boolean;
  if (data_type == "DATE") return Type::date;
  return Type::text;  // STRING, RESOURCE_NAME, ENUM: a value that is newer than this program stays readable
}

bool is_zero_when_missing(std::string_view field) {
  return std::find(std::begin(without_presence), std::end(without_presence), field) != std::end(without_presence);
}

}  // namespace sluice::google
