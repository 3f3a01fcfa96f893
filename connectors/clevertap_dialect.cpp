#include "connectors/clevertap_dialect.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/clean_text.hpp"
#include "core/json_text.hpp"
#include "core/read_json.hpp"

namespace sluice::ct {
namespace {

using nlohmann::json;

// Larger answers are pages of records, which are parsed once, by the row mapper.
constexpr std::size_t small_body = 16u << 10;
constexpr std::size_t longest_quote = 200;

constexpr std::string_view bad_credentials =
    "check account_id, passcode and region of the source (an account is known in its own region only)";

Verdict failed(Remedy remedy, const char* reason, const std::string& what) {
  Verdict verdict;
  verdict.error.emplace(remedy, what);
  verdict.reason = reason;
  return verdict;
}

// What a body that is not JSON looks like. Never its text: it may hold what people typed.
std::string look_of(const std::string& body) {
  const auto first = body.find_first_not_of(" \r\n\t");
  if (first == std::string::npos) return "nothing";
  return body[first] == '<' ? "an HTML page" : fmt::format("{} bytes that are not JSON", body.size());
}

bool has_cursor(const HttpRequest& request, const ApiProfile& profile) {
  const auto query = request.url.find('?');
  return query != std::string::npos && request.url.compare(query + 1, profile.at("parameter.cursor").size() + 1,
                                                           profile.at("parameter.cursor") + "=") == 0;
}

}  // namespace

// An answer's status, and what stands beside it.
struct CleverTapDialect::Said {
  bool refused = false, partial = false;
  int status = 0;  // HTTP's, or the body's where HTTP says that all is well
  std::string code, error;

  std::string described() const {
    auto text = error.empty() ? std::string("no reason given") : error;
    text += fmt::format(" (HTTP {}", status);
    if (!code.empty() && code != std::to_string(status)) text += ", code " + code;
    return text + ")";
  }
};

void CleverTapDialect::sign(HttpRequest& request) {
  if (passcode_.empty()) {
    passcode_ = passcode_ref_.resolve();
    if (passcode_.empty())
      throw Error(Remedy::give_up, fmt::format("the passcode is empty: fill {}", passcode_ref_.describe()));
  }
  request.headers.emplace_back(profile_.at("header.account"), account_id_);
  request.headers.emplace_back(profile_.at("header.passcode"), passcode_.reveal());
}

task<bool> CleverTapDialect::renew() {
  try {
    auto passcode = passcode_ref_.resolve();
    const bool changed = !passcode.empty() && !passcode.equals(passcode_.reveal());
    if (changed) passcode_ = std::move(passcode);
    co_return changed;
  } catch (const Error&) {
    co_return false;
  }
}

std::string CleverTapDialect::without_passcode(std::string text) const {
  const auto& secret = passcode_.reveal();
  for (auto at = text.find(secret); !secret.empty() && at != std::string::npos; at = text.find(secret, at))
    text.replace(at, secret.size(), "…");
  return text;
}

std::string CleverTapDialect::scrub(std::string text) const {
  return shortened(clean_text(without_passcode(std::move(text))), longest_quote);
}

CleverTapDialect::Said CleverTapDialect::read(int status, const json& answer) const {
  const auto member = [&](std::string_view entry) {
    if (!answer.is_object()) return json();
    for (const auto& name : profile_.names(entry))
      if (const auto found = answer.find(name); found != answer.end()) return *found;
    return json();
  };
  // A code may be a number or a text, an error a text or a list.
  const auto text_of = [](const json& value) {
    if (value.is_string()) return value.get<std::string>();
    return value.is_null() ? std::string() : value.dump(-1, ' ', false, json::error_handler_t::replace);
  };
  Said said;
  said.error = scrub(text_of(member("key.error")));
  said.code = scrub(text_of(member("key.code")));
  const auto word = text_of(member("key.status"));
  said.refused = status >= 300 || profile_.says("word.fail", word) || !said.error.empty();
  said.partial = profile_.says("word.partial", word);
  said.status = status;
  if (status < 300 && said.code.size() == 3 && said.code.find_first_not_of("0123456789") == std::string::npos)
    said.status = std::stoi(said.code);
  return said;
}

Verdict CleverTapDialect::judge(const HttpRequest& request, int status, const json& answer) const {
  const auto said = read(status, answer);
  const bool in_progress =
      profile_.says("says.in_progress", said.error) || (said.refused && said.code == profile_.at("code.in_progress"));
  if (status == 202 || in_progress)
    return failed(Remedy::give_up, reason::in_progress, "the answer is still being made");
  // Of counts that is a promise; of a page it would be rows that are missing.
  if (!said.refused && said.partial && has_cursor(request, profile_))
    return failed(Remedy::retry, "partial", "the API says that the page is partial");
  if (!said.refused) return Verdict();

  const auto what = said.described();
  // Not ready has three shapes, one of them an HTTP 500: none of them passes by asking again at once.
  if (profile_.says("says.no_result", said.error)) return failed(Remedy::give_up, reason::no_result, what);
  if (profile_.says("says.export_not_allowed", said.error))
    return failed(Remedy::give_up, reason::export_not_allowed, what);
  const bool dead = profile_.says("says.cursor_dead", said.error) || profile_.says("says.cursor_dead", said.code);
  if (has_cursor(request, profile_) && dead) return failed(Remedy::give_up, reason::cursor_dead, what);
  if (profile_.says("says.request_dead", said.error)) return failed(Remedy::give_up, reason::request_dead, what);
  if (profile_.says("says.unknown_event", said.error))
    return failed(Remedy::give_up_partition, "refused",
                  what + ": the account has no such event; check `names` of the stream (they are case-sensitive)");
  if (said.status == 429 || profile_.says("says.throttled", said.error))
    return failed(Remedy::slow_down, "throttled", what);
  if (said.status == 401 || profile_.says("says.bad_credentials", said.error))
    return failed(Remedy::reauthenticate, "token", fmt::format("{}: {}", what, bad_credentials));
  if (said.status == 403)
    return failed(Remedy::give_up, "refused", what + ": the account may not use this API; ask CleverTap");
  if (said.status >= 500 || (status < 300 && said.code.empty())) return failed(Remedy::retry, "server_error", what);
  return failed(Remedy::give_up, "refused", what + ": the request is not one that CleverTap takes");
}

Verdict CleverTapDialect::judge(const HttpRequest& request, const HttpResponse& response) const {
  const auto& body = response.body;
  const auto first = body.find_first_not_of(" \r\n\t");
  const bool json_like = first != std::string::npos && (body[first] == '{' || body[first] == '[');
  if (json_like && response.status == 200 && body.size() > small_body) return Verdict();
  if (json_like) {
    const auto answer = read_json(body);
    if (!answer.is_discarded()) return judge(request, response.status, answer);
    // A page with a number that no double holds: its rows are read without doubles.
    if (response.status == 200 && check_json(body) != JsonState::broken) return Verdict();
  }
  const auto what = fmt::format("the API answered HTTP {} with {}", response.status, look_of(body));
  const int status = response.status;
  if (status == 202) return failed(Remedy::give_up, reason::in_progress, "the answer is still being made");
  if (status == 429) return failed(Remedy::slow_down, "throttled", what);
  if (status == 401) return failed(Remedy::reauthenticate, "token", fmt::format("{}: {}", what, bad_credentials));
  if (status >= 500) return failed(Remedy::retry, "server_error", what);
  if (status >= 300 && status < 400)
    return failed(Remedy::give_up, "redirect", what + ": redirects are not followed; check region and base_url");
  if (status >= 400) return failed(Remedy::give_up, "refused", what + ": check region and base_url of the source");
  return failed(Remedy::retry, "bad_answer", what);
}

}  // namespace sluice::ct
