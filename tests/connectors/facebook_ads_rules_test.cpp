#include "tests/connectors/facebook_ads_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

// Meta's API has ten rules whose breach gives wrong or no data; each has its test here.

TEST_CASE("rule 1: the version is pinned, and its end is told clearly") {
  Facebook fb;
  fb.http.expect("GET /v26.0/act_1/campaigns")
      .reply(400, fault(2635, 0,
                        "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest "
                        "version: v28.0."));
  const auto error = fb.failure(fb.stream("campaigns"), Slice::values(Partition("1"), {}, "x"));
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("v28.0") && Catch::Contains("api_version"));

  Facebook newer("api_version: v27.0");
  newer.http.expect("GET /v27.0/act_1/campaigns").reply(200, rows({}), {{"facebook-api-version", "v28.0"}});
  newer.read(newer.stream("campaigns"), Slice::values(Partition("1"), {}, "x"));
  REQUIRE(newer.seen.of<VersionWarning>().size() == 1);
  CHECK_THAT(newer.seen.of<VersionWarning>()[0].message, Catch::Contains("v28.0"));

  Facebook warned;
  warned.http.expect("GET /v26.0/act_1/campaigns")
      .reply(200, rows({}), {{"x-ad-api-version-warning", "v26.0 ends soon"}, {"facebook-api-version", "v26.0"}});
  warned.read(warned.stream("campaigns"), Slice::values(Partition("1"), {}, "x"));
  CHECK(warned.seen.of<VersionWarning>().size() == 1);

  Facebook echo;
  echo.http.expect("GET /v26.0/act_1/campaigns")
      .reply(200, rows({}), {{"facebook-api-version", std::string("v28.0 for ") + Facebook::token}});
  echo.read(echo.stream("campaigns"), Slice::values(Partition("1"), {}, "x"));
  REQUIRE(echo.seen.of<VersionWarning>().size() == 1);
  CHECK_THAT(echo.seen.of<VersionWarning>()[0].message, !Catch::Contains("canary"));
}

TEST_CASE("rule 2: an error in the body is an error whatever the HTTP status") {
  Facebook fb;
  const auto spec = fb.stream("campaigns");
  fb.http.expect("GET /v26.0/act_1/campaigns").reply(200, fault(190, 463, "Session has expired"));
  const auto error = fb.failure(spec, Slice::values(Partition("1"), {}, "x"));
  CHECK(error.remedy() == Remedy::reauthenticate);
  CHECK_THAT(error.what(),
             Catch::Contains("190/463") && Catch::Contains("Atrace") && Catch::Contains("create a new one"));

  // The error may also stand behind a page of rows.
  const auto beside = [](const std::string& what) {
    auto page = rows({std::string(5000, ' ')});
    return page.insert(page.size() - 1, "," + what.substr(1, what.size() - 2));
  };
  fb.http.expect("GET /v26.0/act_1/campaigns").reply(200, beside(fault(190, 463, "Session has expired")));
  CHECK(fb.failure(spec, Slice::values(Partition("1"), {}, "x")).remedy() == Remedy::reauthenticate);
  const auto before = fb.world.clock().uptime();
  fb.http.expect("GET /v26.0/act_1/campaigns").reply(200, beside(fault(17, 2446079)));
  fb.http.expect("GET /v26.0/act_1/campaigns").reply(200, rows({}));
  fb.read(spec, Slice::values(Partition("1"), {}, "x"));
  CHECK(fb.world.clock().uptime() - before >= 60s);

  // A page without a list of rows is no empty page.
  for (const auto* body : {R"({"data":{}})", R"({"data":null})", R"({"paging":{}})"}) {
    INFO(body);
    fb.http.expect("GET /v26.0/act_1/campaigns").reply(200, body);
    CHECK(fb.failure(spec, Slice::values(Partition("1"), {}, "x")).remedy() == Remedy::retry);
  }
}

TEST_CASE("an answer that is quoted is scrubbed before it is cut") {
  Facebook fb("retry: {attempts: 1}");
  const auto body = "<html>" + std::string(60, '.') + Facebook::token;  // longer than what is quoted of it
  fb.http.expect("GET /v26.0/act_1/campaigns").reply(200, body);
  const auto error = fb.failure(fb.stream("campaigns"), Slice::values(Partition("1"), {}, "x"));
  CHECK_THAT(error.what(), Catch::Contains("<html>") && !Catch::Contains("EAA"));
}

TEST_CASE("rule 3: usage headers are read on every reply, refusals too, each in its own unit") {
  const auto after_throttle = [](const Headers& headers) {
    Facebook fb;
    fb.http.expect("GET /v26.0/act_1/campaigns").reply(400, fault(80004, 2446079, "too many calls"), headers);
    fb.http.expect("GET /v26.0/act_1/campaigns").reply(200, rows({}));
    fb.read(fb.stream("campaigns"), Slice::values(Partition("1"), {}, "x"));
    REQUIRE(fb.http.requests().size() == 2);
    return fb.http.requests()[1].at;
  };
  // Minutes; the largest of all entries counts; numbers may be text and above 100.
  const auto minutes =
      after_throttle({{"x-business-use-case-usage",
                       R"({"9":[{"type":"ads_management","call_count":3,"estimated_time_to_regain_access":0},
                                                 {"type":"ads_insights","call_count":"118","estimated_time_to_regain_access":"47"}]})"}});
  CHECK(minutes >= 47min);
  CHECK(minutes < 60min);
  // Seconds.
  const auto seconds = after_throttle({{"x-ad-account-usage", R"({"acc_id_util_pct":100,"reset_time_duration":400})"}});
  CHECK(seconds >= 400s);
  CHECK(seconds < 10min);
  // A refusal below 100 % was by another measure of Meta's: its wait counts all the same.
  CHECK(after_throttle({{"x-ad-account-usage", R"({"acc_id_util_pct":40,"reset_time_duration":400})"}}) >= 400s);
  CHECK(after_throttle({{"x-ad-account-usage", R"({"acc_id_util_pct":"inf","reset_time_duration":1e300})"}}) < 3h);
  // Limited access is blocked for five minutes.
  CHECK(after_throttle({{"x-fb-ads-insights-throttle",
                         R"({"app_id_util_pct":1,"acc_id_util_pct":1,"ads_api_access_tier":"development_access"})"}}) >=
        300s);
  const auto plain = after_throttle({});
  CHECK(plain >= 60s);
  CHECK(plain < 5min);

  Facebook fb;
  fb.http.expect("GET /v26.0/act_1/campaigns")
      .reply(200, rows({}),
             {{"x-app-usage", R"({"call_count":28,"total_time":"31","total_cputime":25})"},
              {"x-ad-account-usage", R"({"acc_id_util_pct":9.67,"reset_time_duration":100})"},
              {"x-fb-ads-insights-throttle", "not json"}});
  fb.read(fb.stream("campaigns"), Slice::values(Partition("1"), {}, "x"));
  std::map<std::string, double> said;
  for (const auto& state : fb.seen.of<BucketState>())
    if (state.upstream_utilization) said[state.bucket] = *state.upstream_utilization;
  CHECK(said["app"] == Approx(0.31));
  CHECK(said["act_1"] == Approx(0.0967));
}

TEST_CASE("rule 4: back off, shrink and stop are three reactions") {
  const auto first_reply = [](int status, const std::string& body) {
    Facebook fb;
    const auto spec = fb.stream("campaigns");
    fb.http.expect("GET /v26.0/act_1/campaigns").with("limit", "500").reply(status, body);
    fb.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, rows({})); });
    KeptOutput out(spec);
    std::string reaction = "stop";
    try {
      fb.world.run(fb.connector->read(spec, Slice::values(Partition("1"), {}, "x"), out));
      REQUIRE(fb.http.requests().size() == 2);
      const auto& second = fb.http.requests()[1];
      const bool smaller = parameter(second.request, "limit") == "250";
      reaction = smaller ? "shrink" : second.at >= 60s ? "back off" : "retry";
      if (smaller) CHECK(second.at < 1s);
    } catch (const Error& error) {
      CHECK_FALSE(error.passing());
      CHECK(fb.http.requests().size() == 1);
    }
    return reaction;
  };
  for (const auto& [code, subcode] : std::vector<std::pair<int, int>>{{4, 0},
                                                                      {4, 1504022},
                                                                      {17, 2446079},
                                                                      {32, 0},
                                                                      {341, 0},
                                                                      {613, 1487742},
                                                                      {613, 0},
                                                                      {80000, 2446079},
                                                                      {80003, 0},
                                                                      {80004, 2446079},
                                                                      {80014, 0}}) {
    INFO(code << "/" << subcode);
    CHECK(first_reply(400, fault(code, subcode)) == "back off");
  }
  CHECK(first_reply(403, fault(4, 0, "(#4) Application request limit reached")) == "back off");
  CHECK(first_reply(429, "") == "back off");
  for (const auto& [code, subcode] :
       std::vector<std::pair<int, int>>{{100, 1487534}, {100, 1504018}, {2, 1504038}, {-3, 1504045}}) {
    INFO(code << "/" << subcode);
    CHECK(first_reply(400, fault(code, subcode)) == "shrink");
  }
  CHECK(
      first_reply(
          500,
          R"({"error":{"code":1,"message":"Please reduce the amount of data you're asking for, then retry your request"}})") ==
      "shrink");
  CHECK(first_reply(500, R"({"error":{"code":1,"message":"Reduza a quantidade de dados"}})") == "shrink");
  for (const auto& [code, subcode] : std::vector<std::pair<int, int>>{
           {190, 0},     {190, 460},   {102, 0},       {3, 0},    {10, 0},   {200, 0},   {294, 0},  {270, 0},
           {100, 0},     {100, 33},    {100, 3191001}, {105, 0},  {2500, 0}, {2642, 0},  {3001, 0}, {2, 1504041},
           {2, 1504042}, {1, 2853001}, {2635, 0},      {3018, 0}, {368, 0},  {987654, 0}}) {
    INFO(code << "/" << subcode);
    CHECK(first_reply(400, fault(code, subcode)) == "stop");
  }
  for (const auto& [code, subcode] : std::vector<std::pair<int, int>>{
           {1, 0}, {1, 99}, {2, 0}, {2, 1504043}, {104, 0}, {960, 0}, {2601, 1815107}, {2637, 1815107}}) {
    INFO(code << "/" << subcode);
    CHECK(first_reply(400, fault(code, subcode)) == "retry");
  }
  CHECK(first_reply(400, fault(4711, 0, "odd", R"(,"is_transient":true)")) == "retry");
  CHECK(first_reply(400, fault(100, 0, "Unsupported request - method type: get")) == "retry");
  for (const auto* body : {"", "Service Unavailable", "<html>login</html>", "{\"data\":[", "not json"}) {
    INFO(body);
    CHECK(first_reply(200, body) == "retry");
    CHECK(first_reply(503, body) == "retry");
  }
  CHECK(first_reply(302, "") == "stop");
  CHECK(first_reply(404, "nothing here") == "stop");
}

TEST_CASE("a throttle stops the ad account that it is about, or all of the app's") {
  // When a call about account 2 leaves after account 1 was refused.
  const auto other_account = [](int code) {
    Facebook fb("accounts: [\"1\", \"2\"]");
    const auto spec = fb.stream("campaigns");
    fb.http.expect("GET /v26.0/act_1/campaigns").reply(400, fault(code));
    fb.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, rows({})); });
    const auto both = [&]() -> task<void> {
      KeptOutput out(spec);
      const auto one = Slice::values(Partition("1"), {}, "x"), two = Slice::values(Partition("2"), {}, "x");
      TaskGroup group(fb.world.executor());
      group.spawn(fb.connector->read(spec, one, out));
      co_await fb.world.clock().sleep_for(1s);
      group.spawn(fb.connector->read(spec, two, out));
      co_await group.join();
    };
    fb.world.run(both());
    Duration first{}, second{};
    for (const auto& seen : fb.http.requests())
      (path_of(seen.request).find("act_1/") != std::string::npos ? first : second) = seen.at;
    CHECK(first >= 60s);
    return second;
  };
  for (const int code : {4, 32, 341}) {
    INFO(code);
    CHECK(other_account(code) >= 60s);
  }
  for (const int code : {17, 613, 80000, 80004}) {
    INFO(code);
    CHECK(other_account(code) < 5s);
  }
}

TEST_CASE("rule 5: pages follow cursors.after until paging.next is absent") {
  Facebook fb;
  const auto spec = fb.stream("campaigns", "fields: [name]");
  fb.http.expect("GET /v26.0/act_1/campaigns")
      .without("after")
      .reply(200, rows({R"({"id":"10","account_id":"1"})"}, "p2"));
  // An empty page is not the end, and the last page has a cursor too.
  fb.http.expect("GET /v26.0/act_1/campaigns").with("after", "p2").reply(200, rows({}, "p3"));
  fb.http.expect("GET /v26.0/act_1/campaigns")
      .with("after", "p3")
      .reply(200, rows({R"({"id":"11","account_id":"1"})"}));
  const auto out = fb.read(spec, Slice::values(Partition("1"), {}, "x"));
  CHECK(out.column("id") == std::vector<std::string>{"10", "11"});
  CHECK(fb.http.everything_seen());

  Facebook loop;
  for (const auto* after : {"a", "b", "a"}) loop.http.expect("GET /v26.0/act_1/campaigns").reply(200, rows({}, after));
  CHECK(loop.failure(spec, Slice::values(Partition("1"), {}, "x")).remedy() == Remedy::retry);
}

TEST_CASE("rule 6: until is inclusive") {
  Facebook fb;
  const auto spec = fb.stream("insights");
  fb.http.expect("POST /v26.0/act_1/insights")
      .with("time_range", R"({"since":"2026-03-01","until":"2026-03-01"})")
      .with("time_increment", "1")
      .reply(200, submitted);
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  fb.http.expect("GET /v26.0/77/insights").reply(200, rows({row("2026-03-01", "5")}));
  CHECK(fb.read(spec, fb.day("2026-03-01")).column("date_start") == std::vector<std::string>{"2026-03-01"});
  fb.http.expect("POST /v26.0/act_1/insights")
      .with("time_range", R"({"since":"2026-03-01","until":"2026-03-07"})")
      .reply(200, submitted);
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  fb.http.expect("GET /v26.0/77/insights").reply(200, rows({}));
  fb.read(spec, fb.day("2026-03-01", 7));
  CHECK(fb.http.everything_seen());
}

TEST_CASE("rule 7: a report is read once it is completed and at 100 %") {
  Facebook fb;
  fb.http.expect("POST /v26.0/act_1/insights").reply(200, R"({"report_run_id":77})");
  // Meta: a moment after it was made it may be unknown.
  fb.http.expect("GET /v26.0/77").reply(400, fault(100, 33, "does not exist"));
  fb.http.expect("GET /v26.0/77").reply(200, R"({"async_status":"Job Not Started","async_percent_completion":0})");
  fb.http.expect("GET /v26.0/77").reply(200, R"({"async_status":"Job Running","async_percent_completion":100})");
  fb.http.expect("GET /v26.0/77").reply(200, R"({"async_status":"Job Completed","async_percent_completion":"90"})");
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  // Meta: and after it is complete it may be unreadable for a moment.
  fb.http.expect("GET /v26.0/77/insights").reply(400, fault(2601, 1815107, "Loading Async Ads Report Failed"));
  fb.http.expect("GET /v26.0/77/insights").reply(200, rows({row("2026-03-01", "5")}));
  CHECK(fb.read(fb.stream("insights"), fb.day("2026-03-01")).rows.size() == 1);
  CHECK(fb.http.everything_seen());
}

TEST_CASE("rule 8: metrics are texts, and what is left out is NULL, not 0") {
  Facebook fb;
  fb.http.expect("POST /v26.0/act_1/insights").reply(200, submitted);
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  fb.http.expect("GET /v26.0/77/insights")
      .reply(
          200,
          rows({row(
              "2026-03-01", "120208325579370399",
              R"("impressions":"185","clicks":"0","spend":"14.35","actions":[{"action_type":"link_click","value":"9"}])")}));
  const auto out = fb.read(fb.stream("insights"), fb.day("2026-03-01"));
  REQUIRE(out.rows.size() == 1);
  const auto& row = out.rows[0];
  CHECK(row.at("ad_id") == "120208325579370399");
  CHECK(row.at("impressions") == "185");
  CHECK(row.at("clicks") == "0");
  CHECK(row.at("spend") == "14.35");
  CHECK(row.at("reach") == "-");
  CHECK(row.at("action_values") == "-");
  CHECK(row.at("actions") == R"([{"action_type":"link_click","value":"9"}])");
}

TEST_CASE("rule 9: 28 days are read again, in the account's own zone, back to 37 months and a day") {
  Facebook fb;
  const auto spec = fb.stream("insights");
  CHECK(spec.lookback == 28 * 24h);
  CHECK(spec.slice_days == 1);
  const auto earliest = [&](const char* now, const char* zone, const char* options = "{}") {
    Facebook at;
    at.world.clock().step(*parse_instant(now) - at.world.clock().now());
    return format_day(*at.connector->earliest(at.stream("insights", options), Partition("1", *load_zone(zone))));
  };
  CHECK(earliest("2023-03-31T12:00:00Z", "UTC") == "2020-03-01");
  CHECK(earliest("2026-03-15T12:00:00Z", "UTC") == "2023-02-16");
  // It is tomorrow already in Auckland.
  CHECK(earliest("2026-03-15T12:00:00Z", "Pacific/Auckland") == "2023-02-17");
  CHECK(earliest("2026-03-15T12:00:00Z", "UTC", "breakdowns: [hourly_stats_aggregated_by_advertiser_time_zone]") ==
        "2025-02-16");
}

TEST_CASE("rule 10: a breakdown is never asked for as a field") {
  Facebook fb;
  const auto spec = fb.stream("insights", "{fields: [country, impressions], breakdowns: [country, image_asset]}");
  CHECK(spec.key == std::vector<std::string>{"account_id", "date_start", "ad_id", "country", "image_asset"});
  fb.http.expect("POST /v26.0/act_1/insights")
      .with("fields", "account_id,ad_id,impressions")
      .with("breakdowns", "country,image_asset")
      .reply(200, submitted);
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  fb.http.expect("GET /v26.0/77/insights")
      .reply(200, rows({row("2026-03-01", "5", R"("country":"GB","image_asset":{"id":"9","url":"x"})"),
                        row("2026-03-01", "6")}));
  const auto out = fb.read(spec, fb.day("2026-03-01"));
  CHECK(out.column("country") == std::vector<std::string>{"GB", ""});
  CHECK(out.column("image_asset") == std::vector<std::string>{"9", ""});
}
