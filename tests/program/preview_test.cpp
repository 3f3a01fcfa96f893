#include <catch2/catch.hpp>
#include <iterator>
#include <regex>

#include "tests/program/setup.hpp"

using namespace sluice::test;
using Catch::Contains;

TEST_CASE("preview says which accounts are left out and why, where all are") {
  SandboxProgram api(with_token({"--accounts", "4"}));
  Setup setup;
  setup.write(api.url());
  auto check = setup.start({"check", "--connect"});
  CHECK(check.wait() == 0);
  std::smatch found;
  const auto findings = check.out();
  REQUIRE(std::regex_search(findings, found, std::regex("ad account ([0-9]+) is left out: (.*)")));
  const std::string id = found[1], why = found[2];

  std::ifstream in(setup.config);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::string mark = "type: facebook_ads, ";
  text.replace(text.find(mark), mark.size(), mark + "accounts: [\"" + id + "\"], ");
  std::ofstream(setup.config) << text;
  auto preview = setup.start({"preview", "facebook/insights"});
  CHECK(preview.wait() == 1);
  CHECK_THAT(preview.err(),
             Contains("facebook/insights has nothing to read, all of meta is left out: " + id + ": " + why));
}
