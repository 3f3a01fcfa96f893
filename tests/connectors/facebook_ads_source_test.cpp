#include <fstream>

#include "tests/connectors/facebook_ads_fixture.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

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
    co_await fb.connector->read(spec, Facebook::since(nullptr), out);
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
  CHECK(fb.failure(spec, Facebook::since(nullptr)).remedy() == Remedy::reauthenticate);
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

TEST_CASE("check tells about the token, the accounts and the version") {
  Facebook fb;
  fb.http.expect("GET /v26.0/me")
      .with("fields", "id,name")
      .reply(200, R"({"id":"9","name":"Reporting"})", {{"facebook-api-version", "v27.0"}});
  fb.http.expect("GET /v26.0/act_1").reply(200, account_1);
  std::string all;
  for (const auto& finding : fb.world.run(fb.connector->check())) all += finding.message + "\n";
  CHECK_THAT(all, Catch::Contains("Reporting") && Catch::Contains("v27.0") && Catch::Contains("Asia/Kolkata"));

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
