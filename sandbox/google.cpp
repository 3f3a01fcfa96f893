#include "sandbox/google.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sandbox/query.hpp"
#include "sandbox/sandbox.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kRefreshToken = "sandbox-refresh";
constexpr std::string_view kAccessToken = "sandbox-access";
constexpr std::string_view kVersions[] = {"v23", "v24", "v25", "v26"};
constexpr std::size_t kRowsPerChunk = 10'000;

Reply reply_of(int status, std::string body, std::string_view type = "application/json; charset=UTF-8") {
  Reply reply;
  reply.status = status;
  reply.headers.emplace_back("content-type", type);
  reply.body = std::move(body);
  return reply;
}

GoogleError error_of(int http, const std::string& status, const std::string& kind, const std::string& value,
                     const std::string& message) {
  GoogleError error(kind, value, message);
  error.http = http;
  error.status = status;
  return error;
}

GoogleError denied(const std::string& value) {
  return error_of(403, "PERMISSION_DENIED", "authorizationError", value,
                  value == "CUSTOMER_NOT_ENABLED"
                      ? "The customer account can't be accessed because it is not yet enabled "
                        "or has been deactivated."
                      : "User doesn't have permission to access customer.");
}

GoogleError quota(const std::string& scope, const std::string& seconds) {
  auto error = error_of(429, "RESOURCE_EXHAUSTED", "quotaError", "RESOURCE_EXHAUSTED",
                        "Too many requests. Retry in " + seconds + " seconds.");
  error.scope = scope;
  error.delay = seconds + "s";
  return error;
}

std::string argument(const std::optional<std::string>& given, std::string otherwise) {
  return given->empty() ? otherwise : *given;
}

}  // namespace

struct Google::Answer {
  std::vector<std::string> rows;  // each the text of an object
  std::string mask;
};

// "/token", "/v26/…": Meta's versions have a point.
bool Google::serves(std::string_view path) {
  if (path == "/token") return true;
  if (!path.starts_with("/v")) return false;
  const auto slash = path.find('/', 1);
  return slash != path.npos && slash > 2 &&
         std::ranges::all_of(path.substr(2, slash - 2), [](char c) { return c >= '0' && c <= '9'; });
}

Reply Google::answer(const Request& request, const std::string& path, const std::string& subject, Instant now) {
  if (path == "/token") return token(request, subject);
  const bool streamed = path.ends_with(":searchStream");
  try {
    return api(request, path, subject, now);
  } catch (const GoogleError& error) {
    // On searchStream the document stands in an array.
    return reply_of(error.http, streamed ? "[" + error.to_json() + "\n]" : error.to_json());
  }
}

Reply Google::token(const Request& request, const std::string& subject) {
  Params form;
  form.add_form(request.body);
  const bool refreshed = form.get("grant_type") == "refresh_token" && form.get("refresh_token") == kRefreshToken;
  const auto assertion = form.get("assertion");
  const bool asserted = form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" &&
                        std::ranges::count(assertion, '.') == 2;
  if (faults_.strikes("oauth_revoked", subject) || (!refreshed && !asserted))
    return reply_of(400, R"({"error":"invalid_grant","error_description":"Token has been expired or revoked."})");
  return reply_of(200, Json{{"access_token", kAccessToken},
                            {"expires_in", 3599},
                            {"scope", "https://www.googleapis.com/auth/adwords"},
                            {"token_type", "Bearer"}}
                           .dump());
}

Reply Google::api(const Request& request, const std::string& path, const std::string& subject, Instant now) {
  const auto slash = path.find('/', 1);
  const auto version = std::string_view(path).substr(1, slash - 1);
  const auto rest = std::string_view(path).substr(slash + 1);
  if (std::ranges::find(kVersions, version) == std::end(kVersions))
    return reply_of(404, "<html><title>Error 404 (Not Found)!!1</title></html>", "text/html");
  authorize(request, version, subject);
  refuse_by_fault(subject);
  if (rest == "customers:listAccessibleCustomers")
    return reply_of(200, Json{{"resourceNames", {fmt::format("customers/{}", manager_number)}}}.dump());
  const auto body = Json::parse(request.body, nullptr, false);
  if (!body.is_object() || !body.contains("query") || !body["query"].is_string())
    throw GoogleError("requestError", "REQUIRED_FIELD_MISSING", "query is missing");
  const auto text = body["query"].get<std::string>();
  if (body.contains("pageSize"))
    throw GoogleError("requestError", "PAGE_SIZE_NOT_SUPPORTED", "Setting the page size is not supported.");
  ++operations_;
  if (rest == "googleAdsFields:search") return reply_of(200, fields(text));
  constexpr std::string_view kCustomers = "customers/";
  const auto end = rest.find("/googleAds:");
  if (!rest.starts_with(kCustomers) || end == rest.npos)
    return reply_of(404, "<html><title>Error 404 (Not Found)!!1</title></html>", "text/html");
  const std::string number(rest.substr(kCustomers.size(), end - kCustomers.size()));
  const auto* account = customer(number, request, subject);
  const auto answer = run(account, GoogleQuery::parse(text), now);
  if (rest.ends_with(":searchStream")) return reply_of(200, as_stream(answer, subject));
  const auto page = body.value("pageToken", "");
  if (!page.empty()) --operations_;
  return reply_of(200, as_page(answer, page, subject));
}

void Google::authorize(const Request& request, std::string_view version, const std::string& subject) const {
  const auto refuse = [](const std::string& value) {
    return error_of(401, "UNAUTHENTICATED", "authenticationError", value,
                    "Request had invalid authentication credentials.");
  };
  if (request.header("authorization") != fmt::format("Bearer {}", kAccessToken)) throw refuse("OAUTH_TOKEN_INVALID");
  if (faults_.strikes("expired_token", subject)) throw refuse("OAUTH_TOKEN_EXPIRED");
  if (faults_.strikes("expired_version", subject))
    throw GoogleError("requestError", "UNSUPPORTED_VERSION",
                      fmt::format("Version {} is deprecated. Requests to this version will be blocked.", version));
}

void Google::refuse_by_fault(const std::string& subject) {
  if (const auto seconds = faults_.strikes("quota_short", subject)) throw quota("ACCOUNT", argument(seconds, "30"));
  if (const auto seconds = faults_.strikes("quota_day", subject)) throw quota("DEVELOPER", argument(seconds, "40591"));
  if (faults_.strikes("http500", subject))
    throw error_of(500, "INTERNAL", "internalError", "INTERNAL_ERROR", "An internal error has occurred.");
}

// Null: the manager.
const Account* Google::customer(const std::string& number, const Request& request, const std::string& subject) {
  const auto login = request.header("login-customer-id");
  if (login.find('-') != login.npos)
    throw GoogleError("headerError", "INVALID_LOGIN_CUSTOMER_ID", "The login customer ID is invalid.");
  if (number == std::to_string(manager_number)) return nullptr;
  const auto at = std::ranges::find_if(world_.accounts(),
                                       [&](const Account& a) { return std::to_string(customer_number(a)) == number; });
  if (at == world_.accounts().end() || (login != std::to_string(manager_number) && login != number && !login.empty()))
    throw denied("USER_PERMISSION_DENIED");
  if (at->status != 1) throw denied("CUSTOMER_NOT_ENABLED");
  if (faults_.armed("customer_denied")) {
    const auto whose = faults_.strikes("customer_denied", subject);
    if (whose && (whose->empty() || *whose == number)) throw denied("USER_PERMISSION_DENIED");
  }
  return &*at;
}

Google::Answer Google::run(const Account* account, const GoogleQuery& query, Instant now) {
  Answer answer;
  if (query.from == "customer_client") {
    clients(query, answer);
    return answer;
  }
  if (account == nullptr)
    throw GoogleError("queryError", "REQUESTED_METRICS_FOR_MANAGER",
                      "Metrics cannot be requested for a manager account.");
  rows(*account, query, now, answer);
  if (query.limit && answer.rows.size() > static_cast<std::size_t>(*query.limit))
    answer.rows.resize(static_cast<std::size_t>(*query.limit));
  return answer;
}

void Google::clients(const GoogleQuery& query, Answer& answer) const {
  for (const auto& field : query.fields) answer.mask += (answer.mask.empty() ? "" : ",") + field;
  const auto add = [&](std::int64_t id, const std::string& name, const std::string& currency, const std::string& zone,
                       bool manager, bool active) {
    answer.rows.push_back(Json{{"customerClient",
                                {{"id", std::to_string(id)},
                                 {"descriptiveName", name},
                                 {"currencyCode", currency},
                                 {"timeZone", zone},
                                 {"manager", manager},
                                 {"testAccount", false},
                                 {"status", active ? "ENABLED" : "CANCELED"}}}}
                              .dump());
  };
  add(manager_number, "Sandbox manager", "EUR", "Europe/Berlin", true, true);
  for (const auto& account : world_.accounts())
    add(customer_number(account), account.name, account.currency, account.zone_name, false, account.status == 1);
}

namespace {

void check_days(const GoogleQuery& query, const std::pair<Day, Day>& days, Day today) {
  const auto kept = query.from == "click_view" ? today - 89 : Day(cctz::civil_month(today) - 37);
  if (days.first >= kept && (query.from != "click_view" || days.first == days.second)) return;
  if (query.from != "click_view")
    throw GoogleError("dateRangeError", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED", "Days are kept for 37 months.");
  throw GoogleError("clickViewError", days.first < kept ? "DATE_TOO_OLD" : "EXPECTED_FILTER_ON_A_SINGLE_DAY",
                    "Queries including ClickView must have a filter limiting the results to one day.");
}

// What an object of that hash did on a day; nothing was delivered on some days. The last three days still grow.
bool deliver(GoogleRow& row, std::uint64_t seed, std::uint64_t object, Day today, Instant now, bool exact) {
  const auto day = row.day - Day(1970, 1, 1);
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

void Google::rows(const Account& account, const GoogleQuery& query, Instant now, Answer& answer) const {
  const auto resource = std::ranges::find(kResources, query.from, &Resource::name);
  if (resource == std::end(kResources))
    throw GoogleError("queryError", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE",
                      "'" + query.from + "' is not a valid resource name.");
  const GoogleRowWriter writer(world_, query, now);
  answer.mask = writer.mask();
  const auto today = day_of(now, account.zone);
  const auto days = query.days();
  if (days) check_days(query, *days, today);
  const auto add = [&](const GoogleRow& row) { writer.write(row, answer.rows.emplace_back()); };
  auto objects =
      resource->per == Per::none ? changes_of(world_, account, query, now) : objects_of(world_, account, *resource);
  for (auto& row : objects) {
    const auto object = row.hash;
    if (!days) {
      add(row);
      continue;
    }
    for (row.day = days->first; row.day <= std::min(days->second, today); row.day += 1) {
      const auto begun = row.campaign == nullptr || row.day >= day_of(row.campaign->created, account.zone);
      if (begun && deliver(row, world_.seed(), object, today, now, world_.exact())) add(row);
    }
  }
}

// Of names and types; the conditions are on names alone.
std::string Google::fields(const std::string& text) {
  const auto query = GoogleQuery::parse(text);
  const auto* names = query.condition("name", "IN");
  if (names == nullptr) names = query.condition("name", "=");
  Json results = Json::array();
  for (const auto& name : names ? names->values : std::vector<std::string>()) {
    const auto type = google_data_type(name);
    if (!type) continue;
    const bool repeated = name.ends_with("labels") || name.ends_with("final_urls");
    results.push_back(
        {{"resourceName", "googleAdsFields/" + name}, {"name", name}, {"dataType", *type}, {"isRepeated", repeated}});
  }
  return Json{{"results", results}, {"totalResultsCount", std::to_string(results.size())}}.dump();
}

std::string Google::as_stream(const Answer& answer, const std::string& subject) {
  auto rows = answer.rows;
  tamper(faults_, subject, rows);
  rows_served_ += static_cast<std::int64_t>(rows.size());
  std::string out = "[";
  for (std::size_t at = 0; at == 0 || at < rows.size(); at += kRowsPerChunk) {
    out += at == 0 ? "{" : "\r\n,\r\n{";
    if (!rows.empty()) out += "\"results\":[";
    const auto end = std::min(rows.size(), at + kRowsPerChunk);
    for (auto i = at; i < end; ++i) out += (i > at ? "," : "") + rows[i];
    if (!rows.empty()) out += "],";
    out += fmt::format(R"("fieldMask":"{}","requestId":"SandboxRequest000000")", answer.mask);
    out += end == rows.size() ? R"(,"queryResourceConsumption":"949"})" : "}";
  }
  if (faults_.strikes("stream_error", subject))
    out +=
        "," + error_of(500, "INTERNAL", "internalError", "INTERNAL_ERROR", "An internal error has occurred.").to_json();
  if (!faults_.strikes("stream_open", subject)) out += "\r\n]";
  return out;
}

std::string Google::as_page(const Answer& answer, const std::string& page_token, const std::string& subject) {
  if (!page_token.empty() && faults_.strikes("stale_page", subject))
    throw GoogleError("requestError", "EXPIRED_PAGE_TOKEN", "The page token has expired.");
  const auto first = static_cast<std::size_t>(page_token.empty() ? 0 : to_int(page_token).value_or(0));
  const auto last = std::min(answer.rows.size(), first + kRowsPerChunk);
  std::vector<std::string> rows(answer.rows.begin() + static_cast<std::ptrdiff_t>(std::min(first, last)),
                                answer.rows.begin() + static_cast<std::ptrdiff_t>(last));
  tamper(faults_, subject, rows);
  rows_served_ += static_cast<std::int64_t>(rows.size());
  std::string out = rows.empty() ? "{" : "{\"results\":[";
  for (std::size_t i = 0; i < rows.size(); ++i) out += (i > 0 ? "," : "") + rows[i];
  if (!rows.empty()) out += "],";
  if (last < answer.rows.size()) out += fmt::format(R"("nextPageToken":"{}",)", last);
  return out + fmt::format(R"("fieldMask":"{}"}})", answer.mask);
}

}  // namespace sluice::sandbox
