#include <algorithm>

#include "connectors/facebook_ads_fields.hpp"

namespace sluice::facebook {
namespace {

struct Comment {
  std::string_view field, text;
};

// Of the fields whose names do not say all: units, zones, what may be added up.
constexpr Comment comments[] = {
    {"account_currency", "ISO 4217; amounts of the row are in it"},
    {"account_id", "ad account, digits without act_"},
    {"account_status", "1 active, 2 disabled, 3 unsettled, 7 in risk review, 9 in grace period, 101 closed"},
    {"actions", "what people did, by action_type: array of {action_type, value}"},
    {"action_values", "what it was worth, by action_type, in account_currency: array of {action_type, value}"},
    {"ad_id", "ad"},
    {"adset_id", "ad set"},
    {"age", "of the account, in days"},
    {"amount_spent", "so far, in the currency's minor unit"},
    {"balance", "owed, in the currency's minor unit"},
    {"bid_amount", "in the currency's minor unit"},
    {"budget_remaining", "in the currency's minor unit"},
    {"campaign_id", "campaign"},
    {"clicks", "all clicks, those on the ad's links and others"},
    {"configured_status", "as it is set on the object itself"},
    {"cpc", "spend per click, in account_currency"},
    {"cpm", "spend per 1000 impressions, in account_currency"},
    {"cpp", "spend per 1000 people reached, in account_currency"},
    {"created_time", "instant"},
    {"ctr", "clicks per 100 impressions"},
    {"currency", "ISO 4217"},
    {"daily_budget", "in the currency's minor unit"},
    {"date_start", "day in the ad account's time zone"},
    {"date_stop", "last day of the row: the same"},
    {"effective_status", "status with that of the objects above it"},
    {"frequency", "impressions per person reached; must not be added up"},
    {"id", "as Meta numbers it"},
    {"inline_link_clicks", "clicks on the ad's links"},
    {"lifetime_budget", "in the currency's minor unit"},
    {"min_daily_budget", "in the currency's minor unit"},
    {"reach", "people who saw it at least once that day, estimated; must not be added up over days"},
    {"spend", "in account_currency"},
    {"spend_cap", "in the currency's minor unit; 0: none"},
    {"status", "as it is set on the object itself"},
    {"timezone_name", "IANA zone in which Meta cuts the account's days"},
    {"updated_time", "instant of the last change; not every change of what is below it"},
};

}  // namespace

std::string field_comment(std::string_view field) {
  const auto found = std::find_if(std::begin(comments), std::end(comments),
                                  [field](const Comment& comment) { return comment.field == field; });
  return found == std::end(comments) ? "" : std::string(found->text);
}

}  // namespace sluice::facebook
