#include "connectors/google_ads_dialect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "connectors/google_ads_json.hpp"
#include "core/read_json.hpp"

namespace sluice::google {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// A quota that comes back later than this is waited for by ending the run.
constexpr Duration longest_wait = 5min;
constexpr Duration wait_for_the_day = 1h;  // where the API does not say how long
constexpr std::size_t small_body = 4096;

enum class Reaction { retry, throttled, quota_of_the_day, renew, no_access, stale_page, version, stop };

// What the API's error codes mean: {"errorCode":{"KIND":"VALUE"}}. An empty value matches any. The first row counts.
struct Rule {
  std::string_view kind, value;
  Reaction reaction;
  std::string_view advice;
};

constexpr std::string_view give_access =
    "see that the customer is active, that the credential's user has access to it or to its manager, and that "
    "login_customer_id names that manager";
constexpr std::string_view fix_query = "check the stream's query in sluice.yaml, and api_version: fields come and go";
constexpr std::string_view fix_project =
    "see the API's page of the credential's project in the Google Cloud console: the Google Ads API has to be enabled, "
    "and its access level has to cover production accounts";

constexpr Rule rules[] = {
    {"internalError", "", Reaction::retry, ""},
    {"quotaError", "RESOURCE_EXHAUSTED", Reaction::throttled, ""},
    {"quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", Reaction::throttled, ""},
    {"quotaError", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION", Reaction::throttled, ""},
    {"quotaError", "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", Reaction::quota_of_the_day, ""},
    {"quotaError", "", Reaction::stop, fix_project},
    {"requestError", "EXPIRED_PAGE_TOKEN", Reaction::stale_page, ""},
    {"requestError", "INVALID_PAGE_TOKEN", Reaction::stale_page, ""},
    {"requestError", "UNSUPPORTED_VERSION", Reaction::version, ""},
    {"authenticationError", "OAUTH_TOKEN_EXPIRED", Reaction::renew, ""},
    {"authenticationError", "OAUTH_TOKEN_INVALID", Reaction::renew, ""},
    {"authenticationError", "CUSTOMER_NOT_FOUND", Reaction::no_access, give_access},
    {"authenticationError", "NOT_ADS_USER", Reaction::stop,
     "the user who gave the refresh token, or the service account, is not a user of any Google Ads account: add it "
     "there"},
    {"authenticationError", "TWO_STEP_VERIFICATION_NOT_ENROLLED", Reaction::stop,
     "the user has to turn on two-step verification, then log in again for a new refresh token"},
    {"authenticationError", "ADVANCED_PROTECTION_NOT_ENROLLED", Reaction::stop,
     "the user has to enrol in Google's Advanced Protection, then log in again for a new refresh token"},
    {"authenticationError", "ORGANIZATION_NOT_APPROVED", Reaction::stop, fix_project},
    {"authenticationError", "", Reaction::stop, "log in again and store the new refresh token"},
    {"authorizationError", "CUSTOMER_NOT_ENABLED", Reaction::no_access,
     "the customer is cancelled or not set up yet; take it out of `customers`, or enable it"},
    {"authorizationError", "USER_PERMISSION_DENIED", Reaction::no_access, give_access},
    {"authorizationError", "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT", Reaction::no_access,
     "the customer is suspended; see its account in Google Ads"},
    {"authorizationError", "", Reaction::stop, fix_project},
    {"headerError", "", Reaction::stop, "login_customer_id has to be the number of a manager, ten digits"},
    {"queryError", "", Reaction::stop, fix_query},
    {"dateRangeError", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED", Reaction::stop,
     "Google keeps days for 37 months; set window.start of the stream to a later day"},
    {"dateRangeError", "", Reaction::stop, fix_query},
    {"clickViewError", "", Reaction::stop,
     "clicks are kept for 90 days; set window.start of the stream to a later day"},
    {"changeEventError", "", Reaction::stop, fix_query},
};

const Rule* find_rule(std::string_view kind, std::string_view value) {
  const auto at = std::find_if(std::begin(rules), std::end(rules), [&](const Rule& rule) {
    return rule.kind == kind && (rule.value.empty() || rule.value == value);
  });
  return at == std::end(rules) ? nullptr : &*at;
}

// "40591s", a fraction possible.
std::optional<Duration> seconds_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(value >= 0) || value > 1e7) return {};
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
}

// "Too many requests. Retry in 40591 seconds."
std::optional<Duration> retry_in(const std::string& message) {
  constexpr std::string_view before = "Retry in ";
  const auto at = message.find(before);
  return at == message.npos ? std::nullopt : seconds_of(std::string_view(message).substr(at + before.size()));
}

// An error document, taken apart.
struct Refusal {
  std::string kind, value;  // of the first error whose code is known, else of the first
  std::string message, status, reason, request_id;
  std::optional<Duration> wait;
  bool of_customer = false;  // the quota that is used up is the customer's own

  explicit Refusal(const json& error) : message(text_of(error, "message")), status(text_of(error, "status")) {
    const auto& details = member(error, "details");
    if (!details.is_array()) return;
    for (const auto& detail : details) {
      if (reason.empty()) reason = text_of(detail, "reason");
      if (request_id.empty()) request_id = text_of(detail, "requestId");
      const auto& errors = member(detail, "errors");
      if (!errors.is_array()) continue;
      for (const auto& one : errors) take(one);
    }
  }

  std::string described(int http) const {
    auto text = message.empty() ? "no message" : message;
    text +=
        fmt::format(" ({}{}{}", kind.empty() ? reason.empty() ? status : reason : kind, kind.empty() ? "" : ".", value);
    if (http != 200) text += fmt::format(", HTTP {}", http);
    if (!request_id.empty()) text += ", request " + request_id;
    return text + ")";
  }

 private:
  void take(const json& one) {
    const auto& code = member(one, "errorCode");
    if (!code.is_object() || code.empty()) return;
    const auto name = code.begin().key();
    const auto said = text_of(code, name.c_str());
    if (!kind.empty() && (find_rule(kind, value) || !find_rule(name, said))) return;
    kind = name;
    value = said;
    if (const auto own = text_of(one, "message"); !own.empty()) message = own;
    const auto& quota = member(member(one, "details"), "quotaErrorDetails");
    wait = seconds_of(text_of(quota, "retryDelay"));
    if (!wait) wait = retry_in(message);
    of_customer = text_of(quota, "rateScope") == "ACCOUNT";
  }
};

Verdict failed(Remedy remedy, std::string why, std::string what, std::optional<Duration> wait = {}) {
  Verdict verdict;
  verdict.error.emplace(remedy, what, wait);
  verdict.reason = std::move(why);
  return verdict;
}

Verdict version_ended(const std::string& said, const std::string& version) {
  return failed(
      Remedy::give_up, reason::version,
      fmt::format("{}: version {} of the Google Ads API has ended, or is not there yet: set api_version of the "
                  "source to one that is alive",
                  said, version));
}

Reaction reaction_by_status(int http, const std::string& status) {
  if (http == 401 || status == "UNAUTHENTICATED") return Reaction::renew;
  if (http == 429 || status == "RESOURCE_EXHAUSTED") return Reaction::throttled;
  // A version that is about to be switched off answers so too.
  return http >= 500 || status == "ABORTED" || status == "CANCELLED" ? Reaction::retry : Reaction::stop;
}

// On searchStream the error document is the element of an array; elsewhere it stands alone. Null: there is none.
json error_in(const json& document) {
  if (document.is_array())
    for (const auto& part : document)
      if (part.is_object() && part.contains("error")) return part["error"];
  return member(document, "error");
}

// Google: an answer without rows has its other members all the same. What has none of them came from somebody else, and
// must not be taken for an empty window.
bool is_answer(const json& document) {
  static constexpr const char* members[] = {"results", "fieldMask", "requestId", "queryResourceConsumption"};
  return document.is_object() &&
         std::any_of(std::begin(members), std::end(members), [&](const char* m) { return document.contains(m); });
}

// A body that was cut, where its length is not told.
bool ends_like_a_document(const std::string& body) {
  const auto last = body.find_last_not_of(" \t\r\n");
  return last != std::string::npos && body[last] == '}';
}

Verdict quota(const Refusal& refusal, Reaction reaction, const std::string& said, const std::string& customer) {
  const bool own = refusal.of_customer && !customer.empty();
  const bool soon = reaction == Reaction::throttled && refusal.wait.value_or(Duration::zero()) <= longest_wait;
  auto verdict =
      soon ? failed(Remedy::slow_down, "throttled", said, refusal.wait)
           : failed(Remedy::postpone, own ? reason::customer_quota : reason::project_quota,
                    said +
                        ": the quota is used up; if this happens often, ask for a higher access level, or read "
                        "less often",
                    refusal.wait.value_or(wait_for_the_day));
  verdict.throttled_bucket = own ? customer : project_bucket;
  return verdict;
}

Verdict judge_error(const json& error, int http, const std::string& customer, const std::string& version,
                    const std::function<std::string(std::string)>& scrub) {
  const Refusal refusal(error);
  const auto* rule = find_rule(refusal.kind, refusal.value);
  auto reaction = rule ? rule->reaction : reaction_by_status(http, refusal.status);
  // Of a version that is gone Google's front end answers so, for every path.
  if (http == 404 && refusal.kind.empty()) reaction = Reaction::version;
  const auto said = scrub(refusal.described(http));
  std::string_view advice = rule ? rule->advice : "";
  if (!rule && reaction == Reaction::stop && (http == 403 || refusal.status == "PERMISSION_DENIED"))
    advice = fix_project;
  const auto with_advice = advice.empty() ? said : fmt::format("{}: {}", said, advice);
  switch (reaction) {
    case Reaction::retry:
      return failed(Remedy::retry, "server_error",
                    http == 500 ? said + "; a version of the API that has ended may answer like this too" : said);
    case Reaction::throttled:
    case Reaction::quota_of_the_day:
      return quota(refusal, reaction, said, customer);
    case Reaction::renew:
      return failed(Remedy::reauthenticate, "token", said);
    case Reaction::no_access:
      return failed(Remedy::give_up_partition, reason::no_access, with_advice);
    case Reaction::stale_page:
      return failed(Remedy::shrink, reason::stale_page, said);
    case Reaction::version:
      return version_ended(said, version);
    case Reaction::stop:
      break;
  }
  return failed(Remedy::give_up, "refused", with_advice);
}

void replace_all(std::string& text, const std::string& what) {
  if (what.empty()) return;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at)) text.replace(at, what.size(), "…");
}

}  // namespace

GoogleDialect::GoogleDialect(HttpClient& http, Clock& clock, OAuthToken::Grant grant,
                             std::optional<TextRef> developer_token, std::string api_version)
    : token_(http, clock, std::move(grant)),
      developer_ref_(std::move(developer_token)),
      api_version_(std::move(api_version)) {}

void GoogleDialect::sign(HttpRequest& request) {
  request.headers.emplace_back("Authorization", "Bearer " + token_.get().reveal());
  if (!developer_token_.empty()) request.headers.emplace_back("developer-token", developer_token_.reveal());
}

task<bool> GoogleDialect::renew() {
  if (developer_ref_) developer_token_ = developer_ref_->resolve();
  co_await token_.renew();
  co_return true;
}

std::string GoogleDialect::scrub(std::string text) const {
  replace_all(text, token_.get().reveal());
  replace_all(text, developer_token_.reveal());
  return text;
}

Verdict GoogleDialect::no_answer(const std::string& body) const {
  return failed(Remedy::retry, "bad_answer",
                fmt::format("{}, which is no answer of the Google Ads API; check base_url of the source, and proxies",
                            beginning_of(scrub(body))));
}

Verdict GoogleDialect::judge_part(const std::string& part, const std::string& customer) const {
  const auto document = read_json(part);
  const auto error = error_in(document);
  if (error.is_null() && !is_answer(document)) return no_answer(part);
  if (error.is_null()) return {};
  return judge_error(error, 200, customer, api_version_, [this](std::string text) { return scrub(std::move(text)); });
}

Verdict GoogleDialect::judge(const HttpRequest& request, const HttpResponse& response) const {
  const int status = response.status;
  const auto& body = response.body;
  const bool good = status >= 200 && status < 300;
  // A page of rows is parsed once, by the row mapper; an error stands at the front of its document.
  const bool may_hold_error = body.substr(0, small_body).find("\"error\"") != std::string::npos;
  // The body of a stream is judged part by part, as it comes.
  if (good && !request.url.ends_with(":searchStream") && !ends_like_a_document(body)) return no_answer(body);
  if (good && !may_hold_error) return {};
  const auto error = error_in(read_json(body));
  if (error.is_object())
    return judge_error(error, status, request.scope, api_version_,
                       [this](std::string text) { return scrub(std::move(text)); });
  if (good) return {};
  const auto what =
      fmt::format("the API answered HTTP {} with {}", status, beginning_of(scrub(body.substr(0, small_body))));
  if (status == 404) return version_ended(what, api_version_);
  if (status == 429) {
    auto verdict = failed(Remedy::slow_down, "throttled", what, retry_after(response));
    verdict.throttled_bucket = project_bucket;
    return verdict;
  }
  if (status >= 500) return failed(Remedy::retry, "server_error", what, retry_after(response));
  if (status == 401) return failed(Remedy::reauthenticate, "token", what);
  if (status >= 300 && status < 400)
    return failed(Remedy::give_up, "redirect", what + ": redirects are not followed; check base_url of the source");
  return failed(Remedy::give_up, "refused", what + ": check base_url of the source, and proxies");
}

}  // namespace sluice::google
