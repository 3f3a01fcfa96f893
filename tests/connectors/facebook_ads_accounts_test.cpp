#include "tests/connectors/facebook_ads_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("an account whose row cannot be read is not left out silently") {
  Facebook fb("page_size: 1");
  const auto spec = fb.stream("ads");
  fb.http.expect("GET /v26.0/me/adaccounts").reply(200, rows({account_1, R"({"name":"no number"})"}));
  CHECK_THROWS_WITH(fb.world.run(fb.connector->partitions(spec)), Catch::Contains("account_id"));
}

TEST_CASE("a list of accounts whose page of one row is refused may be had later") {
  Facebook fb("page_size: 1");
  fb.http.answer_with([&](const HttpRequest&) { return HttpResponse(500, {}, reduce); });
  CHECK(fb.failure(fb.stream("accounts"), Slice::whole(Partition(""))).remedy() == Remedy::retry);
  try {
    fb.world.run(fb.connector->partitions(fb.stream("ads")));
    FAIL("it did not fail");
  } catch (const Error& error) {
    CHECK(error.remedy() == Remedy::retry);
  }
}

TEST_CASE("accounts that are none, stand twice, or are an empty list are refused with the file") {
  CHECK_THROWS_WITH(Facebook("accounts: [\"1\", act_1]"),
                    Catch::Contains("\"accounts\": the ad account 1 stands there twice"));
  CHECK_THROWS_WITH(Facebook("accounts: []"), Catch::Contains("\"accounts\": it is empty"));
  CHECK_THROWS_WITH(Facebook("accounts: [shop]"), Catch::Contains("\"shop\" is no ad account"));
  // What stands elsewhere is read when it is needed.
  ::setenv("SLUICE_TEST_ACCOUNTS", "shop", 1);
  Facebook fb("accounts: {env: SLUICE_TEST_ACCOUNTS}");
  CHECK_THROWS_WITH(fb.world.run(fb.connector->partitions(fb.stream("ads"))), Catch::Contains("is no ad account"));
}

TEST_CASE("a token without any ad account is a failure, in a run and in a check") {
  Facebook fb("page_size: 500");
  fb.http.expect("GET /v26.0/me/adaccounts").reply(200, rows({}));
  CHECK_THROWS_WITH(fb.world.run(fb.connector->partitions(fb.stream("ads"))),
                    Catch::Contains("the token can read no ad account: assign one"));
  fb.http.expect("GET /v26.0/me").reply(200, R"({"name":"Ada"})");
  fb.http.expect("GET /v26.0/me/adaccounts").reply(200, rows({}));
  const auto findings = fb.world.run(fb.connector->check());
  CHECK(findings.back().level == Finding::Level::error);
  CHECK_THAT(findings.back().message, Catch::Contains("the token can read no ad account: assign one"));
}

TEST_CASE("an account that Meta lists twice is one") {
  Facebook fb("page_size: 500");
  const auto account = R"({"account_id":"1","name":"One","timezone_name":"UTC"})";
  fb.http.expect("GET /v26.0/me/adaccounts").reply(200, rows({account, account}));
  CHECK(fb.world.run(fb.connector->partitions(fb.stream("ads"))).size() == 1);
}

TEST_CASE("partitions are the accounts that the file names, each in its own zone") {
  Facebook fb("accounts: [act_1, \"2\", \"3\"]");
  const auto spec = fb.stream("insights");
  fb.http.expect("GET /v26.0/act_1").reply(200, account_1);
  fb.http.expect("GET /v26.0/act_2")
      .reply(403, fault(200, 0, "(#200) Ad account owner has NOT granted ads_read permission"));
  fb.http.expect("GET /v26.0/act_3")
      .reply(200, R"({"account_id":"3","name":"Old","account_status":2,"timezone_name":"UTC"})");
  const auto accounts = fb.world.run(fb.connector->partitions(spec));
  REQUIRE(accounts.size() == 3);
  CHECK(accounts[0].id == "1");
  CHECK(accounts[0].zone.name() == "Asia/Kolkata");
  CHECK(accounts[0].active);
  CHECK_FALSE(accounts[1].active);
  CHECK_THAT(accounts[1].inactive_reason, Catch::Contains("permission") && Catch::Contains("assign the ad account"));
  CHECK_FALSE(accounts[2].active);
  // The other streams of the same run do not ask again.
  fb.world.run(fb.connector->partitions(fb.stream("ads")));
  CHECK(fb.http.requests().size() == 3);
}

TEST_CASE("without names, partitions are all accounts that the token can read") {
  Facebook fb("page_size: 1");
  const auto spec = fb.stream("ads");
  fb.http.expect("GET /v26.0/me/adaccounts").reply(200, rows({account_1}, "n"));
  fb.http.expect("GET /v26.0/me/adaccounts")
      .with("after", "n")
      .reply(200, rows({R"({"account_id":"2","account_status":1,"timezone_name":"Mars/Olympus"})"}));
  const auto accounts = fb.world.run(fb.connector->partitions(spec));
  REQUIRE(accounts.size() == 2);
  CHECK_FALSE(accounts[1].active);
  CHECK_THAT(accounts[1].inactive_reason, Catch::Contains("Mars/Olympus"));
  CHECK(fb.world.run(fb.connector->partitions(fb.stream("accounts"))).at(0).id.empty());
}

TEST_CASE("a token that reads none of its accounts is an error, and so is one that is refused") {
  Facebook fb;
  const auto spec = fb.stream("ads");
  fb.http.expect("GET /v26.0/act_1").reply(400, fault(100, 33, "Unsupported get request"));
  CHECK_THROWS_WITH(fb.world.run(fb.connector->partitions(spec)), Catch::Contains("none of the ad accounts"));
  fb.http.expect("GET /v26.0/act_1")
      .reply(400, fault(190, 0, "Malformed access token EAAcanaryTOKENcanaryTOKENcanary"));
  CHECK_THROWS_WITH(fb.world.run(fb.connector->partitions(spec)),
                    Catch::Contains("Malformed access token") && !Catch::Contains("canary"));
}

TEST_CASE("the accounts stream gives the accounts that can be read") {
  Facebook fb("accounts: [\"1\", \"2\"]");
  const auto spec = fb.stream("accounts");
  CHECK(spec.cursor == Cursor::none);
  fb.http.expect("GET /v26.0/act_1").reply(200, account_1);
  fb.http.expect("GET /v26.0/act_2").reply(400, fault(100, 33));
  const auto out = fb.read(spec, Slice::whole(Partition("")));
  CHECK(out.column("account_id") == std::vector<std::string>{"1"});
  CHECK(out.column("timezone_name") == std::vector<std::string>{"Asia/Kolkata"});
  REQUIRE(out.rejects.size() == 1);
  CHECK(out.rejects[0].key == R"(["2"])");
  CHECK_THAT(out.rejects[0].reason, Catch::Contains("assign the ad account"));
}

TEST_CASE("an account is left out when the token may not read it, and for no other reason") {
  for (const auto& [code, subcode] : std::vector<std::pair<int, int>>{{100, 33}, {3, 0}, {10, 0}, {200, 0}, {273, 0}}) {
    INFO(code << "/" << subcode);
    Facebook fb("accounts: [\"1\", \"2\"]");
    fb.http.expect("GET /v26.0/act_1").reply(200, account_1);
    fb.http.expect("GET /v26.0/act_2").reply(400, fault(code, subcode));
    CHECK_FALSE(fb.world.run(fb.connector->partitions(fb.stream("ads"))).at(1).active);
  }
  for (const auto& [status, body] : std::vector<std::pair<int, std::string>>{{400, fault(987654)},
                                                                             {400, fault(368)},
                                                                             {400, fault(270)},
                                                                             {400, fault(100, 0, "Tried a bad field")},
                                                                             {404, "<html>no such page</html>"}}) {
    INFO(body);
    Facebook fb("accounts: [\"1\", \"2\"]");
    fb.http.answer_with([&, status = status, body = body](const HttpRequest& request) {
      return path_of(request) == "/v26.0/act_1" ? HttpResponse(200, {}, account_1) : HttpResponse(status, {}, body);
    });
    CHECK_THROWS_AS(fb.world.run(fb.connector->partitions(fb.stream("ads"))), Error);
    fb.failure(fb.stream("accounts"), Slice::whole(Partition("")));
  }
}
