#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "connectors/clevertap_dialect.hpp"
#include "connectors/facebook_ads_dialect.hpp"
#include "connectors/google_ads_dialect.hpp"
#include "daemon/yaml.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/still_clock.hpp"

// Whatever an API answers: its meaning is a verdict whose message holds no credential.

using namespace sluice;
using fuzz::holds;
using fuzz::require;

namespace {

constexpr const char* canary = "c4n4ry-0123456789abcdef";

struct NoClient final : HttpClient {
  task<HttpResponse> send(HttpRequest) override { throw Error(Remedy::retry, "there is no network"); }
  task<void> stream(HttpRequest, BodyReader&) override { throw Error(Remedy::retry, "there is no network"); }
};

void check(const Verdict& verdict, int status) {
  if (verdict.error) {
    const std::string what = verdict.error->what();
    require(!what.empty() && !verdict.reason.empty(), "a refusal says why");
    require(!verdict.error->wait() || *verdict.error->wait() >= Duration::zero(), "a wait is an amount of time");
  } else {
    require(status < 300, "a refusal is one");
  }
}

// Of an API whose credential is known when its answers are judged.
void check_scrubbed(const Verdict& verdict, int status) {
  check(verdict, status);
  require(!verdict.error || !holds(verdict.error->what(), canary), "a message holds no credential");
  require(!verdict.version_warning || !holds(*verdict.version_warning, canary), "a warning holds no credential");
}

const ct::ApiProfile& profile() {
  static const auto made = [] {
    Faults faults;
    return ct::ApiProfile(parse_settings("{}", "s.yaml", ct::profile_options, faults));
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr int statuses[] = {200, 202, 301, 400, 401, 403, 404, 429, 500, 503};
  static fuzz::StillClock clock;
  static NoClient client;
  static const auto secret = TextRef(TextRef::From::literal, canary);
  static FacebookDialect facebook(secret, std::nullopt, "v26.0");
  static ct::CleverTapDialect clevertap("account", secret, profile());
  static const google::GoogleDialect google(
      client, clock, [](Instant) { return OAuthToken::Ask("https://oauth.test", {}); }, std::nullopt, "v26");
  fuzz::Input input(data, size);
  const auto status = statuses[input.pick(std::size(statuses))];
  const auto place = input.pick(2);
  HttpRequest request("GET", place == 0 ? "https://api.test/v26.0/123?cursor=c" : "https://api.test/1/events.json");
  request.scope = place == 0 ? "act_1" : "";
  HttpRequest signed_one = request;
  facebook.sign(signed_one);
  clevertap.sign(signed_one);

  HttpResponse response(status, {}, {});
  for (const auto* name : {"retry-after", "facebook-api-version", "x-ad-api-version-warning"})
    if (const auto value = input.line(); !value.empty()) response.headers.emplace_back(name, std::string(value));
  response.body = std::string(input.rest());
  check_scrubbed(facebook.judge(request, response), status);
  check_scrubbed(clevertap.judge(request, response), status);
  check(google.judge(request, response), status);
  check(google.judge_part(response.body, request.scope), 200);
  return 0;
}
