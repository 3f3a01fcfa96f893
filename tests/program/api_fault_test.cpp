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
