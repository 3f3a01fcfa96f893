#include "tests/connectors/facebook_ads_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

TEST_CASE("a report's pages shrink without losing or repeating a row") {
  Facebook fb("page_size: 4");
  fb.http.expect("POST /v26.0/act_1/insights").reply(200, submitted);
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  fb.http.expect("GET /v26.0/77/insights").with("limit", "4").reply(200, rows({row("2026-03-01", "1")}, "x"));
  fb.http.expect("GET /v26.0/77/insights").with("limit", "4").with("after", "x").reply(500, fault(100, 1504018));
  fb.http.expect("GET /v26.0/77/insights")
      .with("limit", "2")
      .with("after", "x")
      .reply(200, rows({row("2026-03-01", "2")}, "y"));
  fb.http.expect("GET /v26.0/77/insights")
      .with("limit", "2")
      .with("after", "y")
      .reply(200, rows({row("2026-03-01", "3")}));
  const auto out = fb.read(fb.stream("insights"), fb.day("2026-03-01"));
  CHECK(out.column("ad_id") == std::vector<std::string>{"1", "2", "3"});
  CHECK(fb.http.everything_seen());
}

TEST_CASE("a report that is dropped, stalls or never starts is submitted again") {
  const std::string skipped = R"({"async_status":"Job Skipped","async_percent_completion":0})";
  const std::string waiting = R"({"async_status":"Job Not Started","async_percent_completion":0})";
  const std::string stuck = R"({"async_status":"Job Running","async_percent_completion":100})";
  const std::string failing =
      R"({"async_status":"Job Failed","async_percent_completion":0,"error_code":-2,"error_subcode":2490547})";
  for (const auto& [status, after] :
       std::vector<std::pair<std::string, Duration>>{{skipped, 0s}, {waiting, 10min}, {stuck, 15min}, {failing, 0s}}) {
    INFO(status);
    Facebook fb("accounts: [\"1\"]");
    int reports = 0;
    Duration again{};
    fb.http.answer_with([&, first = status](const HttpRequest& request) {
      if (request.method == "POST") {
        if (++reports == 2) again = fb.world.clock().uptime();
        return HttpResponse(200, {}, R"({"report_run_id":"7)" + std::to_string(reports) + "\"}");
      }
      if (path_of(request) == "/v26.0/71") return HttpResponse(200, {}, first);
      if (path_of(request) == "/v26.0/72") return HttpResponse(200, {}, completed);
      CHECK(path_of(request) == "/v26.0/72/insights");
      return HttpResponse(200, {}, rows({row("2026-03-01", "1")}));
    });
    CHECK(fb.read(fb.stream("insights"), fb.day("2026-03-01")).rows.size() == 1);
    CHECK(reports == 2);
    CHECK(again >= after);
    CHECK(again < after + 1min);
  }
}

TEST_CASE("a report that is not known everywhere yet is asked for again, by whatever address the API is reached") {
  const std::string proxy = GENERATE("", "/video", "/v2/graph");
  Facebook fb("accounts: [\"1\"]\nbase_url: https://proxy.test" + proxy);
  const auto root = proxy + "/v26.0/";
  fb.http.expect("POST " + root + "act_1/insights").reply(200, submitted);
  fb.http.expect("GET " + root + "77").reply(400, fault(100, 33, "Unsupported get request"));
  fb.http.expect("GET " + root + "77").reply(200, completed);
  fb.http.expect("GET " + root + "77/insights").reply(200, rows({row("2026-03-01", "1")}));
  CHECK(fb.read(fb.stream("insights"), fb.day("2026-03-01")).rows.size() == 1);
  CHECK(fb.http.everything_seen());
}

TEST_CASE("a report that moves on is waited for, and a failed one that says why stops at once") {
  Facebook slow;
  int percent = 0;
  slow.http.answer_with([&](const HttpRequest& request) {
    if (request.method == "POST") return HttpResponse(200, {}, submitted);
    if (path_of(request).ends_with("/insights")) return HttpResponse(200, {}, rows({}));
    if (slow.world.clock().uptime() > 10min * (percent + 1)) ++percent;
    return HttpResponse(200, {},
                        percent >= 5 ? completed
                                     : R"({"async_status":"Job Running","async_percent_completion":)" +
                                           std::to_string(percent * 20) + "}");
  });
  slow.read(slow.stream("insights"), slow.day("2026-03-01"));
  CHECK(slow.world.clock().uptime() >= 50min);
  CHECK(slow.http.lines()[0].starts_with("POST"));

  Facebook bad;
  bad.http.expect("POST /v26.0/act_1/insights").reply(200, submitted);
  bad.http.expect("GET /v26.0/77")
      .reply(
          200,
          R"({"async_status":"Job Failed","async_percent_completion":0,"error_code":2,"error_subcode":1504041,"error_message":"Invalid combination"})");
  const auto error = bad.failure(bad.stream("insights"), bad.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("Invalid combination") && Catch::Contains("breakdowns"));
}

TEST_CASE("a report that is complete and stays unreadable is submitted again, then given up for now") {
  Facebook fb("retry: {attempts: 2}");
  int reports = 0;
  fb.http.answer_with([&](const HttpRequest& request) {
    if (request.method == "POST") ++reports;
    if (request.method == "POST") return HttpResponse(200, {}, submitted);
    return path_of(request).ends_with("/insights")
               ? HttpResponse(400, {}, fault(2601, 1815107, "Loading Async Ads Report Failed"))
               : HttpResponse(200, {}, completed);
  });
  const auto error = fb.failure(fb.stream("insights"), fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::retry);
  CHECK(reports == 3);
}

TEST_CASE("a report that never completes is submitted three times in all before the slice fails") {
  const std::string stuck = R"({"async_status":"Job Running","async_percent_completion":30})";
  Facebook fb;
  int reports = 0;
  fb.http.answer_with([&](const HttpRequest& request) {
    if (request.method == "POST") ++reports;
    return HttpResponse(200, {}, request.method == "POST" ? submitted : stuck);
  });
  const auto error = fb.failure(fb.stream("insights"), fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("stayed at 30 %"));
  CHECK(reports == 3);
  CHECK(fb.world.clock().uptime() < 50min);
}

TEST_CASE("a report that moves on and on is submitted again after report.timeout") {
  Facebook fb;
  int reports = 0;
  Duration again{};
  fb.http.answer_with([&](const HttpRequest& request) {
    if (request.method == "POST" && ++reports == 2) again = fb.world.clock().uptime();
    if (request.method == "POST") return HttpResponse(200, {}, submitted);
    if (path_of(request).ends_with("/insights")) return HttpResponse(200, {}, rows({row("2026-03-01", "1")}));
    const auto percent = std::to_string(fb.world.clock().uptime() / 10min);
    return HttpResponse(
        200, {},
        reports == 2 ? completed : R"({"async_status":"Job Running","async_percent_completion":)" + percent + "}");
  });
  CHECK(fb.read(fb.stream("insights"), fb.day("2026-03-01")).rows.size() == 1);
  CHECK(reports == 2);
  CHECK(again >= 1h);
  CHECK(again < 1h + 1min);
}

TEST_CASE("a report that fails because the quota is used up pauses its bucket and is neither counted nor cut") {
  for (const auto& [code, bucket] :
       std::vector<std::pair<int, std::string>>{{17, "act_1"}, {80000, "act_1"}, {4, "app"}}) {
    INFO(code);
    Facebook fb;
    int reports = 0;
    fb.http.answer_with([&, code = code](const HttpRequest& request) {
      if (request.method == "POST") {
        CHECK(parameter(request, "filtering")->find(".id\"") == std::string::npos);
        ++reports;
        return HttpResponse(200, {}, submitted);
      }
      if (path_of(request).ends_with("/insights")) return HttpResponse(200, {}, rows({row("2026-03-01", "1")}));
      CHECK(path_of(request) == "/v26.0/77");
      return HttpResponse(200, {},
                          reports == 5 ? completed
                                       : R"({"async_status":"Job Failed","async_percent_completion":0,"error_code":)" +
                                             std::to_string(code) + "}");
    });
    CHECK(fb.read(fb.stream("insights"), fb.day("2026-03-01")).rows.size() == 1);
    CHECK(reports == 5);
    CHECK(fb.world.clock().uptime() >= 4min);
    const auto throttled = fb.seen.of<Throttled>();
    REQUIRE_FALSE(throttled.empty());
    for (const auto& event : throttled) CHECK(event.bucket == bucket);
  }
}

TEST_CASE("columns that a report did not know of for a moment are asked for again") {
  Facebook fb;
  const auto unknown =
      fault(100, 0, "(#100) Cannot include impressions, spend in summary param because they weren't there");
  fb.http.expect("POST /v26.0/act_1/insights").reply(200, submitted);
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  fb.http.expect("GET /v26.0/77/insights").reply(400, unknown).times(2);
  fb.http.expect("GET /v26.0/77/insights").reply(200, rows({row("2026-03-01", "5")}));
  CHECK(fb.read(fb.stream("insights"), fb.day("2026-03-01")).rows.size() == 1);
  CHECK(fb.http.everything_seen());
}

TEST_CASE("HTTP 401 is a matter of the token, whatever its body") {
  Facebook fb;
  fb.http.expect("POST /v26.0/act_1/insights").reply(401, "<html>Unauthorized</html>");
  const auto error = fb.failure(fb.stream("insights"), fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::reauthenticate);
  CHECK_THAT(error.what(), Catch::Contains("access token"));
}

TEST_CASE("what counts people is not asked for of broken-down rows that are older than 13 months") {
  // It is 2026-03-02.
  const auto fields_asked = [](const char* options, const char* day) {
    Facebook fb;
    fb.http.answer_with([](const HttpRequest& request) {
      return HttpResponse(200, {},
                          request.method == "POST"                  ? submitted
                          : path_of(request).ends_with("/insights") ? rows({})
                                                                    : completed);
    });
    auto out = fb.read(fb.stream("insights", options), fb.day(day));
    CHECK(out.missing.empty() == out.reason.empty());
    return std::pair(parameter(fb.http.requests()[0].request, "fields").value(), out.missing);
  };
  const auto* by_age =
      "{breakdowns: [age], fields: [reach, unique_clicks, cost_per_unique_click, cpp, frequency, spend]}";
  const auto [old, missing] = fields_asked(by_age, "2025-02-02");
  CHECK(old == "account_id,ad_id,spend");
  CHECK(missing == std::vector<std::string>{"reach", "unique_clicks", "cost_per_unique_click", "cpp", "frequency"});
  const auto [kept, none] = fields_asked(by_age, "2025-02-03");
  CHECK(kept == "account_id,ad_id,reach,unique_clicks,cost_per_unique_click,cpp,frequency,spend");
  CHECK(none.empty());
  const auto [totals, nothing] = fields_asked("{fields: [reach, spend]}", "2023-06-01");
  CHECK(totals == "account_id,ad_id,reach,spend");
  CHECK(nothing.empty());
}

TEST_CASE("what Meta does not give by the hour, and action breakdowns without actions, are refused") {
  Facebook fb;
  const auto faults_of = [&](const std::string& yaml) {
    Faults faults;
    fb.configure("insights", yaml, faults);
    std::string text;
    for (const auto& fault : faults) text += to_string(fault) + "\n";
    return text;
  };
  const std::string hourly = "breakdowns: [hourly_stats_aggregated_by_advertiser_time_zone]";
  CHECK(faults_of(hourly) == "");
  const auto columns = fb.stream("insights", hourly).columns;
  CHECK(std::none_of(columns.begin(), columns.end(), [](const Column& c) { return c.name == "reach"; }));
  for (const auto* field : {"reach", "frequency", "unique_clicks", "video_play_actions"})
    CHECK_THAT(faults_of("{" + hourly + ", fields: [spend, " + field + "]}"),
               Catch::Contains(field) && Catch::Contains("by the hour"));
  CHECK_THAT(faults_of("{action_breakdowns: [action_device], fields: [spend]}"), Catch::Contains("add it to fields"));
  CHECK(faults_of("{action_breakdowns: [action_device], fields: [spend, actions]}") == "");
  CHECK(faults_of("action_breakdowns: [action_device]") == "");
}

TEST_CASE("reports ask for objects of every status, so that deleted ads keep their past") {
  for (const auto& [level, prefix] : std::vector<std::pair<std::string, std::string>>{
           {"ad", "ad"}, {"adset", "adset"}, {"campaign", "campaign"}, {"account", "ad"}}) {
    Facebook fb;
    fb.http.expect("POST /v26.0/act_1/insights")
        .with("level", level)
        .where([&, prefix = prefix](const HttpRequest& request) {
          const auto filter = json::parse(parameter(request, "filtering").value()).at(0);
          return filter["field"] == prefix + ".effective_status" && filter["operator"] == "IN" &&
                 filter["value"] == every_status(prefix);
        })
        .reply(200, submitted);
    fb.http.expect("GET /v26.0/77").reply(200, completed);
    fb.http.expect("GET /v26.0/77/insights").reply(200, rows({}));
    fb.read(fb.stream("insights", "level: " + level), fb.day("2026-03-01"));
    CHECK(fb.http.everything_seen());
  }
}

TEST_CASE("while its report is made, a slice leaves its place to others") {
  Facebook fb;
  const auto spec = fb.stream("insights");
  KeptOutput out(spec);
  int made = 0;
  fb.http.answer_with([&](const HttpRequest& request) {
    const auto path = path_of(request);
    CHECK(out.is_away() == !path.ends_with("77/insights"));
    if (request.method == "POST") return HttpResponse(200, {}, submitted);
    if (path.ends_with("/insights")) return HttpResponse(200, {}, rows({}));
    return HttpResponse(200, {},
                        ++made < 3 ? R"({"async_status":"Job Running","async_percent_completion":5})" : completed);
  });
  fb.world.run(fb.connector->read(spec, fb.day("2026-03-01"), out));
  CHECK(made == 3);
}

TEST_CASE("no more reports of an account are under way at once than the file allows") {
  Facebook fb("report: {concurrency: 2}");
  int open = 0, most = 0;
  std::map<std::string, int> looks;
  fb.http.answer_with([&](const HttpRequest& request) {
    const auto path = path_of(request);
    if (request.method == "POST") {
      most = std::max(most, ++open);
      return HttpResponse(200, {},
                          R"({"report_run_id":")" +
                              std::to_string(100 + looks.size() + static_cast<std::size_t>(fb.http.requests().size())) +
                              "\"}");
    }
    if (path.ends_with("/insights")) return HttpResponse(200, {}, rows({}));
    if (++looks[path] < 3)
      return HttpResponse(200, {}, R"({"async_status":"Job Running","async_percent_completion":5})");
    --open;
    return HttpResponse(200, {}, completed);
  });
  const auto spec = fb.stream("insights");
  std::vector<Slice> slices;
  for (const auto* day : {"2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"}) slices.push_back(fb.day(day));
  KeptOutput out(spec);
  const auto all = [&]() -> task<void> {
    TaskGroup group(fb.world.executor());
    for (const auto& slice : slices) group.spawn(fb.connector->read(spec, slice, out));
    co_await group.join();
  };
  fb.world.run(all());
  CHECK(most == 2);
  CHECK(fb.connector->estimated_requests(spec, 4) == 20);
}
