#include "tests/connectors/facebook_ads_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

namespace {

json filters(const HttpRequest& request) {
  return json::parse(parameter(request, "filtering").value());
}

const std::string too_deep =
    fault(100, 0, "The After Cursor specified exceeds the max limit supported by this endpoint");

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
    fb.read(spec, Facebook::since("2026-02-28T12:00:00Z"));
    CHECK(fb.http.everything_seen());
    fb.http.expect("GET /v26.0/act_1/" + edge)
        .where([](const HttpRequest& request) { return filters(request).size() == 1; })
        .reply(200, rows({}));
    fb.read(spec, Facebook::since(nullptr));
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
  const auto out = fb.read(fb.stream("campaigns"), Facebook::since(nullptr));
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
  CHECK(fb.read(fb.stream("campaigns"), Facebook::since(nullptr)).column("name") ==
        std::vector<std::string>{"a\uFFFDz"});
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
  CHECK(fb.read(spec, Facebook::since(nullptr)).column("id") == std::vector<std::string>{"1", "2"});
  CHECK(fb.http.everything_seen());

  Facebook hopeless("page_size: 2");
  hopeless.http.answer_with([&](const HttpRequest&) { return HttpResponse(500, {}, reduce); });
  const auto error = hopeless.failure(spec, Facebook::since(nullptr));
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
  CHECK(fb.read(fb.stream("ads", "fields: [name]"), Facebook::since(nullptr)).rows.size() == 60);
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
  CHECK(fb.read(fb.stream("ads", "fields: [name]"), Facebook::since(nullptr)).rows.size() == 1);
  CHECK(fb.http.requests().size() == 3 + 3 + 1);

  Facebook away("page_size: 4\nretry: {attempts: 2}");
  away.http.answer_with([&](const HttpRequest&) { return HttpResponse(503, {}, ""); });
  CHECK(away.failure(away.stream("ads"), Facebook::since(nullptr)).remedy() == Remedy::retry);
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
    const auto ids = fb.read(fb.stream("ads"), Facebook::since(after)).column("id");
    CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 100);
  }
  for (const auto& seen : fb.http.requests()) CHECK(parameter(seen.request, "limit") == "2");

  Facebook hopeless;
  hopeless.http.answer_with([&](const HttpRequest&) { return HttpResponse(400, {}, too_deep); });
  CHECK_FALSE(hopeless.failure(hopeless.stream("ads"), Facebook::since(nullptr)).passing());
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
  const auto out = fb.read(spec, Facebook::since(nullptr));
  CHECK(out.column("id") == std::vector<std::string>{"9", "9", "10"});  // once for each page
  CHECK(out.column("object_story_spec")[2] == R"({"page_id":"1"})");
  CHECK(out.rejects.empty());
}
