#include "net/api.hpp"
#include "tests/connectors/clevertap_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;
using Catch::Contains;

// The rules of CleverTap's errors, limits and changes; each has its test here.

namespace {

std::string fail_answer(const std::string& error, const std::string& code = {}) {
  return R"({"status":"fail","error":)" + error + (code.empty() ? "" : ",\"code\":" + code) + "}";
}

}  // namespace

TEST_CASE("clevertap: every region has its host, and none stands in for another") {
  for (const auto& [region, host] : std::map<std::string, std::string>{{"in1", "in1.api.clevertap.com"},
                                                                       {"aps3", "aps3.api.clevertap.com"},
                                                                       {"eu1", "eu1.api.clevertap.com"},
                                                                       {"global", "api.clevertap.com"}}) {
    CleverTap app("region: " + region);
    const auto wanted = "https://" + host + "/";
    app.begin().where([=](const HttpRequest& request) { return request.url.starts_with(wanted); });
    app.page(records({}));
    app.read_events();
  }
  CleverTap proxy("base_url: http://127.0.0.1:9/ct/");
  proxy.http.expect("POST /ct/1/events.json").reply(200, R"({"status":"success","cursor":"c"})");
  proxy.http.expect("GET /ct/1/events.json").reply(200, records({}));
  proxy.read_events();

  CHECK_THROWS_WITH(CleverTap("page_size: 100"), Contains("region"));
}

TEST_CASE("clevertap: bad credentials stop the source and speak of the region") {
  for (const auto& [status, body] :
       std::vector<std::pair<int, std::string>>{{401, fail_answer("\"Account ID is not valid\"", "401")},
                                                {401, "<html>no</html>"},
                                                {200, fail_answer("\"Invalid Credentials\"")},
                                                {200, fail_answer("\"no\"", "401")}}) {
    INFO(status << body);
    CleverTap app;
    app.http.expect("POST /1/events.json").reply(status, body);
    const auto error = app.failure();
    CHECK(error.remedy() == Remedy::reauthenticate);
    CHECK_THAT(error.what(), Contains("region") && Contains("passcode"));
  }
}

TEST_CASE("clevertap: HTTP 200 with status fail is a refusal by its code and words") {
  const auto remedy = [](const std::string& body, int status = 200) {
    CleverTap app("region: in1\nretry: {attempts: 1}");
    app.http.expect("POST /1/events.json").reply(status, body);
    return app.failure().remedy();
  };
  CHECK(remedy(fail_answer("\"Bad dates\"", "4002")) == Remedy::give_up);
  CHECK(remedy(fail_answer("\"Bad dates\"", "\"4002\"")) == Remedy::give_up);
  CHECK(remedy(fail_answer("\"boom\"", "500")) == Remedy::retry);
  CHECK(remedy(fail_answer("\"boom\"")) == Remedy::retry);  // nothing says that it will not pass
  CHECK(remedy(fail_answer("\"not for you\"", "403")) == Remedy::give_up);
  CHECK(remedy(fail_answer("\"boom\""), 500) == Remedy::retry);
  CHECK(remedy("", 503) == Remedy::retry);
  CHECK(remedy(fail_answer("\"bad\"", "400"), 400) == Remedy::give_up);
  CHECK(remedy(fail_answer("\"bad\""), 405) == Remedy::give_up);
  CHECK(remedy(fail_answer("\"bad\""), 409) == Remedy::give_up);
  CHECK(remedy("", 404) == Remedy::give_up);
}

TEST_CASE("clevertap: an event that the account does not have is told by its name") {
  CleverTap app;
  app.http.expect("POST /1/events.json").reply(200, fail_answer(R"(["Invalid event : charged"])", "400"));
  const auto error = app.failure(app.stream("events"), CleverTap::day("charged"));
  CHECK(error.remedy() == Remedy::give_up_partition);  // its other days need not be asked for
  CHECK_THAT(error.what(), Contains("Invalid event : charged") && Contains("names"));
}

TEST_CASE("clevertap: what is not JSON is asked for again, and none of it is quoted") {
  for (const auto* body : {"", "  ", "customer@example.com", "<html>customer@example.com</html>"}) {
    INFO(body);
    CleverTap app("region: in1\nretry: {attempts: 3}");
    app.begin();
    app.page(body).times(3);
    const auto error = app.failure();
    CHECK(error.remedy() == Remedy::retry);
    CHECK_THAT(error.what(), !Contains("customer"));
  }
  CleverTap app;
  app.begin();
  app.page(R"({"status":"success","records":[{"ts":2026)").times(1);
  app.page(records({record()}));
  CHECK(app.read_events().rows.size() == 1);
}

TEST_CASE("clevertap: too many concurrent requests are waited out, a second at first, then longer") {
  CleverTap app;
  for (const int status : {429, 200, 429, 429})
    app.http.expect("POST /1/events.json").reply(status, fail_answer("\"Too many concurrent requests\"", "429"));
  app.begin();
  app.page(records({}));
  app.read_events();
  CHECK(app.world.clock().uptime() >= 15s);  // 1 + 2 + 4 + 8
  CHECK(app.world.clock().uptime() < 30s);
  CHECK(app.seen.of<Throttled>().size() == 1);
  CHECK(app.seen.of<Throttled>()[0].bucket == "events");
}

TEST_CASE("clevertap: three requests are under way at most, of each API") {
  CleverTap app;
  app.http.latency(1s);
  app.http.answer_with([](const HttpRequest& request) {
    const bool counting = path_of(request) == CleverTap::counts;
    if (counting) return HttpResponse(200, {}, R"({"status":"success","count":1})");
    if (request.method == "POST") return HttpResponse(200, {}, R"({"status":"success","cursor":"c"})");
    return HttpResponse(200, {}, records({}));
  });
  const auto events = app.stream("events"), counts = app.stream("event_counts");
  std::vector<Slice> slices;
  for (int i = 0; i < 8; ++i) slices.push_back(CleverTap::day("e" + std::to_string(i)));
  KeptOutput exported(events), counted(counts);
  const auto read_all = [&]() -> task<void> {
    TaskGroup group(app.world.executor());
    for (const auto& slice : slices) {
      group.spawn(app.connector->read(events, slice, exported));
      group.spawn(app.connector->read(counts, slice, counted));
    }
    co_await group.join();
  };
  app.world.run(read_all());
  CHECK(app.http.most_in_flight() == 6);
  // Eight exports of two requests each, three at a time.
  CHECK(app.world.clock().uptime() >= 6s);
}

TEST_CASE("clevertap: fewer requests are under way where in_flight says so") {
  CleverTap app("region: in1\nin_flight: 1");
  app.http.latency(1s);
  app.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, R"({"status":"success","count":1})"); });
  const auto counts = app.stream("event_counts");
  KeptOutput counted(counts);
  const std::vector<Slice> slices{CleverTap::day("a"), CleverTap::day("b"), CleverTap::day("c")};
  const auto read_all = [&]() -> task<void> {
    TaskGroup group(app.world.executor());
    for (const auto& slice : slices) group.spawn(app.connector->read(counts, slice, counted));
    co_await group.join();
  };
  app.world.run(read_all());
  CHECK(counted.rows.size() == 3);
  CHECK(app.http.most_in_flight() == 1);
}

TEST_CASE("clevertap: sources of one account share its places") {
  CleverTap app;
  app.http.latency(1s);
  app.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, R"({"status":"success","count":1})"); });
  const auto other = app.another("other");
  const auto counts = app.stream("event_counts");
  KeptOutput counted(counts);
  std::vector<Slice> slices;
  for (int i = 0; i < 3; ++i) slices.push_back(CleverTap::day("e" + std::to_string(i)));
  const auto read_all = [&]() -> task<void> {
    TaskGroup group(app.world.executor());
    for (const auto& slice : slices) {
      group.spawn(app.connector->read(counts, slice, counted));
      group.spawn(other->read(counts, slice, counted));
    }
    co_await group.join();
  };
  app.world.run(read_all());
  CHECK(counted.rows.size() == 6);
  CHECK(app.http.most_in_flight() == 3);
}

TEST_CASE("clevertap: a new passcode is read when the old one is refused") {
  CleverTap app;
  app.passcodes.emplace_back("CANARY-old");
  ::setenv("SLUICE_TEST_PASSCODE", "CANARY-old", 1);
  app.http.expect("POST /1/events.json")
      .where([](const HttpRequest& request) {
        ::setenv("SLUICE_TEST_PASSCODE", CleverTap::passcode, 1);  // somebody puts the new one in its place
        return header(request, "x-clevertap-passcode") == "CANARY-old";
      })
      .reply(401, fail_answer("\"Invalid Credentials\"", "401"));
  app.begin().with_header("X-CleverTap-Passcode", CleverTap::passcode);
  app.page(records({record()}));
  CHECK(app.read_events().rows.size() == 1);

  CleverTap same;
  same.http.expect("POST /1/events.json").reply(401, fail_answer("\"Invalid Credentials\"", "401"));
  CHECK(same.failure().remedy() == Remedy::reauthenticate);  // it is still the same: no second try
}

TEST_CASE("clevertap: an answer that repeats the passcode does not bring it into a message or the quarantine") {
  const auto echoed = std::string(CleverTap::passcode);
  CleverTap app;
  app.http.expect("POST /1/events.json").reply(200, R"({"headers":{"X-CleverTap-Passcode":")" + echoed + "\"}}");
  const auto unknown = app.failure<UnknownStructure>();
  CHECK_THAT(unknown.answer(), Contains("headers") && !Contains("CANARY"));

  for (const auto& body :
       {R"({"status":")" + echoed + R"("})", R"({"status":"success","cursor":")" + echoed + " \"}"}) {
    app.http.expect("POST /1/events.json").reply(200, body);
    CHECK_THAT(app.failure<UnknownStructure>().what(), Contains("found") && !Contains("CANARY"));
  }
  app.http.expect("POST /1/events.json").reply(400, fail_answer("\"no " + echoed + "\"", "\"" + echoed + "\""));
  CHECK_THAT(app.failure().what(), Contains("no …"));
}

TEST_CASE("clevertap: counts are polled by their request's id until they are made") {
  CleverTap app;
  app.http.expect("POST /1/counts/events.json")
      .where([](const HttpRequest& request) { return json::parse(request.body)["from"] == 20260301; })
      .reply(200, R"({"status":"partial","req_id":384649162721759})");
  app.http.expect("GET /1/counts/events.json")
      .with("req_id", "384649162721759")
      .times(3)
      .reply(200, R"({"status":"partial","req_id":384649162721759})");
  app.http.expect("GET /1/counts/events.json").reply(400, fail_answer("\"invalid request id\"", "400"));
  app.http.expect("POST /1/counts/events.json").reply(200, R"({"status":"success","count":7138})");
  const auto out = app.read(app.stream("event_counts"), CleverTap::day());
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("count") == "7138");
  CHECK(out.rows[0].at("event_name") == "Charged");
  CHECK(out.rows[0].at("event_date") == "2026-03-01");
  CHECK(app.world.clock().uptime() >= 12s);
}

TEST_CASE("clevertap: a count that is never made is given up after minutes") {
  for (const bool forgotten : {false, true}) {
    CleverTap app;
    app.http.answer_with([=](const HttpRequest& request) {
      if (forgotten && request.method == "GET")
        return HttpResponse(400, {}, fail_answer("\"invalid request id\"", "400"));
      return HttpResponse(200, {}, R"({"status":"partial","req_id":1,"count":3})");  // no count while it is partial
    });
    const auto error = app.failure(app.stream("event_counts"), CleverTap::day());
    CHECK(error.remedy() == Remedy::retry);
    CHECK_THAT(error.what(), Contains("not made after 15m"));
    CHECK(app.world.clock().uptime() < 20min);
  }
}

TEST_CASE("clevertap: a first read of profiles looks back as far as history says") {
  CleverTap app;
  for (const auto& [history, from] : std::map<std::string, int>{{"{}", 20251202}, {"{history: 7d}", 20260223}}) {
    app.http.expect("POST /1/profiles.json")
        .where([from = from](const HttpRequest& request) {
          const auto body = json::parse(request.body);
          return body["from"] == from && body["to"] == 20260302;
        })
        .reply(200, R"({"status":"success","cursor":"p"})");
    app.http.expect("GET /1/profiles.json").reply(200, records({}));
    app.read(app.stream("profiles", history), CleverTap::since(std::nullopt));
  }
}

TEST_CASE("clevertap: profiles of an event that may not be exported are a failure, not a stream that is left out") {
  CleverTap app;
  app.http.expect("POST /1/profiles.json")
      .reply(400, R"({"status":"fail","error":"Export not allowed for this event","code":400})");
  const auto spec = app.stream("profiles", "{names: [Notification Viewed]}");
  const auto error = app.failure<ApiError>(spec, CleverTap::since());
  CHECK(error.remedy() == Remedy::give_up);
}

TEST_CASE("clevertap: profiles are those who did an event since, one row per person") {
  CleverTap app;
  app.http.expect("POST /1/profiles.json")
      .with("app", "true")
      .with("events", "true")
      .with("profile", "true")
      .where([](const HttpRequest& request) {
        return json::parse(request.body) == json{{"event_name", "App Launched"}, {"from", 20260224}, {"to", 20260302}};
      })
      .reply(200, R"({"status":"success","cursor":"p"})");
  app.http.expect("GET /1/profiles.json")
      .reply(200, records({R"({"identity":"7","email":"a@b.c","profileData":{"Plan":"gold"},)"
                           R"("events":{"Charged":{"count":1}},"platformInfo":[{"objectId":"d1"},{"objectId":"d2"}]})",
                           R"({"objectId":"__anon","platformInfo":[]})", R"({"email":"nobody@b.c"})"}));
  const auto spec = app.stream("profiles");
  CHECK(spec.key == std::vector<std::string>{"person"});
  const auto out = app.read(spec, CleverTap::since());
  REQUIRE(out.rows.size() == 2);
  CHECK(out.rows[0].at("person") == "7");
  CHECK(out.rows[0].at("object_id") == "d1");
  CHECK(out.rows[0].at("properties") == R"({"Plan":"gold"})");
  CHECK(out.rows[1].at("person") == "__anon");
  CHECK(out.rejects.size() == 1);
}

TEST_CASE("clevertap: campaigns are listed by months, the last one again") {
  CleverTap app;
  const auto window = [](int from, int to) {
    return [=](const HttpRequest& request) { return json::parse(request.body) == json{{"from", from}, {"to", to}}; };
  };
  app.http.expect("POST /1/targets/list.json")
      .where(window(20260127, 20260226))
      .reply(
          200,
          R"({"status":"success","targets":[{"id":1457433898,"name":"Sale","status":"pending","scheduled_on":201603081605}]})");
  app.http.expect("POST /1/targets/list.json").where(window(20260227, 20260302)).reply(200, R"({"status":"success"})");
  const auto out = app.read(app.stream("campaigns"), CleverTap::since());
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("id") == "1457433898");
  CHECK(out.rows[0].at("scheduled_on") == "201603081605");
}

TEST_CASE("clevertap: a campaign without a result is left out in all three shapes, and never tried again") {
  CleverTap app;
  app.http.expect("POST /1/targets/list.json")
      .reply(200, R"({"status":"success","targets":[{"id":1},{"id":2},{"id":3},{"id":4}]})");
  app.http.expect("POST /1/targets/result.json").reply(200, fail_answer("\"This target hasn't been completed\""));
  app.http.expect("POST /1/targets/result.json")
      .reply(500, fail_answer("\"This target has no result as of yet\"", "500"));
  app.http.expect("POST /1/targets/result.json")
      .reply(200, R"({"status":"success","error":"Target hasn't been completed","code":200})");
  app.http.expect("POST /1/targets/result.json")
      .with_body(R"({"id":4})")
      .reply(200, R"({"status":"success","result":{"sent":82,"clicked":28,"ctr":0.34}})");
  app.http.expect("POST /1/targets/list.json").reply(200, R"({"status":"success","targets":[]})");
  const auto out = app.read(app.stream("campaign_reports"), CleverTap::since());
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("campaign_id") == "4");
  CHECK(out.rows[0].at("sent") == "82");
  CHECK(out.rows[0].at("viewed") == "-");
  CHECK(out.rows[0].at("result") == R"({"sent":82,"clicked":28,"ctr":0.34})");
}

TEST_CASE("clevertap: a campaign that cannot be read is set aside by its reports too, and the others go on") {
  CleverTap app;
  app.http.expect("POST /1/targets/list.json")
      .reply(200, R"({"status":"success","targets":[{"id":"x"},{"id":"9007199254740993"}]})");
  app.http.expect("POST /1/targets/result.json")
      .with_body(R"({"id":9007199254740993})")  // not through a double
      .reply(200, R"({"status":"success","result":{"sent":9007199254740993}})");
  app.http.expect("POST /1/targets/list.json").reply(200, R"({"status":"success"})");
  const auto out = app.read(app.stream("campaign_reports"), CleverTap::since());
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("sent") == "9007199254740993");
  REQUIRE(out.rejects.size() == 1);
  CHECK_THAT(out.rejects[0].reason, Contains("\"x\""));
}

TEST_CASE("clevertap: options are for their streams only") {
  CleverTap app;
  const auto message = [&](const std::string& from, const std::string& yaml) {
    Faults faults;
    app.configure(from, yaml, faults);
    REQUIRE(faults.size() == 1);
    return faults[0].message;
  };
  CHECK_THAT(message("campaigns", "{names: [Charged]}"), Contains("names"));
  CHECK_THAT(message("event_counts", "{promote: {a: {path: event_props.A}}}"), Contains("promote"));
  CHECK_THAT(message("events", "{history: 30d}"), Contains("history"));
  CHECK_THAT(message("events", "{include: [everything]}"), Contains("everything"));
  CHECK_THAT(message("events", "{names: []}"), Contains("empty"));
  CHECK_THAT(message("events", "{names: [A, A]}"), Contains("twice"));
  CHECK_THAT(message("events", "{promote: {a: {path: props.A}}}"), Contains("props.A"));
  CHECK_THAT(message("events", "{promote: {email: {path: event_props.Mail}}}"), Contains("email"));
  CHECK_THAT(message("events", "{promote: {mail: {path: profile.email}}}"), Contains("email"));
  CHECK_THAT(message("events", "{promote: {a: {path: profile..A}}}"), Contains("profile..A"));
  CHECK_THAT(message("events", "{promote: {a: {path: event_props.}}}"), Contains("event_props."));
  CHECK_THAT(message("events", "{promote: {a: {path: event_props.Price/Unit}}}"), Contains("slash"));
  CHECK_THAT(message("events", "{promote: {a: {path: event_props.A}, b: {path: event_props.A}}}"),
             Contains("column a"));
}

TEST_CASE("clevertap: a source that asks for more than CleverTap gives, or does not say its zone, is refused") {
  const auto message = [](const std::string& yaml) {
    Faults faults;
    parse_settings("{account_id: A, passcode: {env: X}, " + yaml + "}", "test.yaml", clevertap().source_options,
                   faults);
    return faults.empty() ? std::string() : faults[0].message;
  };
  const std::string zone = "timezone: Europe/London, region: in1, ";
  CHECK(message(zone + "page_size: 23, in_flight: 3").empty());
  CHECK_THAT(message(zone + "page_size: 22"), Contains("page_size"));  // taken for no limit at all
  CHECK_THAT(message(zone + "page_size: 5001"), Contains("page_size"));
  CHECK_THAT(message(zone + "in_flight: 4"), Contains("in_flight"));
  CHECK_THAT(message("timezone: Europe/London, region: xx1"), Contains("region"));
  CHECK_THAT(message("region: in1"), Contains("timezone"));
}

TEST_CASE("clevertap: check tells whether the passcode works and which zone the days are of") {
  CleverTap app;
  app.http.expect("GET /getSchema").reply(200, R"({"status":"success","events":[{"name":"Charged"}]})");
  const auto findings = app.world.run(app.connector->check());
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].level == Finding::Level::ok);
  CHECK_THAT(findings[1].message, Contains("Asia/Kolkata"));
  app.http.expect("GET /getSchema").reply(401, "");
  CHECK(app.world.run(app.connector->check())[0].level == Finding::Level::error);
}
