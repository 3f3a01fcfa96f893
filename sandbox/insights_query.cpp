#include <nlohmann/json.hpp>

#include "core/read_json.hpp"
#include "sandbox/errors.hpp"
#include "sandbox/insight_rows.hpp"
#include "sandbox/insights.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

// Meta: the action attribution windows that may be asked for; 7d_view and 28d_view still may, and bring nothing.
constexpr std::string_view kWindows[] = {"default", "1d_click", "7d_click", "28d_click",      "1d_view",
                                         "7d_view", "28d_view", "1d_ev",    "incrementality", "dda"};

constexpr std::string_view kActionBreakdowns[] = {"action_type",
                                                  "action_device",
                                                  "action_destination",
                                                  "action_target_id",
                                                  "action_reaction",
                                                  "action_video_sound",
                                                  "action_video_type",
                                                  "action_carousel_card_id",
                                                  "action_carousel_card_name",
                                                  "action_canvas_component_name",
                                                  "conversion_destination",
                                                  "standard_event_content_type"};

template <typename Known>
void require_known(const std::vector<std::string>& names, const Known& known, std::string_view param) {
  for (const auto& name : names)
    if (std::ranges::find(known, name) == std::end(known))
      throw bad_parameter(fmt::format("{}[0] must be one of the following values, not {}", param, name));
}

std::pair<Day, Day> read_range(const std::string& text) {
  const auto json = read_json(text);
  if (!json.is_object() || !json.contains("since") || !json.contains("until"))
    throw bad_parameter("param time_range must be an object with since and until");
  const auto since = parse_day(json["since"].is_string() ? json["since"].get<std::string>() : "");
  const auto until = parse_day(json["until"].is_string() ? json["until"].get<std::string>() : "");
  if (!since || !until) throw bad_parameter("param time_range: the dates must be YYYY-MM-DD");
  if (*since > *until) throw bad_parameter("param time_range: since must not be after until");
  return {*since, *until};
}

std::pair<Day, Day> read_preset(const std::string& preset, Day today) {
  if (preset == "today") return {today, today};
  if (preset == "yesterday") return {today - 1, today - 1};
  if (preset.starts_with("last_") && preset.ends_with("d")) {
    const auto count = to_int(std::string_view(preset).substr(5, preset.size() - 6));
    if (count && *count > 0 && *count <= 90) return {today - *count, today - 1};
  }
  throw bad_parameter(fmt::format("param date_preset: the sandbox does not know {}", preset));
}

// Meta: the 37 months end the day after the same day 37 months ago; a day that month lacks is its last one.
Day oldest_day(Day today) {
  const cctz::civil_month month = cctz::civil_month(today) - 37;
  const auto last = Day(month + 1) - 1;
  const auto same = Day(month) + (today.day() - 1);
  return std::min(same, last) + 1;
}

void check_retention(Day since, Day today) {
  if (since >= oldest_day(today)) return;
  GraphError error;
  error.code = 3018;
  error.message = "(#3018) The start date of the time range cannot be beyond 37 months from the current date";
  throw error;
}

void split_periods(InsightsQuery& query, const std::string& increment) {
  if (increment == "all_days") {
    query.periods.emplace_back(query.since, query.until);
    return;
  }
  if (increment == "monthly") {
    for (auto from = query.since; from <= query.until;) {
      const auto to = std::min(Day(cctz::civil_month(from) + 1) - 1, query.until);
      query.periods.emplace_back(from, to);
      from = to + 1;
    }
    return;
  }
  const auto length = to_int(increment);
  if (!length || *length < 1 || *length > 90)
    throw bad_parameter("param time_increment must be 1 to 90, monthly or all_days");
  for (auto from = query.since; from <= query.until; from += *length)
    query.periods.emplace_back(from, std::min(from + (*length - 1), query.until));
}

Level read_level(const Params& params, const Object* scope) {
  constexpr std::string_view kLevels[] = {"account", "campaign", "adset", "ad"};
  const auto fallback = scope == nullptr ? Level::account : static_cast<Level>(static_cast<int>(scope->kind) + 1);
  const auto text = params.get("level", kLevels[static_cast<std::size_t>(fallback)]);
  const auto at = std::ranges::find(kLevels, text);
  if (at == std::end(kLevels))
    throw bad_parameter("level must be one of the following values: ad, adset, campaign, account");
  return static_cast<Level>(at - std::begin(kLevels));
}

void read_breakdowns(const Params& params, InsightsQuery& query) {
  query.breakdowns = params.list("breakdowns");
  for (const auto& name : query.breakdowns)
    if (breakdown_values(name) == nullptr)
      throw bad_parameter(fmt::format("breakdowns[0] must be a known breakdown, not {}", name));
  if (!valid_breakdowns(query.breakdowns)) {
    GraphError error;
    error.code = 2;
    error.subcode = 1504041;
    error.message = "(#2) Invalid combination of breakdowns";
    throw error;
  }
  query.action_breakdowns = params.list("action_breakdowns");
  if (query.action_breakdowns.empty()) query.action_breakdowns.push_back("action_type");
  require_known(query.action_breakdowns, kActionBreakdowns, "action_breakdowns");
}

void read_fields(const Params& params, InsightsQuery& query) {
  query.fields = params.list("fields");
  for (const auto& name : query.fields)
    if (!is_insight_field(name))
      throw bad_parameter(
          fmt::format("{} is not valid for fields param. please check "
                      "https://developers.facebook.com/docs/marketing-api/reference/ads-insights/ for all valid values",
                      name));
  if (!query.fields.empty()) return;
  constexpr std::string_view kIds[] = {"account_id", "campaign_id", "adset_id", "ad_id"};
  for (std::size_t i = 0; i <= static_cast<std::size_t>(query.level); ++i) query.fields.emplace_back(kIds[i]);
  query.fields.insert(query.fields.end(), {"impressions", "spend"});
}

}  // namespace

InsightsQuery parse_insights(const Params& params, const Account& account, const Object* scope, Instant now) {
  InsightsQuery query;
  query.account = account.index;
  query.scope = scope == nullptr ? 0 : scope->id;
  query.level = read_level(params, scope);
  const auto today = day_of(now, account.zone);
  std::tie(query.since, query.until) = params.has("time_range")
                                           ? read_range(params.get("time_range"))
                                           : read_preset(params.get("date_preset", "last_30d"), today);
  check_retention(query.since, today);
  split_periods(query, params.get("time_increment", "all_days"));
  read_breakdowns(params, query);
  read_fields(params, query);
  query.windows = params.list("action_attribution_windows");
  require_known(query.windows, kWindows, "action_attribution_windows");
  std::optional<Kind> kind;
  if (query.level != Level::account) kind = static_cast<Kind>(static_cast<int>(query.level) - 1);
  query.filters = parse_filters(params, kind);
  return query;
}

}  // namespace sluice::sandbox
