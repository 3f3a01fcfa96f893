#include "tests/connectors/clevertap_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;
using Catch::Contains;

// The rules of CleverTap's exports by cursor; each has its test here.

TEST_CASE("clevertap: an export is begun by a day of an event, with every flag said") {
  CleverTap app;
  app.begin()
      .with("batch_size", "5000")
      .with("app", "false")
      .with("events", "false")
      .with("profile", "false")
      .where([](const HttpRequest& request) {
        const auto body = json::parse(request.body);
        return body == json{{"event_name", "Charged"}, {"from", 20260301}, {"to", 20260301}};
      });
  app.page(records({record()}));
  CHECK(app.read_events().rows.size() == 1);

  app.begin().with("app", "true").with("events", "false").with("profile", "true");
  app.page(records({}));
  app.read(app.stream("events", "{include: [app, profile]}"), CleverTap::day());
}

TEST_CASE("clevertap: an event is a row with its name, its instant and what was received") {
  CleverTap app;
  app.begin();
  app.page(records({record("20260301003000"), record("\"20260301235959\"")}));
  const auto out = app.read_events();
  REQUIRE(out.rows.size() == 2);
  const auto& row = out.rows[0];
  CHECK(row.at("event_name") == "Charged");
  CHECK(row.at("event_date") == "2026-03-01");
  CHECK(row.at("ts") == "2026-02-28T19:00:00Z");  // Kolkata is 5:30 ahead
  CHECK(row.at("ts_local") == "20260301003000");
  CHECK(row.at("object_id") == "__g1");
  CHECK(row.at("identity") == "7");
  CHECK(row.at("phone") == "919812345678");
  CHECK(row.at("platform") == "Android");
  CHECK(row.at("event_props") == R"({"Amount":12.50})");
  CHECK(json::parse(row.at("profile"))["name"] == "Asha");
  CHECK(out.rows[1].at("ts_local") == "20260301235959");
}

TEST_CASE("clevertap: the cursor goes back byte for byte") {
  CleverTap app;
  const std::string first = "ZiZiNw%2Fa%2Bb~c.d-e_%3D%3D", second = "x%2520y%3D";
  const auto verbatim = [](const std::string& cursor) {
    return [=](const HttpRequest& request) {
      return request.url == "https://in1.api.clevertap.com/1/events.json?cursor=" + cursor && request.body.empty();
    };
  };
  app.begin(first);
  app.page(records({record()}, second)).where(verbatim(first));
  app.page(records({record()})).where(verbatim(second));
  CHECK(app.read_events().rows.size() == 2);
}

TEST_CASE("clevertap: a cursor of other characters never gets into an address") {
  CleverTap app;
  app.begin("a&b=c d");
  CHECK_THAT(app.failure<UnknownStructure>().what(), Contains("cursor"));
  app.begin();
  app.page(records({record()}, "a b"));
  CHECK(app.failure().remedy() == Remedy::retry);
}

TEST_CASE("clevertap: the last page is the one without a next cursor, absent, null or empty") {
  for (const auto* last : {R"({"status":"success","records":[)", R"({"status":"success","next_cursor":"","records":[)",
                           R"({"status":"success","next_cursor":null,"records":[)"}) {
    CleverTap app;
    app.begin();
    app.page(last + record() + "]}");
    CHECK(app.read_events().rows.size() == 1);
  }
}

TEST_CASE("clevertap: absent records are an empty page, and an empty page with a next cursor is not the last") {
  CleverTap app;
  app.begin();
  app.page(R"({"status":"success"})");
  CHECK(app.read_events().rows.empty());

  app.begin();
  app.page(R"({"status":"success","next_cursor":"c2"})");
  app.page(records({}, "c3"));
  app.page(records({record()}));
  CHECK(app.read_events().rows.size() == 1);
}

TEST_CASE("clevertap: a page may hold more records than were asked for") {
  CleverTap app("region: in1\npage_size: 23");
  app.begin().with("batch_size", "23");
  app.page(records(std::vector<std::string>(989, record())));
  CHECK(app.read_events().rows.size() == 989);
}

TEST_CASE("clevertap: equal records of a day are all kept") {
  CleverTap app;
  app.begin();
  app.page(records({record(), record(), record()}));
  CHECK(app.read_events().rows.size() == 3);
  const auto spec = app.stream("events");
  CHECK(spec.key.empty());
  CHECK(spec.mode == LoadMode::append);
  CHECK(spec.cursor == Cursor::date);  // the window is replaced
  CHECK(spec.partition_column == "event_name");
  CHECK(spec.cursor_column == "event_date");
}

TEST_CASE("clevertap: a cursor that does not advance fails the slice") {
  CleverTap app;
  app.begin();
  app.page(records({record()}, "c1"));
  CHECK(app.failure().remedy() == Remedy::retry);
  app.begin();
  app.page(records({record()}, "c2"));
  app.page(records({record()}, "c1"));
  CHECK(app.failure().remedy() == Remedy::retry);
}

TEST_CASE("clevertap: still in progress asks with the same cursor again, for minutes, not for tries") {
  CleverTap app;
  app.begin();
  for (int i = 0; i < 40; ++i) app.page(in_progress).with("cursor", "c1");
  app.http.expect("GET /1/events.json").with("cursor", "c1").reply(202, "");
  app.page(records({record()})).with("cursor", "c1");
  CHECK(app.read_events().rows.size() == 1);
  CHECK(app.world.clock().uptime() >= 100s);
  CHECK(app.world.clock().uptime() < 5min);

  CleverTap never;
  never.begin();
  never.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, in_progress); });
  const auto error = never.failure();
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Contains("not made after 15m"));
  CHECK(never.world.clock().uptime() < 20min);
}

TEST_CASE("clevertap: whoever waits for an export leaves its place to others") {
  CleverTap app;
  app.begin();
  const auto spec = app.stream("events");
  KeptOutput out(spec);
  bool away = false;
  app.page(in_progress);
  app.page(records({}));
  app.world.run([](CleverTap& app, const StreamSpec& spec, KeptOutput& out, bool& away) -> task<void> {
    const auto slice = CleverTap::day();
    TaskGroup group(app.world.executor());
    group.spawn(app.connector->read(spec, slice, out));
    co_await app.world.clock().sleep_for(1s);
    away = out.is_away();
    co_await group.join();
  }(app, spec, out, away));
  CHECK(away);
}

TEST_CASE("clevertap: a dead cursor makes the slice start again") {
  for (const auto* body : {R"({"status":"fail","code":3,"error":"Incorrect Usage"})",
                           R"({"status":"fail","error":"Invalid cursor","code":"400"})",
                           R"({"status":"fail","error":["CURSOR_INVALIDATED"]})",
                           R"({"status":"fail","error":"Start again","code":"CURSOR_INVALIDATED"})"}) {
    INFO(body);
    CleverTap app;
    app.begin();
    app.page(records({record()}, "c2"));
    app.page(body);
    const auto error = app.failure();
    CHECK(error.remedy() == Remedy::retry);  // of the slice: what was staged is forgotten
    CHECK_THAT(error.what(), Contains("starts again"));
  }
  // The same words about a request without a cursor say that the request is wrong.
  CleverTap app;
  app.http.expect("POST /1/events.json").reply(200, R"({"status":"fail","code":3,"error":"Incorrect Usage"})");
  CHECK(app.failure().remedy() == Remedy::give_up);
}

TEST_CASE("clevertap: a partial page is asked for again, then fails the slice") {
  const auto partial = R"({"status":"partial","records":[)" + record() + "]}";
  CleverTap app("region: in1\nretry: {attempts: 3}");
  app.begin();
  app.page(partial).with("cursor", "c1").times(2);
  app.page(records({record()})).with("cursor", "c1");
  CHECK(app.read_events().rows.size() == 1);

  app.begin();
  app.page(partial).times(3);
  CHECK(app.failure().remedy() == Remedy::retry);
  // One that is larger than what is judged at once.
  app.begin();
  app.page(R"({"status":"partial","records":[)" +
           record("20260301093000", "\"x\":\"" + std::string(20'000, 'x') + '"') + "]}");
  CHECK(app.failure().remedy() == Remedy::retry);
  // Nor is it the beginning of an export.
  app.http.expect("POST /1/events.json").reply(200, R"({"status":"partial","cursor":"c1"})");
  CHECK(app.failure<UnknownStructure>().place() == "status");
}

TEST_CASE("clevertap: the same times on days when the clocks change lose no event and stay on their day") {
  CleverTap app("region: us1", "America/New_York");
  const auto spec = app.stream("events");
  const auto read = [&](const char* day, const std::vector<std::string>& stamps) {
    app.begin();
    std::vector<std::string> rows;
    for (const auto& stamp : stamps) rows.push_back(record(stamp));
    app.page(records(rows));
    return app.read(
        spec, Slice::days(Partition("Charged", *load_zone("America/New_York")), *parse_day(day), *parse_day(day) + 1));
  };
  // 01:30 happens twice, and nothing says which of them it was.
  const auto longer = read("2026-11-01", {"20261101003000", "20261101013000", "20261101013000", "20261101235959"});
  CHECK(longer.column("ts") == std::vector<std::string>{"2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z",
                                                        "2026-11-01T05:30:00Z", "2026-11-02T04:59:59Z"});
  CHECK(longer.column("event_date") == std::vector<std::string>(4, "2026-11-01"));
  // 02:30 does not happen.
  const auto shorter = read("2026-03-08", {"20260308000000", "20260308023000", "20260308235959"});
  CHECK(shorter.column("ts") ==
        std::vector<std::string>{"2026-03-08T05:00:00Z", "2026-03-08T07:00:00Z", "2026-03-09T03:59:59Z"});
  CHECK(shorter.column("event_date") == std::vector<std::string>(3, "2026-03-08"));
}

TEST_CASE("clevertap: a time that no clock shows is set aside, not another one") {
  CleverTap app;
  app.begin();
  app.page(records({record("20260301240000"), record("20260229000000"), record("2.0260301093e13"), record("20260301"),
                    record("-2026030109300"), record("null"), record()}));
  const auto out = app.read_events();
  CHECK(out.rows.size() == 1);
  CHECK(out.rejects.size() == 6);
}

TEST_CASE("clevertap: what a record may leave out is NULL") {
  CleverTap app;
  app.begin();
  app.page(records({R"({"profile":{"objectId":"o"},"ts":20260301093000})", record()}));
  const auto out = app.read_events();
  REQUIRE(out.rows.size() == 2);
  CHECK(out.rows[0].at("object_id") == "o");
  for (const auto* column : {"identity", "email", "phone", "name", "platform", "event_props", "session_props"})
    CHECK(out.rows[0].at(column) == "-");
}

TEST_CASE("clevertap: no number goes through a double") {
  CleverTap app;
  const auto spec = app.stream("events",
                               "promote: {order: {path: event_props.Order, type: int64},\n"
                               "  amount: {path: event_props.Amount, type: decimal}}");
  const auto props = R"({"Order":9007199254740993,"Amount":12345678901234567890.12,"Weight":1e400})";
  app.begin();
  app.page(records({record("20260301093000", "", props), record("20260301093000", "", R"({"Order":1.5})")}));
  const auto out = app.read(spec, CleverTap::day());
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("order") == "9007199254740993");
  CHECK(out.rows[0].at("amount") == "12345678901234567890.12");
  CHECK(out.rows[0].at("event_props") == props);
  REQUIRE(out.rejects.size() == 1);
  CHECK_THAT(out.rejects[0].reason, Contains("order"));
}

TEST_CASE("clevertap: an event that may not be exported is left out, and not asked for again") {
  CleverTap app;
  app.http.expect("POST /1/events.json")
      .reply(400, R"({"status":"fail","error":"Export not allowed for this event","code":400})");
  const auto spec = app.stream("events", "{names: [Charged, App Launched]}");
  CHECK_THAT(app.failure<NotOffered>(spec, CleverTap::day()).what(), Contains("Export not allowed"));
  app.failure<NotOffered>(spec, CleverTap::day("Charged", "2026-02-28"));
  CHECK(app.http.requests().size() == 1);
  const auto partitions = app.world.run(app.connector->partitions(spec));
  REQUIRE(partitions.size() == 2);
  CHECK_FALSE(partitions[0].active);
  CHECK_THAT(partitions[0].inactive_reason, Contains("Export not allowed"));
  CHECK(partitions[1].active);
  // Its counts are another matter.
  const auto counted = app.world.run(app.connector->partitions(app.stream("event_counts", "{names: [Charged]}")));
  CHECK(counted[0].active);
}

TEST_CASE("clevertap: a page that is too large makes the slice start again with smaller pages") {
  CleverTap app("region: in1\npage_size: 90");
  const auto too_large = [&] {
    app.http.expect("GET /1/events.json").fail(HttpError(Remedy::shrink, "too_large", "larger than 64 MiB"));
  };
  for (const auto* size : {"90", "45", "23"}) {
    app.begin().with("batch_size", size);
    too_large();
    CHECK(app.failure().remedy() == (size == std::string("23") ? Remedy::shrink : Remedy::retry));
  }
}

TEST_CASE("clevertap: without names all events of the account's schema are read") {
  CleverTap app;
  app.http.expect("GET /getSchema")
      .with("type", "events")
      .reply(200, R"({"status":"success","events":[{"name":"Charged"},{"name":"App Launched"},{"name":"Charged"}]})");
  const auto spec = app.stream("events");
  for (int i = 0; i < 2; ++i) {  // asked for once
    const auto partitions = app.world.run(app.connector->partitions(spec));
    REQUIRE(partitions.size() == 2);
    CHECK(partitions[1].id == "App Launched");
    CHECK(partitions[1].zone == CleverTap::zone());
  }
}

TEST_CASE("clevertap: values are promoted to columns of their own") {
  CleverTap app;
  const auto spec = app.stream("events",
                               "promote: {amount: {path: event_props.Amount, type: \"decimal(18,2)\"},\n"
                               "  session: {path: event_props.CT Session Id},\n"
                               "  delivery: {path: event_props.Delivery, type: timestamp},\n"
                               "  due: {path: event_props.Due, type: date},\n"
                               "  plan: {path: profile.profileData.Plan}}");
  app.begin();
  const auto rich = R"({"profile":{"objectId":"o","profileData":{"Plan":"gold","Age":5}},"ts":20260301093000,)"
                    R"("event_props":{"Amount":"12.5","CT Session Id":1668817176,"Delivery":"$D_1668817176",)"
                    R"("Due":"$D_1668817176","Items":[{"sku":1}]}})";
  const auto wrong = record("20260301093001", "", R"({"Amount":"twelve"})");
  app.page(records({rich, wrong, record("20260301093002", "", R"({"Delivery":"soon"})")}));
  const auto out = app.read(spec, CleverTap::day());
  REQUIRE(out.rows.size() == 1);
  const auto& row = out.rows[0];
  CHECK(row.at("amount") == "12.5");
  CHECK(row.at("session") == "1668817176");
  CHECK(row.at("delivery") == "2022-11-19T00:19:36Z");
  CHECK(row.at("due") == "2022-11-19");
  CHECK(row.at("plan") == "gold");
  CHECK(json::parse(row.at("event_props"))["Items"][0]["sku"] == 1);  // nothing is taken out
  CHECK(json::parse(row.at("profile"))["profileData"]["Age"] == 5);
  REQUIRE(out.rejects.size() == 2);
  CHECK_THAT(out.rejects[0].reason, Contains("amount") && Contains("twelve"));
  CHECK(out.rejects[0].raw == wrong);
  CHECK_THAT(out.rejects[1].reason, Contains("delivery") && Contains("soon"));
}

TEST_CASE("clevertap: reconciling compares with CleverTap's own count, before and after") {
  const auto with_counts = [](int before, int after) {
    CleverTap app;
    const auto count = [&](int n) {
      app.http.expect("POST /1/counts/events.json")
          .reply(200, R"({"status":"success","count":)" + std::to_string(n) + "}");
    };
    count(before);
    app.begin();
    app.page(records({record(), record()}));
    count(after);
    return app.read(app.stream("events", "{reconcile: true}"), CleverTap::day()).incidents;
  };
  CHECK(with_counts(2, 2).empty());
  CHECK(with_counts(1, 3).empty());  // more came in meanwhile
  // Rows are not held up by a count that cannot be had.
  CleverTap without;
  without.http.expect("POST /1/counts/events.json").reply(403, "");
  without.begin();
  without.page(records({record()}));
  const auto out = without.read(without.stream("events", "{reconcile: true}"), CleverTap::day());
  CHECK(out.rows.size() == 1);
  REQUIRE(out.incidents.size() == 1);
  CHECK_THAT(out.incidents[0], Contains("not compared") && Contains("403"));

  const auto incidents = with_counts(3, 3);
  REQUIRE(incidents.size() == 1);
  CHECK_THAT(incidents[0], Contains("2 records") && Contains("counts 3"));
  CHECK(with_counts(1, 1).size() == 1);
}
