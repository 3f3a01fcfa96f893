#include "connectors/facebook_ads_dialect.hpp"

#include <fmt/format.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "connectors/facebook_ads_usage.hpp"
#include "core/read_json.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::size_t small_body = 4096;

enum class Reaction {
  retry,
  retry_unexplained,
  back_off_account,
  back_off_app,
  shrink,
  too_deep,
  renew,
  no_access,
  stop
};

// What Meta's codes mean. `subcode` 0 matches any; `code` 0 too. The first row that matches counts.
struct Rule {
  int code, subcode;
  Reaction reaction;
  std::string_view advice;
};

constexpr std::string_view new_token =
    "create a new access token (a system user's does not expire) and put it where access_token points";
constexpr std::string_view give_access =
    "in Meta Business settings, assign the ad account to the token's user and see that the token has ads_read";
constexpr std::string_view fix_request = "check the stream's options in sluice.yaml";

constexpr Rule first_rules[] = {
    {0, 1487534, Reaction::shrink, ""},
    {0, 1504018, Reaction::shrink, ""},
    {0, 1504038, Reaction::shrink, ""},
    {0, 1504045, Reaction::shrink, ""},
    {-3, 0, Reaction::shrink, ""},
    // Of code 2, which else is passing.
    {2, 1504041, Reaction::stop, "these breakdowns cannot be combined; remove one of them"},
    {2, 1504042, Reaction::stop, "a custom metric is not valid; check the stream's fields"},
    {1, 2853001, Reaction::stop, give_access},
    {4, 0, Reaction::back_off_app, ""},
    {32, 0, Reaction::back_off_app, ""},
    {341, 0, Reaction::back_off_app, ""},
    {17, 0, Reaction::back_off_account, ""},
    {613, 0, Reaction::back_off_account, ""},
};

constexpr Rule rules[] = {
    {2635, 0, Reaction::stop,
     "this version of the API is switched off: set api_version of the source to the one that is "
     "named here, or update sluice"},
    {190, 458, Reaction::renew, "the app is no longer authorised; authorise it again and create a new access token"},
    {190, 459, Reaction::renew, "the token's user has to log in at facebook.com and pass its check first"},
    {190, 460, Reaction::renew, "the token's user changed the password; create a new access token"},
    {190, 463, Reaction::renew, "the access token has expired; create a new one (a system user's does not expire)"},
    {190, 464, Reaction::renew, "the token's user is not confirmed; confirm it at facebook.com"},
    {190, 467, Reaction::renew, "the token's user logged out; create a new access token"},
    {190, 0, Reaction::renew, new_token},
    {102, 0, Reaction::renew, new_token},
    {3018, 0, Reaction::stop, "Meta keeps 37 months; set window.start of the stream to a later day"},
    {368, 0, Reaction::stop, "Meta has blocked this user or app for a while; see the Business Support Home"},
    {100, 3191001, Reaction::no_access, give_access},
    {100, 33, Reaction::no_access, give_access},
    {105, 0, Reaction::stop, fix_request},
    {2500, 0, Reaction::stop, fix_request},
    {2642, 0, Reaction::stop, "the page cursor is no longer valid; the next run reads from the first page"},
    {3001, 0, Reaction::stop, fix_request},
    {3, 0, Reaction::no_access, give_access},
    {10, 0, Reaction::no_access, give_access},
    {270, 0, Reaction::stop, "the app has only development access; ask Meta for full access to the Marketing API"},
    {294, 0, Reaction::stop, "the app needs the ads_management permission or has to be allowed by Meta"},
    {2, 0, Reaction::retry, ""},
    {-2, 0, Reaction::retry, ""},
    {104, 0, Reaction::retry, ""},
    {960, 0, Reaction::retry, ""},
    {2601, 0, Reaction::retry, ""},
    {2637, 0, Reaction::retry, ""},
};

const Rule* find_rule(std::span<const Rule> table, int code, int subcode) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Rule& rule) {
    return (rule.code == 0 || rule.code == code) && (rule.subcode == 0 || rule.subcode == subcode);
  });
  return found == table.end() ? nullptr : &*found;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string text_of(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int number_of(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0;
  if (found->is_number_integer()) return found->get<int>();
  return found->is_string() ? std::atoi(found->get_ref<const std::string&>().c_str()) : 0;
}

// An error object, taken apart.
struct Refusal {
  int code, subcode;
  bool transient, typed;
  std::string message, lowered, title, trace;

  explicit Refusal(const json& error)
      : code(number_of(error, "code")),
        subcode(number_of(error, "error_subcode")),
        transient(error.value("is_transient", json(false)) == json(true)),
        typed(error.contains("type")),
        message(text_of(error, "message")),
        title(text_of(error, "error_user_title")),
        trace(text_of(error, "fbtrace_id")) {
    lowered = lower(message);
    const auto user = text_of(error, "error_user_msg");
    if (!user.empty() && user != message) message += (message.empty() ? "" : " ") + user;
    if (message.empty()) message = title.empty() ? "no message" : title;
  }
  std::string described(int status) const {
    auto text = fmt::format("{} (code {}", message, code);
    if (subcode != 0) text += fmt::format("/{}", subcode);
    if (status != 0) text += fmt::format(", HTTP {}", status);
    if (!trace.empty()) text += ", fbtrace_id " + trace;
    return text + ")";
  }
};

struct Judgement {
  Reaction reaction;
  std::string_view advice;
};

Judgement judge_100(const Refusal& r, bool of_report) {
  // Meta: a report that was made a moment ago may not be known everywhere yet.
  if (of_report && r.subcode == 33) return {Reaction::retry, ""};
  if (contains(r.lowered, "cannot include") && contains(r.lowered, "summary param")) return {Reaction::retry, ""};
  if (contains(r.lowered, "unsupported request - method type: get")) return {Reaction::retry, ""};
  if (contains(r.lowered, "after cursor") && contains(r.lowered, "exceeds")) return {Reaction::too_deep, ""};
  if (contains(r.lowered, "missing permissions")) return {Reaction::no_access, give_access};
  if (const auto* rule = find_rule(rules, r.code, r.subcode)) return {rule->reaction, rule->advice};
  return {Reaction::stop, fix_request};
}

Judgement judge_code(const Refusal& r, int status, bool of_report) {
  if (const auto* rule = find_rule(first_rules, r.code, r.subcode)) return {rule->reaction, rule->advice};
  if (r.code >= 80000 && r.code <= 80014) return {Reaction::back_off_account, ""};
  // "Please reduce the amount of data": no type, no subcode, and the text is translated.
  if (r.code == 1 && (contains(r.lowered, "reduce the amount") || (status == 500 && !r.typed && r.subcode == 0)))
    return {Reaction::shrink, ""};
  if (r.code == 1) return {Reaction::retry_unexplained, ""};
  if (r.transient) return {Reaction::retry, ""};
  if (r.code == 100) return judge_100(r, of_report);
  if (const auto* rule = find_rule(rules, r.code, r.subcode)) return {rule->reaction, rule->advice};
  if (r.code >= 200 && r.code <= 299) return {Reaction::no_access, give_access};
  if (status == 429) return {Reaction::back_off_account, ""};
  if (status == 401) return {Reaction::renew, new_token};
  if (status >= 500) return {Reaction::retry, ""};
  return {Reaction::stop, "see https://developers.facebook.com/docs/marketing-api/error-reference"};
}

Verdict failed(Remedy remedy, std::string reason, const std::string& what, std::optional<Duration> wait = {}) {
  Verdict verdict;
  verdict.error.emplace(remedy, what, wait);
  verdict.reason = std::move(reason);
  return verdict;
}

// A reply without an error object, and not a good one.
Verdict judge_status(int status, const std::string& shown) {
  const auto what = fmt::format("the API answered HTTP {} with {}", status, shown);
  if (status == 429) return failed(Remedy::slow_down, "throttled", what, 60s);
  if (status >= 500) return failed(Remedy::retry, "server_error", what);
  if (status == 401) return failed(Remedy::reauthenticate, "token", fmt::format("{}: {}", what, new_token));
  if (status >= 300 && status < 400)
    return failed(Remedy::give_up, "redirect", what + ": redirects are not followed; check base_url of the source");
  if (status >= 400) return failed(Remedy::give_up, "refused", what + ": check base_url and api_version of the source");
  return failed(
      Remedy::retry, "bad_answer",
      fmt::format("the API answered HTTP {} with what is not JSON: {} (check base_url of the source, and proxies)",
                  status, shown));
}

std::string hmac_sha256(const std::string& key, const std::string& message) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(message.data()),
       message.size(), digest, &size);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

void replace_all(std::string& text, const std::string& what) {
  if (what.empty()) return;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at)) text.replace(at, what.size(), "…");
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
}

// From `mark` on, as long as it could be a credential.
void cut_after(std::string& text, std::string_view mark, std::size_t least) {
  for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
    auto end = at + mark.size();
    while (end < text.size() && (is_word(text[end]) || text[end] == '%')) ++end;
    if (end - at >= least) text.replace(at, end - at, "…");
  }
}

// The path behind the version.
std::string_view node_of(std::string_view url, const std::string& api_version) {
  url = url.substr(0, url.find_first_of("?#"));
  const auto version = "/" + api_version + "/";
  const auto at = url.find(version);
  return at == url.npos ? std::string_view() : url.substr(at + version.size());
}

}  // namespace

FacebookDialect::FacebookDialect(TextRef access_token, std::optional<TextRef> app_secret, std::string api_version)
    : token_ref_(std::move(access_token)), secret_ref_(std::move(app_secret)), api_version_(std::move(api_version)) {}

// True when a secret is not what it was.
bool FacebookDialect::resolve() {
  auto token = token_ref_.resolve();
  auto secret = secret_ref_ ? secret_ref_->resolve() : Secret();
  if (token.empty())
    throw Error(Remedy::give_up, fmt::format("the access token is empty: fill {}", token_ref_.describe()));
  const bool changed = !token.equals(token_.reveal()) || !secret.equals(secret_.reveal());
  token_ = std::move(token);
  secret_ = std::move(secret);
  // Meta: hex of HMAC-SHA256, the app's secret being the key and the token the message.
  proof_ = secret_.empty() ? "" : hmac_sha256(secret_.reveal(), token_.reveal());
  return changed;
}

void FacebookDialect::sign(HttpRequest& request) {
  if (token_.empty()) resolve();
  request.headers.emplace_back("Authorization", "Bearer " + token_.reveal());
  if (proof_.empty()) return;
  if (request.method == "POST")
    request.body += (request.body.empty() ? "" : "&") + ("appsecret_proof=" + proof_);
  else
    request.url += (request.url.find('?') == std::string::npos ? "?" : "&") + ("appsecret_proof=" + proof_);
}

task<bool> FacebookDialect::renew() {
  try {
    co_return resolve();
  } catch (const Error&) {
    co_return false;
  }
}

std::string FacebookDialect::scrub(std::string text) const {
  replace_all(text, token_.reveal());
  replace_all(text, secret_.reveal());
  replace_all(text, proof_);
  cut_after(text, "access_token=", 14);
  // Meta's tokens begin like this.
  cut_after(text, "EAA", 20);
  return text;
}

Verdict FacebookDialect::judge_error(const json& error, int status, const std::string& bucket, bool of_report) const {
  const Refusal refusal(error);
  const auto [reaction, advice] = judge_code(refusal, status, of_report);
  const auto said = scrub(refusal.described(status));
  const auto with_advice = advice.empty() ? said : fmt::format("{}: {}", said, advice);
  switch (reaction) {
    case Reaction::retry:
      return failed(Remedy::retry, of_report && refusal.code != 2 ? "report" : "server_error", said);
    case Reaction::retry_unexplained:
      return failed(Remedy::retry, facebook_reason::unexplained, said);
    case Reaction::shrink:
      return failed(Remedy::shrink, "too_much_data", said);
    case Reaction::too_deep:
      return failed(Remedy::shrink, facebook_reason::too_deep, said);
    case Reaction::renew:
      return failed(Remedy::reauthenticate, "token", with_advice);
    case Reaction::no_access:
      return failed(Remedy::give_up_partition, facebook_reason::no_access, with_advice);
    case Reaction::stop:
      return failed(Remedy::give_up, "refused", with_advice);
    default:
      break;
  }
  auto verdict = failed(Remedy::slow_down, "throttled", said, 60s);
  verdict.throttled_bucket = reaction == Reaction::back_off_app || bucket.empty() ? facebook_app_bucket : bucket;
  return verdict;
}

Verdict FacebookDialect::judge(const HttpRequest& request, const HttpResponse& response) const {
  const auto& bucket = request.scope;
  auto usage = read_facebook_usage(response, bucket);
  const auto node = node_of(request.url, api_version_);
  const bool of_report = !node.empty() && std::isdigit(static_cast<unsigned char>(node.front()));

  Verdict verdict;
  const auto& body = response.body;
  const auto first = body.find_first_not_of(" \r\n\t");
  const bool good_status = response.status >= 200 && response.status < 300;
  const bool json_like = first != std::string::npos && (body[first] == '{' || body[first] == '[' ||
                                                        std::isdigit(static_cast<unsigned char>(body[first])));
  // A page of rows is parsed once, by the row mapper, unless it may hold an error beside its rows.
  constexpr std::string_view name_of_error = "\"error\"";
  const bool page = good_status && json_like && body.size() > small_body &&
                    ::memmem(body.data(), body.size(), name_of_error.data(), name_of_error.size()) == nullptr;
  if (!page) {
    const auto answer = json_like ? read_json(body) : json(json::value_t::discarded);
    if (answer.is_object() && answer.contains("error")) {
      const auto& error = answer["error"];
      verdict =
          judge_error(error.is_object() ? error : json{{"message", error.dump()}}, response.status, bucket, of_report);
    } else if (!good_status || answer.is_discarded()) {
      verdict = judge_status(response.status, beginning_of(scrub(body.substr(0, small_body))));
    }
  }
  if (verdict.error && verdict.error->remedy() == Remedy::slow_down) {
    // Meta blocks an account for 60 s, for 300 s with development access; the headers may ask for more.
    const Duration block = usage.development_tier ? 300s : 60s;
    const auto wait = std::max(block, usage.wait);
    verdict.error = Error(Remedy::slow_down, verdict.error->what(), wait);
  }
  verdict.usage = std::move(usage.buckets);
  if (const auto warning = response.header("x-ad-api-version-warning"))
    verdict.version_warning =
        fmt::format("Meta warns about version {} of its API: {}. Set api_version of the source to a newer one",
                    api_version_, scrub(*warning));
  else if (const auto version = response.header("facebook-api-version"); version && *version != api_version_)
    verdict.version_warning = fmt::format(
        "Meta answered with version {} of its API although {} was asked for, which has ended. "
        "Set api_version of the source to {}",
        scrub(*version), api_version_, scrub(*version));
  return verdict;
}

}  // namespace sluice
