#include "connectors/facebook_ads_enumerations.hpp"

#include <algorithm>

namespace sluice::facebook {
namespace {

constexpr std::string_view breakdown_names[] = {
    "ad_format_asset",
    "age",
    "app_id",
    "body_asset",
    "breakdown_ad_objective",
    "breakdown_reporting_ad_id",
    "call_to_action_asset",
    "coarse_conversion_value",
    "comscore_market",
    "conversion_destination",
    "country",
    "creative_relaxation_asset_type",
    "description_asset",
    "device_platform",
    "fidelity_type",
    "flexible_format_asset_type",
    "frequency_value",
    "gen_ai_asset_type",
    "gender",
    "hourly_stats_aggregated_by_advertiser_time_zone",
    "hourly_stats_aggregated_by_audience_time_zone",
    "hsid",
    "image_asset",
    "impression_device",
    "impression_view_time_advertiser_hour_v2",
    "is_conversion_id_modeled",
    "is_rendered_as_delayed_skip_ad",
    "landing_destination",
    "link_url_asset",
    "marketing_messages_btn_name",
    "mdsa_landing_destination",
    "media_asset_url",
    "media_creator",
    "media_destination_url",
    "media_format",
    "media_origin_url",
    "media_text_content",
    "media_type",
    "mmm",
    "place_page_id",
    "platform_position",
    "postback_sequence_index",
    "product_id",
    "publisher_platform",
    "redownload",
    "region",
    "rta_ugc_topic",
    "signal_source_bucket",
    "skan_campaign_id",
    "skan_conversion_id",
    "skan_version",
    "sot_attribution_model_type",
    "sot_attribution_window",
    "sot_channel",
    "sot_event_type",
    "sot_source",
    "standard_event_content_type",
    "title_asset",
    "user_persona_id",
    "user_persona_name",
    "user_segment_key",
    "video_asset",
};

constexpr std::string_view action_breakdown_names[] = {
    "action_canvas_component_name",
    "action_carousel_card_id",
    "action_carousel_card_name",
    "action_destination",
    "action_device",
    "action_reaction",
    "action_target_id",
    "action_type",
    "action_video_sound",
    "action_video_type",
    "conversion_destination",
    "is_business_ai_assisted",
    "matched_persona_id",
    "matched_persona_name",
    "signal_source_bucket",
    "standard_event_content_type",
};

constexpr std::string_view window_names[] = {
    "default",
    "1d_click",
    "7d_click",
    "28d_click",
    "1d_view",
    "1d_ev",
    "1d_sequenced",
    "7d_sequenced",
    "28d_sequenced",
    "incrementality",
    "incrementality_first_conversion",
    "incrementality_all_conversions",
    "dda",
    "skan_click",
    "skan_view",
    "custom",
};

constexpr std::string_view asset_breakdowns[] = {"body_asset",  "call_to_action_asset", "description_asset",
                                                 "image_asset", "link_url_asset",       "title_asset",
                                                 "video_asset"};

constexpr std::string_view levels[] = {"account", "campaign", "adset", "ad"};

constexpr std::string_view campaign_statuses[] = {"ACTIVE",     "ARCHIVED", "DELETED",
                                                  "IN_PROCESS", "PAUSED",   "WITH_ISSUES"};
constexpr std::string_view adset_statuses[] = {"ACTIVE",     "ARCHIVED", "CAMPAIGN_PAUSED", "DELETED",
                                               "IN_PROCESS", "PAUSED",   "WITH_ISSUES"};
constexpr std::string_view ad_statuses[] = {
    "ACTIVE", "ADSET_PAUSED",         "ARCHIVED",       "CAMPAIGN_PAUSED", "DELETED",    "DISAPPROVED", "IN_PROCESS",
    "PAUSED", "PENDING_BILLING_INFO", "PENDING_REVIEW", "PREAPPROVED",     "WITH_ISSUES"};

}  // namespace

std::span<const std::string_view> breakdowns() {
  return breakdown_names;
}

std::span<const std::string_view> action_breakdowns() {
  return action_breakdown_names;
}

std::span<const std::string_view> attribution_windows() {
  return window_names;
}

bool is_asset_breakdown(std::string_view name) {
  return std::find(std::begin(asset_breakdowns), std::end(asset_breakdowns), name) != std::end(asset_breakdowns);
}

std::string_view to_string(Level level) {
  return levels[static_cast<std::size_t>(level)];
}

Level parse_level(std::string_view name) {
  const auto found = std::find(std::begin(levels), std::end(levels), name);
  return found == std::end(levels) ? Level::ad : static_cast<Level>(found - std::begin(levels));
}

std::span<const std::string_view> effective_statuses(Level level) {
  if (level == Level::campaign) return campaign_statuses;
  if (level == Level::adset) return adset_statuses;
  return ad_statuses;
}

}  // namespace sluice::facebook
