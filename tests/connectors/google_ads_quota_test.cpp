#include "tests/connectors/google_ads_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

// Throttles that pass, quotas that are gone for hours, and the operations of a day.

namespace {

Slice whole(const char* customer = "11") {
  return Slice::whole(Partition(customer));
}

std::string day_is_over(const std::string& scope) {
  return refusal(429, "RESOURCE_EXHAUSTED", "quotaError", "RESOURCE_EXHAUSTED",
                 R"({"rateScope":")" + scope + R"(","rateName":"Number of operations","retryDelay":"40591s"})");
}

}  // namespace

TEST_CASE("google: a short throttle is waited out, by the customer alone where it is the customer's") {
  Google google("customers: [\"11\", \"12\"]");
  const auto spec = google.stream("campaigns");
  google.expect_token();
  google.expect_stream().reply(429,
                               "[" +
                                   refusal(429, "RESOURCE_EXHAUSTED", "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED",
                                           R"({"rateScope":"ACCOUNT","rateName":"r","retryDelay":"40.5s"})") +
                                   "]");
  google.expect_stream().reply(200, streamed({campaign("1")}));
  CHECK(google.read(spec, whole()).rows.size() == 1);
  const auto waited = google.http.requests()[2].at - google.http.requests()[1].at;
  CHECK(waited >= 40500ms);
  CHECK(waited < 60s);

  const auto& buckets = google.seen.of<Throttled>();
  REQUIRE(buckets.size() == 1);
  CHECK(buckets[0].bucket == "11");
}

TEST_CASE("google: a quota that is used up for hours ends the run, is not asked again, and comes back") {
  Google google;
  const auto spec = google.stream("campaigns");
  google.expect_token();
  google.expect_stream().reply(429, "[" + day_is_over("DEVELOPER") + "]");
  const auto error = google.failure(spec, whole());
  CHECK(error.remedy() == Remedy::postpone);
  CHECK(error.passing());
  CHECK(error.wait() == Duration(40591s));
  CHECK(google.http.requests().size() == 2);

  google.world.run(google.world.clock().sleep_for(591s));
  const auto later = google.failure(spec, whole("12"));
  CHECK(later.remedy() == Remedy::postpone);
  CHECK(later.wait() == Duration(40000s));
  CHECK(google.http.requests().size() == 2);

  google.world.run(google.world.clock().sleep_for(40001s));
  google.expect_token();
  google.expect_stream().reply(200, streamed({}));
  google.read(spec, whole());
}

TEST_CASE("google: slices that stand in line when the quota of the day ends are not sent") {
  Google google("customers: [\"11\", \"12\"]\nrate_limit: {rate: 1/m, burst: 1}");
  const auto spec = google.stream("campaigns");
  google.expect_token();
  google.expect_stream().reply(429, "[" + day_is_over("DEVELOPER") + "]");
  std::list<KeptOutput> outs;
  std::vector<Remedy> remedies;
  const auto body = [&]() -> task<void> {
    TaskGroup group(google.world.executor());
    for (int i = 0; i < 4; ++i) group.spawn(google.read_and_keep(spec, whole(), outs.emplace_back(spec), remedies));
    co_await group.join();
  };
  google.world.run(body());
  CHECK(remedies == std::vector<Remedy>(4, Remedy::postpone));
  CHECK(google.world.clock().uptime() == 0s);
  CHECK(google.http.requests().size() == 2);
}

TEST_CASE("google: one customer's quota of the day stops that customer alone") {
  Google google("customers: [\"11\", \"12\"]");
  const auto spec = google.stream("campaigns");
  google.expect_token();
  google.expect_stream("", "11").reply(429, "[" + day_is_over("ACCOUNT") + "]");
  CHECK(google.failure(spec, whole("11")).remedy() == Remedy::postpone);
  CHECK(google.failure(spec, whole("11")).remedy() == Remedy::postpone);
  google.expect_stream("", "12").reply(200, streamed({}));
  google.read(spec, whole("12"));
}

TEST_CASE("google: a quota of the day that ends in the middle of the rows stops the requests that follow too") {
  Google google;
  const auto spec = google.stream("campaigns");
  google.expect_token();
  google.expect_stream().reply(200, "[" + chunk({campaign("1")}) + "," + day_is_over("DEVELOPER") + "]");
  CHECK(google.failure(spec, whole()).wait() == Duration(40591s));
  CHECK(google.failure(spec, whole()).wait() == Duration(40591s));
}

TEST_CASE("google: how long a quota is used up may stand in the message alone") {
  Google google;
  google.expect_token();
  google.expect_stream().reply(429, R"([{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"errors":[
      {"errorCode":{"quotaError":"RESOURCE_EXHAUSTED"},"message":"Too many requests. Retry in 7200 seconds."}]}]}}])");
  CHECK(google.failure(google.stream("campaigns"), whole()).wait() == Duration(7200s));
}

TEST_CASE("google: a quota that is used up without saying for how long comes back in an hour, a throttle passes soon") {
  Google google;
  google.expect_token();
  google.expect_stream().reply(
      429,
      "[" + refusal(429, "RESOURCE_EXHAUSTED", "quotaError", "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION") + "]");
  const auto error = google.failure(google.stream("campaigns"), whole());
  CHECK(error.remedy() == Remedy::postpone);
  CHECK(error.wait() == Duration(1h));

  // Without Google's own details, or without any JSON.
  for (const auto& body : {refusal(429, "RESOURCE_EXHAUSTED"), std::string("slow down")}) {
    Google throttled;
    throttled.expect_token();
    throttled.expect_stream().reply(429, body);
    throttled.expect_stream().reply(200, streamed({campaign("1")}));
    CHECK(throttled.read(throttled.stream("campaigns"), whole()).rows.size() == 1);
    CHECK(throttled.http.requests()[2].at - throttled.http.requests()[1].at >= 60s);
    REQUIRE(throttled.seen.of<Throttled>().size() == 1);
    CHECK(throttled.seen.of<Throttled>()[0].bucket == "project");
  }
}

TEST_CASE("google: a query is an operation, and following pages are free") {
  Google google("method: search\noperations_per_day: 100\nrate_limit: {target: 80%}");
  const auto spec = google.stream("campaigns");
  google.expect_token();
  google.expect_search().reply(200, R"({"results":[],"nextPageToken":"p2"})");
  google.expect_search().reply(200, R"({"results":[]})");
  google.read(spec, whole());
  std::optional<double> left;
  for (const auto& state : google.seen.of<BucketState>())
    if (state.bucket == "operations") left = state.tokens;
  REQUIRE(left);
  CHECK(*left == Approx(19).margin(0.01));  // of a fifth of the day's, to be had at once

  Google unlimited("operations_per_day: 0");
  unlimited.expect_token();
  unlimited.expect_stream().reply(200, streamed({}));
  unlimited.read(unlimited.stream("campaigns"), whole());
  for (const auto& state : unlimited.seen.of<BucketState>()) CHECK(state.bucket != "operations");
}

TEST_CASE("google: a backfill spends its share of the operations, the rest is for scheduled runs") {
  // 24 of a day's 120 at once, the rest one in a quarter of an hour; half of it for backfills.
  Google google("operations_per_day: 120\nrate_limit: {rate: 100/s, burst: 100, target: 80%, reserve: 50%}");
  const auto spec = google.stream("campaigns");
  google.http.answer_with([](const HttpRequest& request) {
    if (path_of(request) == "/token") return HttpResponse(200, {}, R"({"access_token":"t","expires_in":86400})");
    return HttpResponse(200, {}, streamed({}));
  });
  const auto began = google.world.clock().uptime();
  const auto read = [&](Priority priority) {
    KeptOutput out(spec, priority);
    google.world.run(google.connector->read(spec, whole(), out));
    return google.world.clock().uptime() - began;
  };
  for (int i = 0; i < 11; ++i) CHECK(read(Priority::backfill) < 1min);
  for (int i = 0; i < 12; ++i) CHECK(read(Priority::scheduled) < 1min);
  read(Priority::backfill);
  CHECK(read(Priority::backfill) > 10min);
}
