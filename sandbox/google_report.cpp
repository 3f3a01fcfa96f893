#include "sandbox/google_report.hpp"

#include <algorithm>

#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

void check_days(const GoogleQuery& query, const std::pair<Day, Day>& days, Day today) {
  const auto kept = query.from == "click_view" ? today - 89 : Day(cctz::civil_month(today) - 37);
  if (days.first >= kept && (query.from != "click_view" || days.first == days.second)) return;
  if (query.from != "click_view")
    throw GoogleError("dateRangeError", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED", "Days are kept for 37 months.");
  throw GoogleError("clickViewError", days.first < kept ? "DATE_TOO_OLD" : "EXPECTED_FILTER_ON_A_SINGLE_DAY",
                    "Queries including ClickView must have a filter limiting the results to one day.");
}

// What an object of that hash did on a day; nothing was delivered on some days. The last three days still grow. In an
// exact world all days are the same.
bool deliver(GoogleRow& row, std::uint64_t seed, std::uint64_t object, Day today, Instant now, bool exact) {
  const auto day = exact ? 0 : row.day - Day(1970, 1, 1);
  row.hash = hash_of(seed, object, day, row.nth, 77);
  if (!exact && row.hash % 8 == 0) return false;
  row.impressions = between(mix(row.hash), 20, 9000);
  if (!exact && today - row.day < 3) {
    const auto hours =
        std::chrono::duration_cast<std::chrono::hours>(now - start_of(row.day, row.account->zone)).count();
    row.impressions = std::max<std::int64_t>(1, row.impressions * std::clamp<std::int64_t>(hours, 1, 72) / 72);
  }
  row.clicks = row.impressions * static_cast<std::int64_t>(row.hash % 60) / 1000;
  row.cost_micros = row.clicks * between(row.hash, 50'000, 2'500'000);
  return true;
}

// Which objects a resource has rows for, and how many of them; none: its rows are no objects.
enum class Per { customer, campaign, ad_group, ad, none };
struct Resource {
  std::string_view name;
  Per per;
  int of_each;
};
constexpr Resource kResources[] = {{"customer", Per::customer, 1},        {"campaign", Per::campaign, 1},
                                   {"campaign_budget", Per::campaign, 1}, {"ad_group", Per::ad_group, 1},
                                   {"ad_group_ad", Per::ad, 1},           {"ad_group_criterion", Per::ad_group, 3},
                                   {"keyword_view", Per::ad_group, 3},    {"search_term_view", Per::ad_group, 4},
                                   {"geographic_view", Per::campaign, 3}, {"click_view", Per::ad, 1},
                                   {"change_event", Per::none, 0}};

std::vector<GoogleRow> objects_of(const World& world, const Account& account, const Resource& resource) {
  std::vector<GoogleRow> rows;
  GoogleRow row;
  row.account = &account;
  row.hash = hash_of(world.seed(), account.index);
  if (resource.per == Per::customer) return {row};
  const auto kind = resource.per == Per::campaign   ? Kind::campaign
                    : resource.per == Per::ad_group ? Kind::adset
                                                    : Kind::ad;
  for (const auto& object : account.of(kind)) {
    row.ad = kind == Kind::ad ? &object : nullptr;
    row.ad_group = kind == Kind::campaign ? nullptr : &world.above(object, Kind::adset);
    row.campaign = &world.above(object, Kind::campaign);
    for (row.nth = 0; row.nth < resource.of_each; ++row.nth) {
      row.hash = hash_of(object.hash, row.nth);
      rows.push_back(row);
    }
  }
  return rows;
}

// The edits of campaigns that the query's range of time holds, the earliest first.
std::vector<GoogleRow> changes_of(const World& world, const Account& account, const GoogleQuery& query, Instant now) {
  if (!query.limit) throw GoogleError("changeEventError", "LIMIT_NOT_SPECIFIED", "A LIMIT is required.");
  if (*query.limit > 10'000) throw GoogleError("changeEventError", "INVALID_LIMIT_CLAUSE", "LIMIT is 10000 at most.");
  if (!query.condition("change_event.change_date_time", ">=") ||
      !query.condition("change_event.change_date_time", "<="))
    throw GoogleError("changeEventError", "CHANGE_DATE_RANGE_INFINITE", "The date range has to be finite.");
  const auto& from = query.condition("change_event.change_date_time", ">=")->values[0];
  const auto& to = query.condition("change_event.change_date_time", "<=")->values[0];
  if (from < format_day(day_of(now, account.zone) - 30))
    throw GoogleError("changeEventError", "START_DATE_TOO_OLD", "Changes are kept for 30 days.");
  std::vector<GoogleRow> rows;
  GoogleRow row;
  row.account = &account;
  for (const auto& campaign : account.of(Kind::campaign)) {
    row.campaign = &campaign;
    for (row.nth = static_cast<int>(world.edits(campaign, now)); row.nth >= 0; --row.nth) {
      row.hash = hash_of(campaign.hash, row.nth);
      const auto when = google_change_time(row);
      if (when < from) break;
      if (when <= to) rows.push_back(row);
    }
  }
  std::ranges::stable_sort(rows, {}, google_change_time);
  return rows;
}

}  // namespace

GoogleReport::GoogleReport(const World& world, const Account& account, const GoogleQuery& query, Instant now)
    : world_(world),
      query_(query),
      now_(now),
      today_(day_of(now, account.zone)),
      days_(query.days()),
      writer_(world, query, now) {
  const auto resource = std::ranges::find(kResources, query.from, &Resource::name);
  if (resource == std::end(kResources))
    throw GoogleError("queryError", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE",
                      "'" + query.from + "' is not a valid resource name.");
  if (days_) check_days(query, *days_, today_);
  if (days_) days_->second = std::min(days_->second, today_);
  objects_ =
      resource->per == Per::none ? changes_of(world, account, query, now) : objects_of(world, account, *resource);
}

void GoogleReport::write(const std::pair<Day, Day>& days, const std::function<void(std::string_view)>& add) const {
  std::string text;
  for (auto day = days.first; day <= days.second; ++day) {
    for (auto row : objects_) {
      const auto object = row.hash;
      row.day = day;
      const auto begun = row.campaign == nullptr || day >= day_of(row.campaign->created, row.account->zone);
      if (!begun || !deliver(row, world_.seed(), object, today_, now_, world_.exact())) continue;
      text.clear();
      writer_.write(row, text);
      add(text);
    }
  }
}

std::vector<std::string> GoogleReport::rows() const {
  std::vector<std::string> rows;
  if (days_)
    write(*days_, [&](std::string_view row) { rows.emplace_back(row); });
  else
    for (const auto& object : objects_) writer_.write(object, rows.emplace_back());
  if (query_.limit && rows.size() > static_cast<std::size_t>(*query_.limit))
    rows.resize(static_cast<std::size_t>(*query_.limit));
  return rows;
}

bool GoogleReport::same_every_day() const {
  return world_.exact() && days_ && days_->first <= days_->second && !query_.limit &&
         std::ranges::count(query_.fields, "segments.date") > 0;
}

PreparedRows GoogleReport::rows_of_a_day() const {
  PreparedRows rows;
  write({days_->first, days_->first},
        [&](std::string_view row) { rows.add(std::string(row) + ',', {"\"segments\":{\"date\":\""}); });
  return rows;
}

}  // namespace sluice::sandbox
