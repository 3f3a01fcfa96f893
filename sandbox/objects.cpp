#include "sandbox/objects.hpp"

#include <nlohmann/json.hpp>

#include "sandbox/errors.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using OrderedJson = nlohmann::ordered_json;
using Names = std::set<std::string_view>;

// Fields that exist and are not set here; asking for any other is an error.
const Names kUnsetOfAccounts = {"account_groups",
                                "ad_account_creation_request",
                                "agency_client_declaration",
                                "attribution_spec",
                                "business_city",
                                "business_country_code",
                                "business_name",
                                "business_state",
                                "business_street",
                                "business_street2",
                                "business_zip",
                                "capabilities",
                                "default_dsa_beneficiary",
                                "default_dsa_payor",
                                "end_advertiser_name",
                                "extended_credit_invoice_group",
                                "failed_delivery_checks",
                                "fb_entity",
                                "funding_source",
                                "funding_source_details",
                                "io_number",
                                "is_attribution_spec_system_default",
                                "is_direct_deals_enabled",
                                "is_in_3ds_authorization_enabled_market",
                                "is_notifications_enabled",
                                "line_numbers",
                                "media_agency",
                                "partner",
                                "rf_spec",
                                "show_checkout_experience",
                                "spend_cap",
                                "tax_id",
                                "tax_id_status",
                                "tax_id_type",
                                "timezone_offset_hours_utc",
                                "tos_accepted",
                                "user_tasks",
                                "user_tos_accepted",
                                "liable_address",
                                "custom_audience_info",
                                "is_tax_id_required",
                                "can_create_brand_lift_study"};

const Names kUnsetOfCampaigns = {"adlabels",
                                 "boosted_object_id",
                                 "brand_lift_studies",
                                 "budget_rebalance_flag",
                                 "budget_remaining",
                                 "can_use_spend_cap",
                                 "campaign_group_active_time",
                                 "daily_budget",
                                 "has_secondary_skadnetwork_reporting",
                                 "is_adset_budget_sharing_enabled",
                                 "is_budget_schedule_enabled",
                                 "is_skadnetwork_attribution",
                                 "issues_info",
                                 "last_budget_toggling_time",
                                 "lifetime_budget",
                                 "primary_attribution",
                                 "promoted_object",
                                 "recommendations",
                                 "smart_promotion_type",
                                 "source_campaign",
                                 "source_campaign_id",
                                 "spend_cap",
                                 "stop_time",
                                 "topline_id",
                                 "can_create_brand_lift_study"};

const Names kUnsetOfAdsets = {"adlabels",
                              "adset_schedule",
                              "asset_feed_id",
                              "bid_adjustments",
                              "bid_constraints",
                              "bid_info",
                              "budget_remaining",
                              "campaign_attribution",
                              "creative_sequence",
                              "daily_budget",
                              "daily_min_spend_target",
                              "daily_spend_cap",
                              "dsa_beneficiary",
                              "dsa_payor",
                              "end_time",
                              "existing_customer_budget_percentage",
                              "frequency_control_specs",
                              "instagram_actor_id",
                              "is_budget_schedule_enabled",
                              "is_dynamic_creative",
                              "issues_info",
                              "learning_stage_info",
                              "lifetime_budget",
                              "lifetime_imps",
                              "lifetime_min_spend_target",
                              "lifetime_spend_cap",
                              "min_budget_spend_percentage",
                              "multi_optimization_goal_weight",
                              "optimization_sub_event",
                              "pacing_type",
                              "promoted_object",
                              "recommendations",
                              "recurring_budget_semantics",
                              "review_feedback",
                              "rf_prediction_id",
                              "source_adset",
                              "source_adset_id",
                              "targeting_optimization_types",
                              "time_based_ad_rotation_id_blocks",
                              "time_based_ad_rotation_intervals",
                              "use_new_app_click",
                              "campaign_active_time",
                              "value_rule_set_id"};

const Names kUnsetOfAds = {"ad_active_time",
                           "ad_review_feedback",
                           "ad_schedule_end_time",
                           "ad_schedule_start_time",
                           "adlabels",
                           "bid_amount",
                           "bid_info",
                           "conversion_domain",
                           "conversion_specs",
                           "demolink_hash",
                           "display_sequence",
                           "engagement_audience",
                           "failed_delivery_checks",
                           "issues_info",
                           "meta_reward_adgroup_status",
                           "placement",
                           "preview_shareable_link",
                           "priority",
                           "recommendations",
                           "review_feedback",
                           "source_ad",
                           "targeting",
                           "tracking_and_conversion_with_defaults"};

const Names kUnsetOfCreatives = {"applink_treatment",
                                 "asset_feed_spec",
                                 "authorization_category",
                                 "branded_content",
                                 "bundle_folder_id",
                                 "categorization_criteria",
                                 "category_media_source",
                                 "contextual_multi_ads",
                                 "degrees_of_freedom_spec",
                                 "destination_set_id",
                                 "dynamic_ad_voice",
                                 "effective_authorization_category",
                                 "effective_instagram_media_id",
                                 "enable_direct_install",
                                 "enable_launch_instant_app",
                                 "image_crops",
                                 "image_url",
                                 "instagram_permalink_url",
                                 "instagram_user_id",
                                 "interactive_components_spec",
                                 "link_deep_link_url",
                                 "link_destination_display_url",
                                 "link_og_id",
                                 "link_url",
                                 "messenger_sponsored_message",
                                 "object_id",
                                 "object_store_url",
                                 "object_url",
                                 "place_page_set_id",
                                 "platform_customizations",
                                 "playable_asset_id",
                                 "portrait_customizations",
                                 "product_set_id",
                                 "recommender_settings",
                                 "source_instagram_media_id",
                                 "template_url",
                                 "template_url_spec",
                                 "thumbnail_id",
                                 "use_page_actor_override",
                                 "video_id",
                                 "adlabels",
                                 "call_to_action",
                                 "collaborative_ads_lsb_image_bank_id",
                                 "creative_sourcing_spec",
                                 "facebook_branded_content",
                                 "product_data"};

std::string minor(std::int64_t amount) {
  return std::to_string(amount);
}

// Keeps what was asked for. `id` always comes.
OrderedJson pick(const OrderedJson& whole, const std::vector<Field>& fields, const Names& unset,
                 std::string_view node) {
  OrderedJson out = OrderedJson::object();
  for (const auto& field : fields) {
    const auto at = whole.find(field.name);
    if (at != whole.end())
      out[field.name] = *at;
    else if (!unset.contains(field.name))
      throw bad_parameter(fmt::format("Tried accessing nonexisting field ({}) on node type ({})", field.name, node));
  }
  if (!out.contains("id")) out["id"] = whole["id"];
  return out;
}

OrderedJson creative_whole(const World& world, const Object& creative, Instant now) {
  const auto& account = world.account_of(creative);
  const auto page = std::to_string(between(mix(creative.hash), 1'000'000'000'000'000, 1'999'999'999'999'999));
  const auto link = fmt::format("https://shop.example/{}?utm_source=facebook&ad={{{{ad.id}}}}", creative.hash % 10'000);
  OrderedJson call;
  call["type"] = "SHOP_NOW";
  call["value"]["link"] = link;
  OrderedJson data;
  data["link"] = link;
  data["message"] = fmt::format("{} 🛒\nNow or never", creative.name);
  data["name"] = creative.name;
  data["call_to_action"] = call;
  OrderedJson spec;
  spec["page_id"] = page;
  spec["link_data"] = std::move(data);
  OrderedJson out;
  out["id"] = std::to_string(creative.id);
  out["account_id"] = std::to_string(account.id);
  out["actor_id"] = page;
  out["name"] = creative.name;
  out["status"] = "ACTIVE";
  out["title"] = creative.name;
  out["body"] = fmt::format("{} 🛒\nNow or never", creative.name);
  out["object_type"] = "SHARE";
  out["call_to_action_type"] = "SHOP_NOW";
  out["object_story_id"] = page + "_" + std::to_string(creative.hash % 1'000'000'000);
  out["effective_object_story_id"] = out["object_story_id"];
  out["object_story_spec"] = std::move(spec);
  out["image_hash"] = fmt::format("{:016x}{:016x}", creative.hash, mix(creative.hash));
  out["url_tags"] = "utm_medium=cpc";
  // Meta signs the address anew every day.
  out["thumbnail_url"] = fmt::format("https://cdn.example/t/{}.jpg?oh={:x}", creative.id,
                                     hash_of(creative.id, unix_seconds(now) / 86'400));
  return out;
}

void add_common(const World& world, const Object& object, Instant now, OrderedJson& out) {
  const auto& account = world.account_of(object);
  const auto status = world.status(object, now);
  out["id"] = std::to_string(object.id);
  out["account_id"] = std::to_string(account.id);
  out["name"] = object.name;
  out["status"] = status;
  out["configured_status"] = status;
  out["effective_status"] = world.effective_status(object, now);
  out["created_time"] = format_meta_time(object.created, account.zone);
  out["updated_time"] = format_meta_time(world.updated(object, now), account.zone);
}

OrderedJson campaign_whole(const World& world, const Object& campaign, Instant now) {
  constexpr std::string_view kObjectives[] = {"OUTCOME_SALES", "OUTCOME_TRAFFIC", "OUTCOME_AWARENESS", "OUTCOME_LEADS"};
  const auto& account = world.account_of(campaign);
  OrderedJson out;
  add_common(world, campaign, now, out);
  out["objective"] = kObjectives[campaign.hash % 4];
  out["buying_type"] = "AUCTION";
  out["bid_strategy"] = "LOWEST_COST_WITHOUT_CAP";
  out["special_ad_categories"] = OrderedJson::array();
  out["special_ad_category"] = "NONE";
  out["special_ad_category_country"] = OrderedJson::array();
  out["pacing_type"] = OrderedJson::array({"standard"});
  out["start_time"] = format_meta_time(campaign.created, account.zone);
  // A budget stands at the campaign or at its ad sets, never at both; it is edited now and then.
  if (campaign.hash % 2 == 0) {
    const auto budget = between(mix(campaign.hash), 5, 900) * 100 + world.edits(campaign, now) % 9 * 50;
    out["daily_budget"] = minor(budget);
    out["budget_remaining"] = minor(budget / 3);
  }
  return out;
}

OrderedJson targeting_of(const Object& adset) {
  OrderedJson out;
  out["age_min"] = 18 + static_cast<int>(adset.hash % 20);
  out["age_max"] = 65;
  out["geo_locations"]["countries"] = OrderedJson::array({"DE", "AT"});
  out["geo_locations"]["location_types"] = OrderedJson::array({"home", "recent"});
  OrderedJson audience;
  audience["id"] = std::to_string(23'850'000'000'000'000 + static_cast<std::int64_t>(adset.hash % 1'000'000'000));
  audience["name"] = "visitors 180 d";
  out["custom_audiences"] = OrderedJson::array({audience});
  return out;
}

OrderedJson adset_whole(const World& world, const Object& adset, Instant now) {
  const auto& account = world.account_of(adset);
  const auto& campaign = world.parent(adset);
  OrderedJson out;
  add_common(world, adset, now, out);
  out["campaign_id"] = std::to_string(campaign.id);
  out["campaign"]["id"] = out["campaign_id"];
  out["billing_event"] = "IMPRESSIONS";
  out["optimization_goal"] = "OFFSITE_CONVERSIONS";
  out["destination_type"] = "WEBSITE";
  out["bid_strategy"] = "LOWEST_COST_WITH_BID_CAP";
  out["bid_amount"] = 150 + static_cast<int>(world.edits(adset, now) % 40);
  out["start_time"] = format_meta_time(adset.created, account.zone);
  out["targeting"] = targeting_of(adset);
  OrderedJson window;
  window["event_type"] = "CLICK_THROUGH";
  window["window_days"] = 7;
  out["attribution_spec"] = OrderedJson::array({window});
  if (campaign.hash % 2 != 0) {
    const auto budget = between(mix(adset.hash), 5, 300) * 100 + world.edits(adset, now) % 9 * 25;
    out["daily_budget"] = minor(budget);
    out["budget_remaining"] = minor(budget / 2);
  }
  return out;
}

OrderedJson ad_whole(const World& world, const Object& ad, Instant now) {
  const auto& adset = world.parent(ad);
  OrderedJson out;
  add_common(world, ad, now, out);
  out["adset_id"] = std::to_string(adset.id);
  out["campaign_id"] = std::to_string(world.parent(adset).id);
  out["adset"]["id"] = out["adset_id"];
  out["campaign"]["id"] = out["campaign_id"];
  out["creative"]["id"] = std::to_string(world.creative_of(ad).id);
  out["bid_type"] = "ABSOLUTE_OCPM";
  out["source_ad_id"] = "0";
  OrderedJson tracking;
  tracking["action.type"] = OrderedJson::array({"offsite_conversion"});
  tracking["fb_pixel"] =
      OrderedJson::array({std::to_string(between(ad.hash, 1'000'000'000'000'000, 1'999'999'999'999'999))});
  out["tracking_specs"] = OrderedJson::array({tracking});
  out["last_updated_by_app_id"] = "119211728144504";
  return out;
}

OrderedJson whole_of(const World& world, const Object& object, Instant now) {
  switch (object.kind) {
    case Kind::campaign:
      return campaign_whole(world, object, now);
    case Kind::adset:
      return adset_whole(world, object, now);
    case Kind::ad:
      return ad_whole(world, object, now);
    case Kind::creative:
      break;
  }
  return creative_whole(world, object, now);
}

// creative{id,name} and its like.
void expand(const World& world, const Object& object, const Field& field, Instant now, OrderedJson& out) {
  if (field.inner.empty() || !out.contains(field.name)) return;
  if (field.name == "creative" && object.kind == Kind::ad)
    out[field.name] = object_json(world, world.creative_of(object), field.inner, now);
  if (field.name == "adset" && object.kind == Kind::ad)
    out[field.name] = object_json(world, world.parent(object), field.inner, now);
  if (field.name == "campaign" && object.kind != Kind::campaign)
    out[field.name] = object_json(world, world.above(object, Kind::campaign), field.inner, now);
}

}  // namespace

OrderedJson account_json(const Account& account, const std::vector<Field>& fields, Instant now) {
  const auto offset = account.zone.lookup(now).offset;
  OrderedJson out;
  out["account_id"] = std::to_string(account.id);
  out["id"] = fmt::format("act_{}", account.id);
  if (fields.empty()) return out;
  out["name"] = account.name;
  out["account_status"] = account.status;
  out["age"] = static_cast<double>((unix_seconds(now) - unix_seconds(account.created)) / 86'400);
  out["amount_spent"] = minor(between(mix(static_cast<std::uint64_t>(account.id)), 100'000, 99'999'999));
  out["balance"] = minor(between(static_cast<std::uint64_t>(account.id), 0, 90'000));
  out["business"]["id"] = std::to_string(account.business_id);
  out["business"]["name"] = account.name + " Holding";
  out["created_time"] = format_meta_time(account.created, account.zone);
  out["currency"] = account.currency;
  out["disable_reason"] = account.status == 2 ? 1 : 0;
  out["end_advertiser"] = std::to_string(account.business_id);
  out["has_migrated_permissions"] = true;
  out["is_personal"] = 0;
  out["is_prepay_account"] = false;
  out["min_campaign_group_spend_cap"] = "10000";
  out["min_daily_budget"] = 100;
  out["offsite_pixels_tos_accepted"] = true;
  out["owner"] = std::to_string(account.business_id);
  out["spend_cap"] = "0";
  out["timezone_id"] = account.zone_id;
  out["timezone_name"] = account.zone_name;
  // Whole hours come as integers, as in 2; India's 5.5 as a float.
  if (offset % 3600 == 0)
    out["timezone_offset_hours_utc"] = offset / 3600;
  else
    out["timezone_offset_hours_utc"] = static_cast<double>(offset) / 3600;
  return pick(out, fields, kUnsetOfAccounts, "AdAccount");
}

OrderedJson object_json(const World& world, const Object& object, const std::vector<Field>& fields, Instant now) {
  constexpr std::string_view kNodes[] = {"Campaign", "AdSet", "Ad", "AdCreative"};
  if (fields.empty()) return OrderedJson{{"id", std::to_string(object.id)}};
  const std::array<const Names*, 4> unset = {&kUnsetOfCampaigns, &kUnsetOfAdsets, &kUnsetOfAds, &kUnsetOfCreatives};
  const auto kind = static_cast<std::size_t>(object.kind);
  auto out = pick(whole_of(world, object, now), fields, *unset[kind], kNodes[kind]);
  for (const auto& field : fields) expand(world, object, field, now, out);
  return out;
}

}  // namespace sluice::sandbox
