#include "tests/net/api_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

namespace {

class Collect final : public BodyReader {
 public:
  void begin(const HttpResponse& head) override { status = head.status; }
  task<void> piece(std::string_view bytes) override {
    body += bytes;
    co_return;
  }
  int status = 0;
  std::string body;
};

}  // namespace

TEST_CASE("a good answer comes back, signed for and counted") {
  Bench bench;
  bench.http.expect("GET /me").with_header("authorization", "stale").reply(200, "hello").after(3s);
  CHECK(bench.call(get("/me")).body == "hello");
  CHECK(bench.http.everything_seen());
  const auto done = bench.events.of<RequestDone>();
  REQUIRE(done.size() == 1);
  CHECK(done[0].source == "facebook");
  CHECK(done[0].code == "200");
  CHECK(done[0].took == 3s);
  CHECK(done[0].received_bytes == 5);
}

TEST_CASE("a passing failure is tried again until it passes") {
  Bench bench;
  bench.http.expect("GET /me").reply(500, "oops");
  bench.http.expect("GET /me").fail(reset());
  bench.http.expect("GET /me").hang();
  bench.http.expect("GET /me").reply(200, "at last");
  CHECK(bench.call(get("/me")).body == "at last");
  CHECK(bench.http.everything_seen());
  std::vector<std::string> codes, reasons;
  for (const auto& done : bench.events.of<RequestDone>()) codes.push_back(done.code);
  for (const auto& retried : bench.events.of<RequestRetried>()) reasons.push_back(retried.reason);
  CHECK(codes == std::vector<std::string>{"500", "reset", "timeout", "200"});
  CHECK(reasons == std::vector<std::string>{"server_error", "connection", "timeout"});
}

TEST_CASE("when the tries are used up the message says who, what, where and what to do") {
  Bench bench;
  bench.http.expect("POST /v26.0/act_1/insights").reply(500, "oops").times(6);
  HttpRequest post("POST", "https://api.test/v26.0/act_1/insights?access_token=hush");
  const auto error = bench.failure_of(ApiRequest(post, {"account"}, Priority::scheduled));
  CHECK(bench.http.everything_seen());
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::StartsWith("facebook: the server had a problem: oops (POST "
                                             "api.test/v26.0/act_1/insights, tried 6 times in "));
  CHECK_THAT(error.what(), Catch::Contains("the pipeline's next run asks again"));
  CHECK_THAT(error.what(), !Catch::Contains("hush"));
}

TEST_CASE("a user and password in the URL are not repeated") {
  Bench bench;
  bench.http.expect("GET /me").reply(403);
  const auto error = bench.failure_of(
      ApiRequest(HttpRequest("GET", "https://user:hush@api.test/me"), {"account"}, Priority::scheduled));
  CHECK_THAT(error.what(), Catch::Contains("(GET api.test/me)") && !Catch::Contains("hush"));
}

TEST_CASE("what repeating cannot cure is thrown at once with its remedy") {
  const auto [status, remedy] = GENERATE(table<int, Remedy>({{413, Remedy::shrink}, {403, Remedy::give_up}}));
  Bench bench;
  bench.http.expect("GET /me").reply(status);
  CHECK(bench.failure_of(get("/me")).remedy() == remedy);
  CHECK(bench.http.everything_seen());
  CHECK(bench.now() == 0s);
}

TEST_CASE("a caller that asks differently by itself gets its failure at once") {
  Bench bench;
  bench.http.expect("GET /me").reply(500);
  auto request = get("/me");
  request.retry = false;
  CHECK(bench.failure_of(request).remedy() == Remedy::retry);
  CHECK(bench.http.requests().size() == 1);
}

TEST_CASE("a wait that the server asks for is kept before the next try") {
  Bench bench;
  bench.http.expect("GET /me").reply(503, "", {{"Retry-After", "120"}});
  bench.http.expect("GET /me").reply(200);
  bench.call(get("/me"));
  CHECK(bench.http.requests()[1].at >= 120s);
  CHECK(bench.http.requests()[1].at <= 121s);
}

TEST_CASE("the tries end by time when failures are slow, whatever their number") {
  Bench bench;
  bench.options.retry = RetryPolicy{100, 1s, 1s, 15min};
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(500, {}, ""); });
  bench.http.latency(100s);
  bench.failure_of(get("/me"));
  CHECK(bench.http.requests().size() == 9);
}

TEST_CASE("a refused credential is renewed once for all calls it hit") {
  Bench bench;
  bench.http.answer_with([](const HttpRequest& request) {
    return HttpResponse(test::header(request, "authorization") == "fresh" ? 200 : 401, {}, "");
  });
  bench.http.latency(100ms);
  CHECK(bench.call_all(std::vector<ApiRequest>(5, get("/me"))).size() == 5);
  CHECK(bench.dialect.renewals == 1);
  CHECK(bench.http.requests().size() == 10);
  for (const auto& retried : bench.events.of<RequestRetried>()) CHECK(retried.reason == "token");
}

TEST_CASE("a credential that is due is got once, before anything is sent") {
  Bench bench;
  bench.dialect.expires = true;
  bench.http.answer_with([](const HttpRequest& request) {
    return HttpResponse(test::header(request, "authorization") == "fresh" ? 200 : 401, {}, "");
  });
  CHECK(bench.call_all(std::vector<ApiRequest>(5, get("/me"))).size() == 5);
  CHECK(bench.dialect.renewals == 1);
  CHECK(bench.http.requests().size() == 5);
}

TEST_CASE("where a credential is had may be in trouble, or refuse") {
  Bench bench;
  bench.dialect.expires = true;
  bench.dialect.not_renewed.emplace(Remedy::retry, "the token endpoint is away");
  bench.http.expect("GET /me").with_header("authorization", "fresh").reply(200);
  bench.call(get("/me"));
  CHECK(bench.dialect.renewals == 2);
  CHECK(bench.http.requests().size() == 1);

  Bench refused;
  refused.dialect.expires = true;
  refused.dialect.not_renewed.emplace(Remedy::give_up, "the refresh token was revoked");
  const auto error = refused.failure_of(get("/me"));
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("was revoked"));
  CHECK(refused.http.requests().empty());
}

TEST_CASE("a credential that cannot be renewed, or is refused again, stops") {
  Bench bench;
  bench.dialect.renewable = GENERATE(false, true);
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(401, {}, ""); });
  const auto error = bench.failure_of(get("/me"));
  CHECK(error.remedy() == Remedy::reauthenticate);
  CHECK_FALSE(error.passing());
  CHECK_THAT(error.what(), Catch::StartsWith("facebook: the token is not valid (GET api.test/me"));
  CHECK_THAT(error.what(), Catch::EndsWith("; give the source a valid credential"));
  CHECK(bench.dialect.renewals == 1);
  CHECK(bench.http.requests().size() == (bench.dialect.renewable ? 2 : 1));
}

TEST_CASE("a version warning is told once") {
  Bench bench;
  bench.http.expect("GET /me").reply(200, "", {{"X-Version-Warning", "v20 ends soon"}}).times(3);
  for (int i = 0; i < 3; ++i) bench.call(get("/me"));
  const auto warnings = bench.events.of<VersionWarning>();
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].message == "v20 ends soon");
}

TEST_CASE("a streamed answer is handed on piece by piece") {
  Bench bench;
  bench.http.piece_size(3);
  bench.http.expect("GET /big").reply(200, "0123456789", {{"X-Usage", "account 0.5"}});
  Collect body;
  bench.world.run(bench.api().stream(get("/big"), body));
  CHECK(body.body == "0123456789");
  CHECK(bench.events.of<RequestDone>().at(0).received_bytes == 10);
  CHECK(bench.api().buckets().at("account").utilization() == 0.5);
}

TEST_CASE("a streamed answer is asked for again only while nothing of it was handed on") {
  Bench bench;
  bench.http.expect("GET /big").reply(500, "a refusal is no part of the answer");
  bench.http.expect("GET /big").reply(200, "0123456789").cut_after(0);
  SECTION("it breaks off before the first piece") {
    bench.http.expect("GET /big").reply(200, "0123456789");
    Collect body;
    bench.world.run(bench.api().stream(get("/big"), body));
    CHECK(body.body == "0123456789");
  }
  SECTION("it breaks off later") {
    bench.http.expect("GET /big").reply(200, "0123456789").cut_after(4);
    Collect body;
    CHECK_THROWS_AS(bench.world.run(bench.api().stream(get("/big"), body)), Error);
    CHECK(body.body == "0123");
  }
  CHECK(bench.http.everything_seen());
}

TEST_CASE("pages that run in a circle are noticed") {
  PageGuard guard;
  for (const auto* cursor : {"a", "b", "c"}) CHECK_NOTHROW(guard.visit(cursor));
  CHECK_THROWS_AS(guard.visit("a"), Error);
}
