#include "connectors/clevertap_api.hpp"
#include "scheduler/run.hpp"
#include "tests/connectors/clevertap_fixture.hpp"
#include "tests/support/memory_sink.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;
using Catch::Contains;

// What happens when CleverTap's API changes: nothing is loaded that was not understood, and nothing else stops.

namespace {

// One run of a pipeline with the streams `events` and `event_counts` of the days yesterday and today.
struct Loading {
  CleverTap app;
  MemorySink sink;
  Remembered remembered;

  explicit Loading(const std::string& more = "region: in1") : app(more) {}

  RunEnded run(const std::vector<std::string>& streams, const std::string& options = "{names: [Charged]}") {
    Pipeline pipeline;
    pipeline.name = "p";
    for (const auto& name : streams) {
      StreamPlan plan;
      plan.name = name;
      plan.spec = app.stream(name, options);
      plan.start = day_of(app.world.clock().now(), CleverTap::zone()) - 1;
      plan.lookback = 24h;
      plan.table.name = name;
      Faults faults;
      plan.transform = Transform::make(plan.spec, {}, plan.table, faults);
      REQUIRE(faults.empty());
      pipeline.streams.push_back(std::move(plan));
    }
    SharedSource source(*app.connector, app.world.executor());
    SharedSink shared(sink, app.world.executor(), 2);
    Semaphore memory(app.world.executor(), 1 << 20);
    RunContext context{app.world.executor(), source, shared, memory, app.world.clock(), app.seen, app.rng, remembered};
    RunRecord record;
    record.id = "run";
    record.pipeline = "p";
    return app.world.run(run_pipeline(pipeline, record, RunOptions(), context));
  }
};

HttpResponse ok(const std::string& body) {
  return HttpResponse(200, {}, body);
}

// Answers everything well; the pages of events are `page`.
std::function<HttpResponse(const HttpRequest&)> api_with(const std::string& page) {
  return [=](const HttpRequest& request) {
    if (path_of(request) == CleverTap::counts) return ok(R"({"status":"success","count":5})");
    if (request.method == "POST") return ok(R"({"status":"success","cursor":"c"})");
    return ok(page);
  };
}

}  // namespace

TEST_CASE("clevertap: an answer that is built otherwise is no empty day") {
  const auto place = [](const std::string& page) {
    CleverTap app;
    app.begin();
    app.page(page);
    const auto error = app.failure<UnknownStructure>();
    CHECK(error.remedy() == Remedy::give_up);  // asking again would give the same
    CHECK(error.answer() == page);
    CHECK_THAT(error.what(), Contains("expected") && Contains("found") && Contains("2026-08"));
    return error.place();
  };
  CHECK(place(R"({"status":"success","data":[)" + record() + "]}") == "records");
  CHECK(place(R"({"status":"success","records":{"0":)" + record() + "}}") == "records");
  CHECK(place(R"({"status":"success","records":[)" + record() + R"(],"nextCursor":"c2"})") == "next_cursor");
  CHECK(place(R"({"status":"success","records":[],"paging":{"after":"c2"}})") == "next_cursor");
  CHECK(place(R"({"status":"success","records":[],"next_cursor":17})") == "next_cursor");
  CHECK(place(R"({"state":"done","records":[]})") == "status");
  CHECK(place(R"({"status":"ok","records":[]})") == "status");
  CHECK(place(R"([{"ts":20260301093000}])").empty());
  // Two lists of records: only one of them would be loaded.
  CHECK(place(R"({"status":"success","records":[)" + record() + R"(],"records":[)" + record() + "]}") == "records");
  // Nothing of a record can be read.
  CHECK(place(records({R"({"profile":{},"timestamp":20260301093000})"})) == "required");
  CHECK(place(records({R"({"user":{},"ts":20260301093000})"})) == "required");
  CHECK(place(records({record("1772357400")})) == "type");  // epoch seconds all at once
  CHECK(place(records({R"({"profile":{"objectId":"a"},"ts":20260301093000,"eventProps":{"Amount":1}})"})) ==
        "event_props");

  CleverTap app;
  app.http.expect("POST /1/events.json").reply(200, R"({"status":"success","export_id":"c"})");
  CHECK(app.failure<UnknownStructure>().place() == "cursor");
}

TEST_CASE("clevertap: a single record that does not fit does not hold up the others") {
  CleverTap app;
  app.begin();
  app.page(records({record("\"yesterday\""), record(), R"({"ts":20260301093000})"}));
  const auto out = app.read_events();
  CHECK(out.rows.size() == 1);
  REQUIRE(out.rejects.size() == 2);
  CHECK_THAT(out.rejects[0].reason + out.rejects[1].reason, Contains("yesterday") && Contains("profile"));
}

TEST_CASE("clevertap: a page of another structure is kept, progress stays, and other streams go on") {
  Loading load;
  const auto page = R"({"status":"success","data":[)" + record() + "]}";
  load.app.http.answer_with(api_with(page));
  const auto ended = load.run({"events", "event_counts"});
  CHECK(ended.outcome == Outcome::partial);
  CHECK_FALSE(ended.passing);
  CHECK(load.sink.rows["events"].empty());
  CHECK(load.sink.rows["event_counts"].size() == 2);
  for (const auto& [lane, progress] : load.sink.progresses) {
    INFO(lane.stream);
    CHECK(progress.done_to.has_value() == (lane.stream == "event_counts"));
  }
  INFO(ended.message);
  REQUIRE(load.sink.quarantine["events Charged/2026-03-01"].size() == 1);
  const auto& kept = load.sink.quarantine["events Charged/2026-03-01"][0];
  CHECK(kept.raw == page);
  CHECK(kept.rule == "structure");
  CHECK_THAT(kept.reason, Contains("expected a list \"records\"") && Contains("\"data\""));
  const auto changes = load.app.seen.of<SchemaChanged>();
  REQUIRE(changes.size() == 2);  // one for each slice
  CHECK(changes[0].action == "refused");
  CHECK(changes[0].column == "records");

  // Once the API speaks as before, the day is loaded and the page is no longer in the quarantine.
  load.app.http.answer_with(api_with(records({})));
  CHECK(load.run({"events", "event_counts"}).outcome == Outcome::succeeded);
  CHECK(load.sink.quarantine["events Charged/2026-03-01"].empty());
}

TEST_CASE("clevertap: a changed API is followed by its profile in the configuration") {
  const auto page = R"({"status":"success","data":[{"user":{"objectId":"o","id":"7"},"at":20260301093000,)"
                    R"("event_props":{"Amount":1}}],"next":"c2"})";
  CleverTap app(R"(region: in1
api_profile:
  version: "2"
  entries:
    path.events: /2/events.json
    parameter.cursor: page
    key.records: records | data
    key.next_cursor: next_cursor | next
    event.ts: ts | at
    event.profile: profile | user
    event.object_id: profile/objectId | user/objectId
    event.identity: profile/identity | user/id
)");
  app.http.expect("POST /2/events.json").reply(200, R"({"status":"success","cursor":"c1"})");
  app.http.expect("GET /2/events.json").with("page", "c1").reply(200, page);
  // Both may be met in one export, while it changes.
  app.http.expect("GET /2/events.json").with("page", "c2").reply(200, records({record()}));
  const auto out = app.read_events();
  REQUIRE(out.rows.size() == 2);
  CHECK(out.rows[0].at("ts_local") == "20260301093000");
  CHECK(out.rows[0].at("object_id") == "o");
  CHECK(out.rows[0].at("identity") == "7");
  CHECK(out.rows[0].at("profile") == R"({"objectId":"o","id":"7"})");
  CHECK(out.rows[1].at("object_id") == "__g1");

  // What a record holds is none of the page's members, whatever it is called.
  app.http.expect("POST /2/events.json").reply(200, R"({"status":"success","cursor":"c1"})");
  app.http.expect("GET /2/events.json")
      .reply(200, R"({"status":"success","data":[)" + record("20260301093000", "", R"({"records":[1]})") + "]}");
  CHECK(app.read_events().rows.size() == 1);
  app.http.expect("POST /2/events.json").reply(200, R"({"status":"success","cursor":"c1"})");
  app.http.expect("GET /2/events.json")
      .reply(200, R"({"status":"success","records":[)" + record() + R"(],"data":[)" + record() + "]}");
  CHECK(app.failure<UnknownStructure>().place() == "data");
  CHECK(app.connector->parse(app.stream("events"), "", R"({"status":"success","data":[)" + record() + "]}").rows() ==
        1);

  CHECK_THROWS_WITH(CleverTap("region: in1\napi_profile: {entries: {key.record: data}}"),
                    Contains("key.record") && Contains("key.records"));
}

TEST_CASE("clevertap: what is asked for by POST may be asked for by GET, as the profile says") {
  CleverTap app("region: in1\napi_profile: {entries: {method.events: GET, method.event_counts: GET}}");
  app.http.expect("GET /1/events.json")
      .with("event_name", "Charged & paid")
      .with("from", "20260301")
      .with("to", "20260301")
      .with("batch_size", "5000")
      .reply(200, R"({"status":"success","cursor":"c1"})");
  app.http.expect("GET /1/events.json").with("cursor", "c1").reply(200, records({record()}));
  CHECK(app.read(app.stream("events"), CleverTap::day("Charged & paid")).rows.size() == 1);
  app.http.expect(std::string("GET ") + CleverTap::counts)
      .with("event_name", "Charged")
      .reply(200, R"({"status":"success","count":3})");
  CHECK(app.read(app.stream("event_counts"), CleverTap::day()).rows.size() == 1);
  CHECK_THROWS_WITH(CleverTap("region: in1\napi_profile: {entries: {method.events: PUT}}"),
                    Contains("method.events") && Contains("expected GET or POST"));
}

TEST_CASE("clevertap: of a large page that is not understood so much is kept that the new profile reads it") {
  std::vector<std::string> many(40'000, record());
  many.push_back(record("20260301093001"));
  auto page = records(many, "c2");
  REQUIRE(page.size() > ct::most_kept + 1'000'000);
  page.replace(page.find("\"records\""), 9, "\"data\"");
  page.insert(page.size() - 1, R"(,"later":1)");
  CleverTap app;
  app.begin();
  app.page(page);
  const auto kept = app.failure<UnknownStructure>().answer();
  CHECK(kept.size() < ct::most_kept);
  CHECK(kept.size() > ct::most_kept - 200'000);
  const auto document = json::parse(kept);
  CHECK(document["next_cursor"] == "c2");
  CHECK(document["later"] == 1);
  CleverTap next("region: in1\napi_profile: {entries: {key.records: data}}");
  const auto rows = next.connector->parse(next.stream("events"), "", kept);
  CHECK(rows.rows() == document["data"].size());
  CHECK(rows.rejects.empty());
}

TEST_CASE("clevertap: new members are noticed, and new properties land in event_props") {
  Loading load;
  load.app.http.answer_with(api_with(records({record("20260301093000", R"("geo":{"city":"Pune"})", R"({"New":1})")})));
  load.run({"events"});
  const auto changes = load.app.seen.of<SchemaChanged>();
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].action == "unknown_field");
  CHECK(changes[0].column == "geo");
  REQUIRE_FALSE(load.sink.rows["events"].empty());
  CHECK(load.sink.rows["events"][0]["event_props"] == R"({"New":1})");
}

TEST_CASE("clevertap: an event that may not be exported is a skip that is said once, not a failure") {
  Loading load;
  load.app.http.answer_with([](const HttpRequest& request) {
    if (request.body.find("Notification Viewed") != std::string::npos)
      return HttpResponse(400, {}, R"({"status":"fail","error":"Export not allowed for this event","code":400})");
    return api_with(records({}))(request);
  });
  const std::string names = "{names: [Notification Viewed, Charged]}";
  CHECK(load.run({"events"}, names).message.empty());
  CHECK(load.run({"events"}, names).outcome == Outcome::succeeded);
  int said = 0;
  for (const auto& notice : load.app.seen.of<Notice>())
    if (notice.message.find("Notification Viewed is left out") != std::string::npos) ++said;
  CHECK(said == 1);
  CHECK(load.sink.published.size() == 4);  // of the other event
  int skipped = 0;
  for (const auto& slice : load.app.seen.of<SliceEnded>()) skipped += slice.outcome == SliceOutcome::skipped;
  CHECK(skipped == 2);  // in the first run; the second one knew
}

TEST_CASE("clevertap: a saved page, or a record of it, is read as it would be loaded") {
  CleverTap app;
  const auto spec = app.stream("events", "{names: [Charged]}");
  const auto page = app.connector->parse(spec, "", records({record(), record("\"soon\"")}, "c2"));
  CHECK(page.rows() == 1);
  CHECK(page.rejects.size() == 1);
  const auto one = app.connector->parse(spec, "", record());
  REQUIRE(one.rows() == 1);
  CHECK(one.text(one.row(0)[0]) == "Charged");
  CHECK_THROWS_WITH(app.connector->parse(spec, "", in_progress), Contains("still in progress"));
}

TEST_CASE("clevertap: a dead cursor starts the slice again without its first rows") {
  Loading load;
  int pages = 0;
  load.app.http.answer_with([&](const HttpRequest& request) {
    if (request.method == "POST") return ok(R"({"status":"success","cursor":"c"})");
    if (++pages == 1) return ok(records({record()}, "c2"));
    if (pages == 2) return ok(R"({"status":"fail","code":3,"error":"Incorrect Usage"})");
    return ok(records({}));
  });
  CHECK(load.run({"events"}).outcome == Outcome::succeeded);
  CHECK(load.sink.rows["events"].empty());
}

TEST_CASE("clevertap: rows that do not reconcile are loaded, and the run is no success") {
  Loading load;
  load.app.http.answer_with(api_with(records({})));  // counted: 5
  const auto ended = load.run({"events"}, "{names: [Charged], reconcile: true}");
  CHECK(ended.outcome == Outcome::partial);
  CHECK(ended.slices_failed == 0);
  CHECK_THAT(ended.message, Contains("CleverTap counts 5"));
  CHECK(load.sink.published.size() == 2);
}
