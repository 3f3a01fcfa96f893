#include <catch2/catch.hpp>

#include "tests/program/setup.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

namespace {

std::size_t times(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

std::string line_of(const std::string& text, const std::string& part) {
  const auto at = text.find(part);
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

}  // namespace

TEST_CASE("an API that refuses or answers nonsense is one message that says what to do; other pipelines go on") {
  const auto [fault, says, advice] = GENERATE(table<std::string, std::string, std::string>(
      {{"expired_token", "the access token has expired", "create a new one"},
       {"invalid_token", "changed the password", "create a new access token"},
       {"expired_version", "is switched off", "set api_version"},
       {"garbage", "not JSON", "check base_url"},
       {"html", "not JSON", "check base_url"}}));
  INFO(fault);
  SandboxProgram api(with_token({"--fault", fault})), healthy(with_token());
  Setup setup;
  setup.other_api = healthy.url();
  setup.write(api.url());
  auto run = setup.start({"run", "facebook", "other"});
  CHECK(run.wait() == 1);
  INFO(run.err());
  const auto line = line_of(run.err(), "facebook failed");
  CHECK(times(line, says) == 1);
  CHECK_THAT(line, Contains(advice));
  CHECK_THAT(run.err(), Contains("other succeeded") && !Contains(canary_token));
}

TEST_CASE("an account without permission is one line and few requests; the other account is loaded") {
  SandboxProgram api(with_token({"--fault", "permission"}));
  Setup setup;
  setup.insights = "level: ad, window: {lookback: 27d}";
  setup.write(api.url());
  auto run = setup.start({"run", "facebook", "--stream", "insights"});
  CHECK(run.wait() == 1);
  INFO(run.err());
  CHECK(times(run.err(), " warning ") <= 2);  // one when it begins, and how often it was
  CHECK_THAT(run.err(), Contains(" failed, read ") && Contains("(28 times since "));
  CHECK(api.struck("permission") <= 8);  // those that were being read side by side; the other slices fail unread
}

TEST_CASE("a run that the quota slows down says so, and what it waited for when it is stopped") {
  SandboxProgram api(with_token({"--fault", "usage=95"}));
  Setup setup;
  setup.options = "    timeout: 3s\n";
  setup.write(api.url());
  auto run = setup.start({"run", "facebook"});
  CHECK(run.wait() == 1);
  INFO(run.err());
  CHECK_THAT(run.err(), Contains("meta: 95 % of the API's quota of app is used: calls go out one each"));
  CHECK_THAT(run.err(), Contains("no slice was published within 3s") && Contains("the rate limit of meta kept") &&
                            Contains("95 % of its quota used"));
}
