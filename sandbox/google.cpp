#include "sandbox/google.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sandbox/google_report.hpp"
#include "sandbox/query.hpp"
#include "sandbox/sandbox.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kRefreshToken = "sandbox-refresh";
constexpr std::string_view kAccessToken = "sandbox-access";
constexpr std::string_view kGoogleVersions[] = {"v23", "v24", "v25", "v26"};
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

// The answer of searchStream is an array of elements with so many rows each.
std::string_view begin_element(bool first, bool any_rows) {
  if (!any_rows) return "{";
  return first ? R"({"results":[)" : "\r\n,\r\n{\"results\":[";
}

std::string end_element(bool last, bool any_rows, std::string_view mask) {
  return fmt::format(R"({}"fieldMask":"{}","requestId":"SandboxRequest000000"{}}})", any_rows ? "]," : "", mask,
                     last ? R"(,"queryResourceConsumption":"949")" : "");
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
  return reply_of(200, OrderedJson{{"access_token", kAccessToken},
                                   {"expires_in", 3599},
                                   {"scope", "https://www.googleapis.com/auth/adwords"},
                                   {"token_type", "Bearer"}}
                           .dump());
}

Reply Google::api(const Request& request, const std::string& path, const std::string& subject, Instant now) {
  const auto slash = path.find('/', 1);
  const auto version = std::string_view(path).substr(1, slash - 1);
  const auto rest = std::string_view(path).substr(slash + 1);
  if (std::ranges::find(kGoogleVersions, version) == std::end(kGoogleVersions))
    return reply_of(404, "<html><title>Error 404 (Not Found)!!1</title></html>", "text/html");
  authorize(request, version, subject);
  refuse_by_fault(subject);
  if (rest == "customers:listAccessibleCustomers")
    return reply_of(200, OrderedJson{{"resourceNames", {fmt::format("customers/{}", manager_number)}}}.dump());
  const auto body = OrderedJson::parse(request.body, nullptr, false);
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
  const auto query = GoogleQuery::parse(text);
  const bool streamed = rest.ends_with(":searchStream");
  if (streamed && account != nullptr && faults_.none()) {
    const GoogleReport report(world_, *account, query, now);
    if (report.same_every_day()) return prepared_stream(*account, report);
  }
  const auto answer = run(account, query, now);
  if (streamed) return reply_of(200, as_stream(answer, subject));
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
  const GoogleReport report(world_, *account, query, now);
  answer.rows = report.rows();
  answer.mask = report.mask();
  return answer;
}

void Google::clients(const GoogleQuery& query, Answer& answer) const {
  for (const auto& field : query.fields) answer.mask += (answer.mask.empty() ? "" : ",") + field;
  const auto add = [&](std::int64_t id, const std::string& name, const std::string& currency, const std::string& zone,
                       bool manager, bool active) {
    answer.rows.push_back(OrderedJson{{"customerClient",
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

// Of names and types; the conditions are on names alone.
std::string Google::fields(const std::string& text) {
  const auto query = GoogleQuery::parse(text);
  const auto* names = query.condition("name", "IN");
  if (names == nullptr) names = query.condition("name", "=");
  OrderedJson results = OrderedJson::array();
  for (const auto& name : names ? names->values : std::vector<std::string>()) {
    const auto type = google_data_type(name);
    if (!type) continue;
    const bool repeated = name.ends_with("labels") || name.ends_with("final_urls");
    results.push_back(
        {{"resourceName", "googleAdsFields/" + name}, {"name", name}, {"dataType", *type}, {"isRepeated", repeated}});
  }
  return OrderedJson{{"results", results}, {"totalResultsCount", std::to_string(results.size())}}.dump();
}

// Of a benchmark: its rows are made once, and copied while they are sent.
Reply Google::prepared_stream(const Account& account, const GoogleReport& report) {
  auto& day = prepared_[{account.index, report.from(), report.mask()}];
  if (!day) day = std::make_shared<PreparedRows>(report.rows_of_a_day());
  const auto [from, to] = report.days();
  const auto all = day->size() * static_cast<std::size_t>(to - from + 1);
  rows_served_ += static_cast<std::int64_t>(all);
  auto reply = reply_of(200, "[");
  reply.more = [rows = day, from = from, all, mask = report.mask(), at = std::size_t{0}](std::string& piece) mutable {
    constexpr std::size_t rows_in_piece = 500;  // they stay in the processor's cache
    if (at == all) return false;
    if (at % kRowsPerChunk == 0) piece += begin_element(at == 0, true);
    const auto end = std::min(all, at + rows_in_piece);
    rows->append_days(from, at, end, piece);
    at = end;
    if (at < all && at % kRowsPerChunk != 0) return true;
    piece.pop_back();
    piece += end_element(at == all, true, mask);
    if (at == all) piece += "\r\n]";
    return true;
  };
  return reply;
}

std::string Google::as_stream(const Answer& answer, const std::string& subject) {
  auto rows = answer.rows;
  tamper(faults_, subject, rows);
  rows_served_ += static_cast<std::int64_t>(rows.size());
  std::string out = "[";
  for (std::size_t at = 0; at == 0 || at < rows.size(); at += kRowsPerChunk) {
    out += begin_element(at == 0, !rows.empty());
    const auto end = std::min(rows.size(), at + kRowsPerChunk);
    for (auto i = at; i < end; ++i) out += (i > at ? "," : "") + rows[i];
    out += end_element(end == rows.size(), !rows.empty(), answer.mask);
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
