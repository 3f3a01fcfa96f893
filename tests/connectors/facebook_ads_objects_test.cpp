#include <fstream>

#include "tests/connectors/facebook_ads_fixture.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

namespace {

Slice since(const char* after) {
  return Slice::values(Partition("1"), after ? std::optional<std::string>(after) : std::nullopt,
                       "2026-03-02T11:50:00Z");
}

json filters(const HttpRequest& request) {
  return json::parse(parameter(request, "filtering").value());
}

const std::string reduce =
    R"({"error":{"code":1,"message":"Please reduce the amount of data you're asking for, then retry your request"}})";

const std::string too_deep =
    fault(100, 0, "The After Cursor specified exceeds the max limit supported by this endpoint");

std::string ad(const std::string& id) {
  return R"({"id":")" + id + R"(","account_id":"1"})";
}

const std::string account_1 =
    R"({"id":"act_1","account_id":"1","name":"Shop","account_status":1,"timezone_name":"Asia/Kolkata"})";

}  // namespace

TEST_CASE("objects are asked for by what changed, a second earlier, in every status") {
  for (const auto& [name, edge, prefix] :
       std::vector<std::tuple<std::string, std::string, std::string>>{{"campaigns", "campaigns", "campaign"},
                                                                      {"adsets", "adsets", "adset"},
                                                                      {"ads", "ads", "ad"},
                                                                      {"creatives", "ads", "ad"}}) {
    INFO(name);
    Facebook fb;
    const auto spec = fb.stream(name);
    CHECK(spec.cursor == Cursor::value);
    CHECK(spec.partition_column == "account_id");
    fb.http.expect("GET /v26.0/act_1/" + edge)
        .where([&, prefix = prefix](const HttpRequest& request) {
          const auto all = filters(request);
          return all.size() == 2 && all[0]["field"] == prefix + ".effective_status" &&
                 all[0]["value"] == every_status(prefix) &&
                 all[1] ==
                     json{{"field", prefix + ".updated_time"}, {"operator", "GREATER_THAN"}, {"value", 1772280000 - 1}};
        })
        .reply(200, rows({}));
    fb.read(spec, since("2026-02-28T12:00:00Z"));
    CHECK(fb.http.everything_seen());
    fb.http.expect("GET /v26.0/act_1/" + edge)
        .where([](const HttpRequest& request) { return filters(request).size() == 1; })
        .reply(200, rows({}));
    fb.read(spec, since(nullptr));
    CHECK(fb.http.everything_seen());
  }
}

TEST_CASE("objects come with exact ids, budgets and instants") {
  Facebook fb;
  fb.http.expect("GET /v26.0/act_1/campaigns")
      .reply(
          200,
          rows(
              {R"({"id":"120208325579370399","account_id":"1","name":"A\/B \ud83d\uded2","daily_budget":"600","special_ad_categories":[],"start_time":"2024-03-12T15:02:47-0700","updated_time":"2024-03-12T15:02:47-0700"})"}));
  const auto out = fb.read(fb.stream("campaigns"), since(nullptr));
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("id") == "120208325579370399");
  CHECK(out.rows[0].at("name") == "A/B 🛒");
  CHECK(out.rows[0].at("daily_budget") == "600");
  CHECK(out.rows[0].at("lifetime_budget") == "-");
  CHECK(out.rows[0].at("special_ad_categories") == "[]");
  CHECK(out.rows[0].at("updated_time") == "2024-03-12T22:02:47Z");
}

TEST_CASE("a byte that is not UTF-8 costs one character, on a small page too") {
  Facebook fb;
  fb.http.expect("GET /v26.0/act_1/campaigns")
      .reply(200, rows({"{\"id\":\"1\",\"account_id\":\"1\",\"name\":\"a\xFFz\"}"}));
  CHECK(fb.read(fb.stream("campaigns"), since(nullptr)).column("name") == std::vector<std::string>{"a\uFFFDz"});
}

TEST_CASE("an account whose row cannot be read is not left out silently") {
  Facebook fb("page_size: 1");
  const auto spec = fb.stream("ads");
  fb.http.expect("GET /v26.0/me/adaccounts").reply(200, rows({account_1, R"({"name":"no number"})"}));
  CHECK_THROWS_WITH(fb.world.run(fb.connector->partitions(spec)), Catch::Contains("account_id"));
}

TEST_CASE("the horizon is by Meta's clock: a machine whose clock is ahead asks again for what it called past") {
  Facebook fb;
  fb.http.expect("GET /v26.0/act_1")
      .reply(200, R"({"account_id":"1","name":"One","timezone_name":"UTC"})",
             {{"Date", "Mon, 02 Mar 2026 10:00:00 GMT"}});
  fb.world.run(fb.connector->partitions(fb.stream("campaigns")));
  const auto horizon = [&](const char* at) {
    return fb.world.run(fb.connector->horizon(fb.stream("campaigns"), Partition("1"), *parse_instant(at)));
  };
  CHECK(fb.world.clock().now() == parse_instant("2026-03-02T12:00:00Z"));
  CHECK(horizon("2026-03-02T12:00:00Z") == "2026-03-02T09:50:00Z");
  CHECK(horizon("2026-03-02T08:00:00Z") == "2026-03-02T07:50:00Z");
}

TEST_CASE("the horizon stays behind the start of the read") {
  Facebook fb;
  const auto spec = fb.stream("ads");
  CHECK(fb.world.run(fb.connector->horizon(spec, Partition("1"), fb.world.clock().now())) == "2026-03-02T11:50:00Z");
}

TEST_CASE("an edge that is too large is asked for in smaller and smaller pages, down to one row") {
  Facebook fb("page_size: 5");
  const auto spec = fb.stream("ads", "fields: [name]");
  fb.http.expect("GET /v26.0/act_1/ads").with("limit", "5").reply(500, reduce);
  fb.http.expect("GET /v26.0/act_1/ads").with("limit", "2").reply(500, reduce);
  fb.http.expect("GET /v26.0/act_1/ads").with("limit", "1").reply(200, rows({ad("1")}, "a"));
  fb.http.expect("GET /v26.0/act_1/ads").with("limit", "1").with("after", "a").reply(200, rows({ad("2")}));
  CHECK(fb.read(spec, since(nullptr)).column("id") == std::vector<std::string>{"1", "2"});
  CHECK(fb.http.everything_seen());

  Facebook hopeless("page_size: 2");
  hopeless.http.answer_with([&](const HttpRequest&) { return HttpResponse(500, {}, reduce); });
  const auto error = hopeless.failure(spec, since(nullptr));
  CHECK(error.remedy() == Remedy::retry);
  CHECK(hopeless.http.requests().size() == 2);
}

TEST_CASE("pages grow back, and a size that is refused is tried rarely") {
  Facebook fb("page_size: 500");
  int refusals = 0;
  std::size_t page = 0;
  std::vector<std::string> limits;
  fb.http.answer_with([&](const HttpRequest& request) {
    limits.push_back(parameter(request, "limit").value());
    // The first pages are heavy, those behind them are not, but 500 rows are too many everywhere.
    const auto limit = std::stoi(limits.back());
    if (limit > (page < 5 ? 100 : 250)) {
      ++refusals;
      return HttpResponse(500, {}, reduce);
    }
    ++page;
    return HttpResponse(200, {}, rows({ad(std::to_string(page))}, page < 60 ? std::to_string(page) : ""));
  });
  CHECK(fb.read(fb.stream("ads", "fields: [name]"), since(nullptr)).rows.size() == 60);
  CHECK(limits[3] == "62");
  CHECK(std::count(limits.begin(), limits.end(), "248") > 20);
  CHECK(refusals <= 7);
}

TEST_CASE("an edge that fails without an explanation is tried again, then asked for in smaller pages") {
  Facebook fb("retry: {attempts: 3}");
  const auto unexplained = fault(1, 99, "An unknown error occurred");
  fb.http.answer_with([&](const HttpRequest& request) {
    return parameter(request, "limit") == "125" ? HttpResponse(200, {}, rows({ad("1")}))
                                                : HttpResponse(500, {}, unexplained);
  });
  CHECK(fb.read(fb.stream("ads", "fields: [name]"), since(nullptr)).rows.size() == 1);
  CHECK(fb.http.requests().size() == 3 + 3 + 1);

  Facebook away("page_size: 4\nretry: {attempts: 2}");
  away.http.answer_with([&](const HttpRequest&) { return HttpResponse(503, {}, ""); });
  CHECK(away.failure(away.stream("ads"), since(nullptr)).remedy() == Remedy::retry);
  CHECK(away.http.requests().size() == 2);
}

TEST_CASE("an edge with more pages than Meta walks is read in halves of the time in which objects changed") {
  Facebook fb("page_size: 2");
  // A hundred ads of which each changed a minute after the one before; no question gives more than ten.
  const std::int64_t first = 1'772'000'000;
  fb.http.answer_with([&](const HttpRequest& request) {
    std::int64_t after = 0, before = 1'900'000'000;
    for (const auto& filter : filters(request)) {
      if (filter["operator"] == "GREATER_THAN") after = filter["value"];
      if (filter["operator"] == "LESS_THAN") before = filter["value"];
    }
    std::vector<std::string> found;
    for (std::int64_t i = 0; i < 100; ++i)
      if (first + i * 60 > after && first + i * 60 < before) found.push_back(ad(std::to_string(1000 + i)));
    const auto begin = static_cast<std::size_t>(std::stoi(parameter(request, "after").value_or("0")));
    const auto end = std::min(found.size(), begin + 2);
    if (begin >= 10) return HttpResponse(400, {}, too_deep);
    return HttpResponse(
        200, {},
        rows({found.begin() + static_cast<std::ptrdiff_t>(begin), found.begin() + static_cast<std::ptrdiff_t>(end)},
             end < found.size() ? std::to_string(end) : ""));
  });
  for (const auto* after : {static_cast<const char*>(nullptr), "2026-02-25T06:13:20Z"}) {
    const auto ids = fb.read(fb.stream("ads"), since(after)).column("id");
    CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 100);
  }
  for (const auto& seen : fb.http.requests()) CHECK(parameter(seen.request, "limit") == "2");

  Facebook hopeless;
  hopeless.http.answer_with([&](const HttpRequest&) { return HttpResponse(400, {}, too_deep); });
  CHECK_FALSE(hopeless.failure(hopeless.stream("ads"), since(nullptr)).passing());
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

TEST_CASE("an account that Meta lists twice is one") {
  Facebook fb("page_size: 500");
  const auto account = R"({"account_id":"1","name":"One","timezone_name":"UTC"})";
  fb.http.expect("GET /v26.0/me/adaccounts").reply(200, rows({account, account}));
  CHECK(fb.world.run(fb.connector->partitions(fb.stream("ads"))).size() == 1);
}

TEST_CASE("creatives follow the ads that use them, each once in a page") {
  Facebook fb;
  auto spec = fb.stream("creatives", "fields: [name, object_story_spec]");
  spec.new_fields = NewFields::fail;  // the ad's own id comes unasked
  const auto ad = [](const std::string& creative) {
    return R"({"account_id":"1","creative":)" + creative + R"(,"id":"5"})";
  };
  fb.http.expect("GET /v26.0/act_1/ads")
      .with("fields", "account_id,creative{id,name,object_story_spec}")
      .reply(200,
             rows({ad(R"({"id":"9","name":"n"})"), ad(R"({"id":"9","name":"n"})"), R"({"account_id":"1","id":"6"})"},
                  "x"));
  fb.http.expect("GET /v26.0/act_1/ads")
      .with("after", "x")
      .reply(200, rows({ad(R"({"id":"9","name":"n"})"), ad(R"({"id":"10","object_story_spec":{"page_id":"1"}})")}));
  const auto out = fb.read(spec, since(nullptr));
  CHECK(out.column("id") == std::vector<std::string>{"9", "9", "10"});  // once for each page
  CHECK(out.column("object_story_spec")[2] == R"({"page_id":"1"})");
  CHECK(out.rejects.empty());
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

TEST_CASE("calls are proven with the app's secret, in the query or the form") {
  Facebook fb("app_secret: {env: SLUICE_TEST_FACEBOOK_SECRET}");
  ::setenv("SLUICE_TEST_FACEBOOK_TOKEN", "TOK", 1);
  ::setenv("SLUICE_TEST_FACEBOOK_SECRET", "sekret", 1);
  const auto proof = "564cc081835e38182f4a1c167467350474b5618920c9397fd3756f7f121a166e";
  Facebook* unchecked = &fb;
  unchecked->http.expect("POST /v26.0/act_1/insights")
      .with("appsecret_proof", proof)
      .with_header("Authorization", "Bearer TOK")
      .reply(200, submitted);
  unchecked->http.expect("GET /v26.0/77").with("appsecret_proof", proof).reply(200, completed);
  unchecked->http.expect("GET /v26.0/77/insights").with("appsecret_proof", proof).reply(200, rows({}));
  fb.token_sent = "TOK";
  fb.read(fb.stream("insights"), fb.day("2026-03-01"));
  CHECK(fb.http.everything_seen());
}

TEST_CASE("a refused token is read anew once: its file may have been replaced") {
  const test::Folder folder;
  const auto file = folder / "token";
  std::ofstream(file) << "EAAold\n";
  Facebook fb("accounts: [\"1\"]", "{file: " + file + "}");
  fb.http.expect("GET /v26.0/act_1/campaigns")
      .with_header("Authorization", "Bearer EAAold")
      .reply(400, fault(190, 463, "expired"));
  fb.http.expect("GET /v26.0/act_1/campaigns").with_header("Authorization", "Bearer EAAnew").reply(200, rows({}));
  fb.http.answer_with([](const HttpRequest&) { return HttpResponse(400, {}, fault(190, 463, "expired")); });
  const auto spec = fb.stream("campaigns");
  KeptOutput out(spec);
  const auto replace_then_read = [&]() -> task<void> {
    // The old token is in memory when the file changes.
    const auto horizon = co_await fb.connector->horizon(spec, Partition("1"), fb.world.clock().now());
    co_await fb.connector->read(spec, since(nullptr), out);
  };
  fb.http.latency(1s);
  const auto swap = [&]() -> task<void> {
    co_await fb.world.clock().sleep_for(500ms);
    std::ofstream(file) << "EAAnew\n";
  };
  const auto both = [&]() -> task<void> {
    TaskGroup group(fb.world.executor());
    group.spawn(replace_then_read());
    group.spawn(swap());
    co_await group.join();
  };
  fb.token_sent.clear();
  fb.world.run(both());
  CHECK(fb.http.requests().size() == 2);
  CHECK(fb.failure(spec, since(nullptr)).remedy() == Remedy::reauthenticate);
  CHECK(fb.http.requests().size() == 3);  // the token is still the same: no second try
  std::remove(file.c_str());
}

TEST_CASE("what a stream's options say is checked, all faults at once, with the nearest name") {
  Facebook fb;
  Faults faults;
  fb.configure("insights",
               "{fields: [impresions, country, objective_results, 'fresh:decimal', 'odd:float'], breakdowns: [gendr, "
               "dma, impression_device], action_attribution_windows: [7d_view, 3d_click]}",
               faults);
  std::string all;
  for (const auto& fault : faults) all += to_string(fault) + "\n";
  CHECK_THAT(all, Catch::Contains("\"impressions\"") && Catch::Contains("put it into breakdowns") &&
                      Catch::Contains("\"results\"") && Catch::Contains("\"float\" is no type") &&
                      Catch::Contains("\"gender\"") && Catch::Contains("comscore_market") &&
                      Catch::Contains("publisher_platform") && Catch::Contains("1d_view") &&
                      Catch::Contains("3d_click") && Catch::Contains("test.yaml:1:"));
  CHECK_THAT(all, !Catch::Contains("fresh"));
  faults.clear();
  fb.configure("campaigns", "{level: ad, fields: [nam]}", faults);
  CHECK(faults.size() == 2);
}

TEST_CASE("every stream of the catalogue holds its key, its partition and its cursor") {
  Facebook fb;
  const auto catalogue = fb.connector->catalogue();
  CHECK(catalogue.size() == 6);
  for (const auto& spec : catalogue) {
    INFO(spec.name);
    std::set<std::string> names;
    for (const auto& column : spec.columns) CHECK(names.insert(column.name).second);
    for (const auto& key : spec.key) CHECK(names.count(key) == 1);
    if (!spec.partition_column.empty()) CHECK(names.count(spec.partition_column) == 1);
    if (!spec.cursor_column.empty()) CHECK(names.count(spec.cursor_column) == 1);
    CHECK(spec.from == spec.name);
    const auto configured = fb.stream(spec.name);
    CHECK(configured.columns.size() == spec.columns.size());
  }
  const auto spec = fb.stream("insights", "fields: ['fresh:decimal', spend]");
  CHECK(spec.columns.size() == 6);
  CHECK(spec.columns[4].type == DataType(Type::decimal));
}

TEST_CASE("a saved reply and a quarantined row are read again as they came") {
  Facebook fb;
  const auto spec = fb.stream("insights");
  CHECK(fb.connector->parse(spec, "", rows({row("2026-03-01", "1"), row("2026-03-01", "2")})).rows() == 2);
  CHECK(fb.connector->parse(spec, "", row("2026-03-01", "1")).rows() == 1);
  CHECK_THROWS_WITH(fb.connector->parse(spec, "", R"({"error":{"message":"(#200) no permission","code":200}})"),
                    Catch::Contains("the API refused") && Catch::Contains("(#200) no permission"));

  auto creatives = fb.stream("creatives", "fields: [name]");
  creatives.new_fields = NewFields::fail;  // the ad's own id comes unasked
  const auto reply = rows({R"({"account_id":"1","id":"5","creative":{"id":"9","name":"n"}})", ad("6"),
                           R"({"account_id":"1","id":"7","creative":{"id":"9","name":"n"}})"});
  CHECK(fb.connector->parse(creatives, "", reply).rows() == 1);
}

TEST_CASE("check tells about the token, the accounts, the version and the clock") {
  Facebook fb;
  fb.http.expect("GET /v26.0/me")
      .with("fields", "id,name")
      .reply(200, R"({"id":"9","name":"Reporting"})",
             {{"date", "Mon, 02 Mar 2026 11:00:00 GMT"}, {"facebook-api-version", "v27.0"}});
  fb.http.expect("GET /v26.0/act_1").reply(200, account_1);
  std::string all;
  for (const auto& finding : fb.world.run(fb.connector->check())) all += finding.message + "\n";
  CHECK_THAT(all, Catch::Contains("Reporting") && Catch::Contains("1h ahead of") && Catch::Contains("v27.0") &&
                      Catch::Contains("Asia/Kolkata"));

  Facebook refused;
  refused.http.expect("GET /v26.0/me").reply(401, fault(190, 467, "session is invalid"));
  const auto findings = refused.world.run(refused.connector->check());
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].level == Finding::Level::error);

  ::unsetenv("SLUICE_TEST_FACEBOOK_TOKEN");
  Facebook silent;
  ::unsetenv("SLUICE_TEST_FACEBOOK_TOKEN");
  const auto unresolved = silent.world.run(silent.connector->check());
  REQUIRE(unresolved.size() == 1);
  CHECK_THAT(unresolved[0].message, Catch::Contains("SLUICE_TEST_FACEBOOK_TOKEN"));
}
