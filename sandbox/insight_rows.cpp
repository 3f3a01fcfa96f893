#include "sandbox/insight_rows.hpp"

#include <charconv>

#include "sandbox/actions.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {

struct RowWriter::View {
  const Account& account;
  const InsightsQuery& query;
  const InsightRow& row;
  const Object* campaign = nullptr;
  const Object* adset = nullptr;
  const Object* ad = nullptr;
};

namespace {

using View = RowWriter::View;
using Write = RowWriter::FieldWriter;

bool put_text(std::string& out, std::string_view text) {
  out += '"';
  out += text;
  out += '"';
  return true;
}

bool put_int(std::string& out, std::int64_t value) {
  char digits[24];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  return put_text(out, std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

template <Count which>
bool count(const View& v, std::string& out) {
  return put_int(out, v.row.measures[which]);
}

std::int64_t spend_micros(const View& v) {
  return minor_to_micros(v.account, v.row.measures[spend]);
}

bool put_ratio(std::string& out, std::int64_t micros, std::int64_t denominator) {
  if (denominator == 0) return false;
  out += '"';
  append_micros(out, (micros + denominator / 2) / denominator);
  out += '"';
  return true;
}

template <Count denominator, int factor = 1>
bool cost(const View& v, std::string& out) {
  return put_ratio(out, spend_micros(v) * factor, v.row.measures[denominator]);
}

template <Count numerator, Count denominator, int factor = 100>
bool rate(const View& v, std::string& out) {
  return put_ratio(out, v.row.measures[numerator] * factor * 1'000'000, v.row.measures[denominator]);
}

bool put_id(std::string& out, const Object* object) {
  return object != nullptr && put_int(out, object->id);
}

bool put_name(std::string& out, const Object* object) {
  if (object == nullptr) return false;
  out += object->quoted_name;
  return true;
}

template <Count which>
bool views(const View& v, std::string& out) {
  return write_single(out, "video_view", v.row.measures[which]);
}

constexpr std::string_view kRankings[] = {"ABOVE_AVERAGE", "AVERAGE", "BELOW_AVERAGE_35", "UNKNOWN"};

bool ranking(const View& v, std::string& out) {
  return v.ad != nullptr && put_text(out, v.row.measures[impressions] < 500 ? "UNKNOWN" : kRankings[v.ad->hash % 3]);
}

bool play_curve(const View& v, std::string& out) {
  if (v.row.measures[video_views] == 0) return false;
  out += R"([{"action_type":"video_view","value":[100,81,66,52,43,35,31,28,24,22,20,19,17,15,14,12,11,9,8,7,5,3]}])";
  return true;
}

constexpr std::string_view kObjectives[] = {"OUTCOME_SALES", "OUTCOME_TRAFFIC", "OUTCOME_AWARENESS", "OUTCOME_LEADS"};

const std::map<std::string_view, Write>& writers() {
  static const std::map<std::string_view, Write> table = {
      {"account_id", [](const View& v, std::string& out) { return put_int(out, v.account.id); }},
      {"account_currency", [](const View& v, std::string& out) { return put_text(out, v.account.currency); }},
      {"account_name",
       [](const View& v, std::string& out) {
         out += v.account.quoted_name;
         return true;
       }},
      {"campaign_id", [](const View& v, std::string& out) { return put_id(out, v.campaign); }},
      {"campaign_name", [](const View& v, std::string& out) { return put_name(out, v.campaign); }},
      {"adset_id", [](const View& v, std::string& out) { return put_id(out, v.adset); }},
      {"adset_name", [](const View& v, std::string& out) { return put_name(out, v.adset); }},
      {"ad_id", [](const View& v, std::string& out) { return put_id(out, v.ad); }},
      {"ad_name", [](const View& v, std::string& out) { return put_name(out, v.ad); }},
      {"objective",
       [](const View& v, std::string& out) {
         return v.campaign != nullptr && put_text(out, kObjectives[v.campaign->hash % 4]);
       }},
      {"buying_type",
       [](const View& v, std::string& out) { return v.campaign != nullptr && put_text(out, "AUCTION"); }},
      {"optimization_goal",
       [](const View& v, std::string& out) { return v.adset != nullptr && put_text(out, "OFFSITE_CONVERSIONS"); }},
      {"attribution_setting",
       [](const View& v, std::string& out) { return v.adset != nullptr && put_text(out, "7d_click_1d_view"); }},
      // Meta: in insights these two are dates.
      {"created_time",
       [](const View& v, std::string& out) {
         const auto* newest = v.ad != nullptr ? v.ad : v.adset != nullptr ? v.adset : v.campaign;
         return newest != nullptr && put_text(out, format_day(day_of(newest->created, v.account.zone)));
       }},
      {"updated_time",
       [](const View& v, std::string& out) {
         const auto* newest = v.ad != nullptr ? v.ad : v.adset != nullptr ? v.adset : v.campaign;
         return newest != nullptr && put_text(out, format_day(day_of(newest->created, v.account.zone) + 1));
       }},
      {"impressions", count<impressions>},
      {"clicks", count<clicks>},
      {"reach", count<reach>},
      {"unique_clicks", count<unique_clicks>},
      {"inline_link_clicks", count<link_clicks>},
      {"unique_inline_link_clicks", count<link_clicks>},
      {"inline_post_engagement",
       [](const View& v, std::string& out) {
         return put_int(out, v.row.measures[link_clicks] + v.row.measures[reactions] + v.row.measures[video_views]);
       }},
      {"spend", [](const View& v, std::string& out) { return put_ratio(out, spend_micros(v), 1); }},
      {"social_spend", [](const View&, std::string& out) { return put_text(out, "0"); }},
      {"cpc", cost<clicks>},
      {"cpm", cost<impressions, 1000>},
      {"cpp", cost<reach, 1000>},
      {"ctr", rate<clicks, impressions>},
      {"unique_ctr", rate<unique_clicks, reach>},
      {"frequency", rate<impressions, reach, 1>},
      {"cost_per_unique_click", cost<unique_clicks>},
      {"cost_per_inline_link_click", cost<link_clicks>},
      {"inline_link_click_ctr", rate<link_clicks, impressions>},
      {"quality_ranking", ranking},
      {"engagement_rate_ranking", ranking},
      {"conversion_rate_ranking", ranking},
      {"actions", [](const View& v,
                     std::string& out) { return write_actions(out, v.query, v.row.measures, Of::counts, v.account); }},
      {"unique_actions",
       [](const View& v, std::string& out) {
         return write_actions(out, v.query, v.row.measures, Of::counts, v.account);
       }},
      {"action_values",
       [](const View& v, std::string& out) {
         return write_actions(out, v.query, v.row.measures, Of::values, v.account);
       }},
      {"cost_per_action_type",
       [](const View& v, std::string& out) {
         return write_actions(out, v.query, v.row.measures, Of::costs, v.account);
       }},
      {"purchase_roas",
       [](const View& v, std::string& out) {
         return write_actions(out, v.query, v.row.measures, Of::returns, v.account);
       }},
      {"outbound_clicks",
       [](const View& v, std::string& out) {
         return write_single(out, "outbound_click", v.row.measures[link_clicks]);
       }},
      {"video_play_actions", views<video_views>},
      {"video_p25_watched_actions", views<video_views>},
      {"video_p50_watched_actions", views<video_half>},
      {"video_p75_watched_actions", views<video_half>},
      {"video_p95_watched_actions", views<video_full>},
      {"video_p100_watched_actions", views<video_full>},
      {"video_thruplay_watched_actions", views<video_half>},
      {"video_30_sec_watched_actions", views<video_full>},
      {"video_play_curve_actions", play_curve},
      {"date_start", [](const View&, std::string&) { return false; }},
      {"date_stop", [](const View&, std::string&) { return false; }},
  };
  return table;
}

// Fields that exist and that nothing here ever fills.
constexpr std::string_view kNeverFilled[] = {"ad_click_actions",
                                             "ad_impression_actions",
                                             "auction_bid",
                                             "auction_competitiveness",
                                             "auction_max_competitor_bid",
                                             "canvas_avg_view_percent",
                                             "canvas_avg_view_time",
                                             "catalog_segment_actions",
                                             "catalog_segment_value",
                                             "conversion_values",
                                             "conversions",
                                             "converted_product_quantity",
                                             "converted_product_value",
                                             "cost_per_15_sec_video_view",
                                             "cost_per_conversion",
                                             "cost_per_estimated_ad_recallers",
                                             "cost_per_inline_post_engagement",
                                             "cost_per_outbound_click",
                                             "cost_per_thruplay",
                                             "cost_per_unique_action_type",
                                             "cost_per_unique_inline_link_click",
                                             "cost_per_unique_outbound_click",
                                             "dda_results",
                                             "estimated_ad_recall_rate",
                                             "estimated_ad_recallers",
                                             "full_view_impressions",
                                             "full_view_reach",
                                             "instant_experience_clicks_to_open",
                                             "instant_experience_clicks_to_start",
                                             "instant_experience_outbound_clicks",
                                             "labels",
                                             "location",
                                             "mobile_app_purchase_roas",
                                             "objective_results",
                                             "outbound_clicks_ctr",
                                             "place_page_name",
                                             "qualifying_question_qualify_answer_rate",
                                             "result_rate",
                                             "results",
                                             "cost_per_result",
                                             "social_spend",
                                             "unique_inline_link_click_ctr",
                                             "unique_link_clicks_ctr",
                                             "unique_outbound_clicks",
                                             "unique_outbound_clicks_ctr",
                                             "video_avg_time_watched_actions",
                                             "video_continuous_2_sec_watched_actions",
                                             "video_time_watched_actions",
                                             "website_ctr",
                                             "website_purchase_roas",
                                             "wish_bid",
                                             "age_targeting",
                                             "gender_targeting",
                                             "adset_end",
                                             "adset_start",
                                             "average_purchases_conversion_value",
                                             "catalog_segment_value_mobile_purchase_roas",
                                             "catalog_segment_value_omni_purchase_roas",
                                             "catalog_segment_value_website_purchase_roas",
                                             "conversion_lead_rate",
                                             "conversion_leads",
                                             "cost_per_2_sec_continuous_video_view",
                                             "cost_per_ad_click",
                                             "cost_per_conversion_lead",
                                             "cost_per_dda_countby_convs",
                                             "cost_per_objective_result",
                                             "cost_per_one_thousand_ad_impression",
                                             "cost_per_unique_conversion",
                                             "creative_diversity_data",
                                             "creative_media_type",
                                             "dda_countby_convs",
                                             "estimated_ad_recall_rate_lower_bound",
                                             "estimated_ad_recall_rate_upper_bound",
                                             "estimated_ad_recallers_lower_bound",
                                             "estimated_ad_recallers_upper_bound",
                                             "instagram_upcoming_event_reminders_set",
                                             "interactive_component_tap",
                                             "landing_page_view_actions_per_link_click",
                                             "landing_page_view_per_purchase_rate",
                                             "link_clicks_per_results",
                                             "marketing_messages_cost_per_delivered",
                                             "marketing_messages_cost_per_link_btn_click",
                                             "marketing_messages_delivery_rate",
                                             "marketing_messages_link_btn_click_rate",
                                             "marketing_messages_media_view_rate",
                                             "marketing_messages_phone_call_btn_click_rate",
                                             "marketing_messages_quick_reply_btn_click_rate",
                                             "marketing_messages_read_rate",
                                             "marketing_messages_spend",
                                             "marketing_messages_website_purchase_values",
                                             "objective_result_rate",
                                             "onsite_conversion_messaging_detected_purchase_deduped",
                                             "purchases_per_link_click",
                                             "result_values_performance_indicator",
                                             "shops_assisted_purchases",
                                             "total_postbacks",
                                             "total_postbacks_detailed",
                                             "total_postbacks_detailed_v4",
                                             "unique_conversions",
                                             "unique_video_continuous_2_sec_watched_actions",
                                             "unique_video_view_15_sec",
                                             "video_15_sec_watched_actions",
                                             "video_play_retention_0_to_15s_actions",
                                             "video_play_retention_20_to_60s_actions",
                                             "video_play_retention_graph_actions",
                                             "video_view_per_impression"};

// Meta: reach over more than 13 months is left out of broken-down reports, and hourly ones have no unique counts.
bool left_out(std::string_view field, const InsightsQuery& query, Day today) {
  if (query.breakdowns.empty()) return false;
  const bool reachlike = field == "reach" || field == "frequency" || field == "cpp";
  if (reachlike && cctz::civil_month(today) - cctz::civil_month(query.since) > 13) return true;
  const bool hourly = query.breakdowns.front().starts_with("hourly_");
  return hourly && (field.starts_with("unique_") || field.starts_with("video_"));
}

}  // namespace

bool is_insight_field(std::string_view name) {
  return writers().contains(name) || std::ranges::find(kNeverFilled, name) != std::end(kNeverFilled);
}

RowWriter::RowWriter(const World& world, const InsightsQuery& query, Instant now) : world_(world), query_(query) {
  const auto today = day_of(now, world.accounts()[static_cast<std::size_t>(query.account)].zone);
  for (const auto& field : query.fields) {
    const auto at = writers().find(field);
    if (at == writers().end() || left_out(field, query, today)) continue;
    columns_.push_back({fmt::format("\"{}\":", field), at->second});
  }
  for (const auto& name : query.breakdowns) breakdown_keys_.push_back(fmt::format(",\"{}\":", name));
}

void RowWriter::write(const InsightRow& row, std::string& out) const {
  View view{world_.accounts()[static_cast<std::size_t>(query_.account)], query_, row};
  if (row.object != nullptr) {
    view.campaign = &world_.above(*row.object, Kind::campaign);
    if (row.object->kind != Kind::campaign) view.adset = &world_.above(*row.object, Kind::adset);
    if (row.object->kind == Kind::ad) view.ad = row.object;
  }
  out += '{';
  for (const auto& column : columns_) {
    const auto before = out.size();
    out += column.key;
    if (column.writer(view, out))
      out += ',';
    else
      out.resize(before);
  }
  out += "\"date_start\":\"";
  out += format_day(row.since);
  out += "\",\"date_stop\":\"";
  out += format_day(row.until);
  out += '"';
  for (std::size_t i = 0; i < breakdown_keys_.size(); ++i) {
    out += breakdown_keys_[i];
    out += json_string(row.breakdown_values[i]);
  }
  out += '}';
}

}  // namespace sluice::sandbox
