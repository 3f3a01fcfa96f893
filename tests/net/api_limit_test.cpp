#include "tests/net/api_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("throttles are waited out and are not failures") {
  Bench bench;
  bench.http.expect("GET /me").reply(429, "", {{"Retry-After", "600"}}).times(20);
  bench.http.expect("GET /me").reply(200, "ok");
  CHECK(bench.call(get("/me")).body == "ok");
  CHECK(bench.http.everything_seen());
  CHECK(bench.now() >= 20 * 600s);
  CHECK(bench.now() <= 20 * 661s);
}

TEST_CASE("one throttle pauses all callers of its bucket, and nobody else") {
  Bench bench;
  bench.http.in_any_order();
  bench.http.expect("GET /first").reply(429, "", {{"Retry-After", "60"}, {"X-Throttled", "act_1"}});
  for (const auto* path : {"/first", "/second", "/other"}) bench.http.expect(std::string("GET ") + path).reply(200);
  const auto body = [&]() -> task<void> {
    TaskGroup group(bench.world.executor());
    std::vector<Duration> done;
    group.spawn(bench.call_and_note(get("/first", {"app", "act_1"}), done));
    co_await bench.world.clock().sleep_for(1s);
    group.spawn(bench.call_and_note(get("/second", {"app", "act_1"}), done));
    group.spawn(bench.call_and_note(get("/other", {"app", "act_2"}), done));
    co_await group.join();
  };
  bench.world.run(body());
  CHECK(bench.http.everything_seen());
  CHECK(bench.http.lines() == std::vector<std::string>{"GET /first", "GET /other", "GET /first", "GET /second"});
  CHECK(bench.http.requests()[1].at == 1s);
  CHECK(bench.http.requests()[2].at >= 60s);
}

TEST_CASE("calls that wait for a paused bucket keep back nobody who does not use it") {
  Bench bench;
  bench.options.limit = RateLimit{10, 2, 0.75, 0.3};
  int refused = 0;
  bench.http.answer_with([&](const HttpRequest& request) {
    if (test::path_of(request) != "/first" || refused++ > 0) return HttpResponse(200, {}, "");
    return HttpResponse(429, {{"retry-after", "2820"}, {"x-throttled", "act_1"}}, "");
  });
  const auto body = [&]() -> task<void> {
    TaskGroup group(bench.world.executor());
    std::vector<Duration> done;
    group.spawn(bench.call_and_note(get("/first", {"app", "act_1"}), done));
    for (int i = 0; i < 2; ++i) group.spawn(bench.call_and_note(get("/waits", {"app", "act_1"}), done));
    co_await bench.world.clock().sleep_for(1s);
    group.spawn(bench.call_and_note(get("/late", {"app", "act_1"}), done));
    group.spawn(bench.call_and_note(get("/other", {"app", "act_2"}), done));
    co_await group.join();
  };
  bench.world.run(body());
  std::map<std::string, Duration> last;
  for (const auto& seen : bench.http.requests()) last[test::path_of(seen.request)] = seen.at;
  CHECK(last["/other"] == 1s);
  CHECK(last["/late"] >= 47min);
}

TEST_CASE("a throttle is one incident, however many calls it hits and however long it lasts") {
  Bench bench;
  int left = 12;
  bench.http.answer_with([&](const HttpRequest&) { return HttpResponse(left-- > 0 ? 429 : 200, {}, ""); });
  bench.http.latency(100ms);
  bench.call_all(std::vector<ApiRequest>(5, get("/me")));
  const auto throttled = bench.events.of<Throttled>();
  REQUIRE(throttled.size() == 1);
  CHECK(throttled[0].bucket == "account");
  CHECK(throttled[0].message == "too many calls");
  CHECK(throttled[0].pause >= 1min);
  CHECK(bench.events.of<RequestRetried>().size() == 12);
}

TEST_CASE("a call that is throttled by a bucket it did not name waits all the same") {
  Bench bench;
  bench.http.expect("GET /me").reply(429, "", {{"Retry-After", "60"}, {"X-Throttled", "app"}});
  bench.http.expect("GET /me").reply(200);
  bench.call(get("/me", {"account"}));
  CHECK(bench.http.requests()[1].at >= 60s);
}

TEST_CASE("a call waits for all of its buckets") {
  Bench bench;
  bench.options.limit = RateLimit{1, 1, 0.75, 0.3};
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, ""); });
  std::vector<ApiRequest> calls{get("/a", {"app", "act_1"}), get("/b", {"app", "act_2"}), get("/c", {"act_2"})};
  bench.call_all(calls);
  CHECK(bench.http.lines() == std::vector<std::string>{"GET /a", "GET /b", "GET /c"});
  CHECK(bench.http.requests()[1].at == 1s);
  CHECK(bench.http.requests()[2].at == 2s);
}

TEST_CASE("a call for a slice leaves the slice's place to others while it waits for long, not for a moment") {
  struct Slice final : Output {
    task<void> emit(Batch) override { co_return; }
    void without_columns(const std::vector<std::string>&, const std::string&) override {}
    void incident(const std::string&) override {}
    Priority priority() const override { return Priority::scheduled; }
    task<void> away(task<void> waiting) override {
      ++times;
      return waiting;
    }
    int times = 0;
  } slice;
  Bench bench;
  bench.options.limit = RateLimit{0.5, 1, 0.75, 0.3};
  auto request = get("/me");
  request.slice = &slice;
  bench.http.expect("GET /me").reply(200, "");
  bench.call(request);
  CHECK(slice.times == 0);  // there was a token
  bench.http.expect("GET /me").reply(200, "");
  bench.call(request);
  CHECK(slice.times == 1);  // two seconds for the next
  bench.http.expect("GET /me").fail(reset());
  bench.http.expect("GET /me").reply(200, "");
  bench.world.run(bench.world.clock().sleep_for(1min));
  bench.call(request);
  CHECK(slice.times >= 2);  // before it is repeated
  CHECK(bench.http.everything_seen());
}

TEST_CASE("usage is learnt from every answer, refusals too") {
  Bench bench;
  bench.http.expect("GET /me").reply(403, "", {{"X-Usage", "account 0.95"}, {"X-Usage", "account 0.20"}});
  bench.failure_of(get("/me"));
  CHECK(bench.api().buckets().at("account").utilization() == 0.95);
  CHECK(bench.api().buckets().at("account").rate() < 0.01);
  const auto states = bench.events.of<BucketState>();
  REQUIRE_FALSE(states.empty());
  CHECK(states.back().bucket == "account");
  CHECK(states.back().upstream_utilization == 0.95);
}

TEST_CASE("calls are spread out before the API has to refuse any") {
  Bench bench;
  // Calls in a rolling hour: Meta gives 300 to a new app.
  const std::size_t quota = GENERATE(300u, 1000u);
  std::deque<Duration> last_hour;
  int refused = 0;
  bench.http.answer_with([&](const HttpRequest&) {
    while (!last_hour.empty() && last_hour.front() < bench.now() - 1h) last_hour.pop_front();
    refused += last_hour.size() >= quota;
    last_hour.push_back(bench.now());
    const double used = static_cast<double>(last_hour.size()) / static_cast<double>(quota);
    return HttpResponse(200, {{"x-usage", "account " + std::to_string(used)}}, "");
  });
  for (std::size_t done = 0; done < 3 * quota; done += 50) bench.call_all(std::vector<ApiRequest>(50, get("/me")));
  CHECK(refused == 0);
  CHECK(bench.now() < 4h);  // at the target of 75 % it takes three hours and more
}

TEST_CASE("a quota that is used up pauses until it is regained, and waiting shows in the metrics") {
  Bench bench;
  bench.http.expect("GET /a").reply(200, "", {{"X-Usage", "account 1.18"}});
  bench.http.expect("GET /b").reply(200, "");
  bench.call(get("/a"));
  bench.call(get("/b"));
  CHECK(bench.http.requests()[1].at == 1min);
  Duration waited{};
  for (const auto& part : bench.events.of<BucketWaited>()) {
    CHECK(part.bucket == "account");
    CHECK(part.waited <= 10s);  // the counter moves as time goes by
    waited += part.waited;
  }
  CHECK(waited == 1min);
  CHECK(bench.events.of<Throttled>().size() == 1);
  CHECK(bench.events.of<Notice>().empty());
}

TEST_CASE("calls that are held back for the quota are said once, when it begins and when it ends") {
  Bench bench;
  double used = 0.5;
  bench.http.answer_with([&](const HttpRequest&) {
    return HttpResponse(200, {{"x-usage", "account " + std::to_string(used)}}, "");
  });
  bench.call(get("/me"));
  CHECK(bench.events.of<Notice>().empty());
  used = 0.95;
  for (int i = 0; i < 3; ++i) bench.call(get("/me"));
  REQUIRE(bench.events.of<Notice>().size() == 1);
  const auto begins = bench.events.of<Notice>()[0];
  CHECK(begins.level == Level::warning);
  CHECK(
      begins.message ==
      "facebook: 95 % of the API's quota of account is used: calls go out one each 4m6s until it recovers, so that the "
      "API need not refuse them (rate_limit.target is 75 %)");
  used = 0.2;
  for (int i = 0; i < 3; ++i) bench.call(get("/me"));
  REQUIRE(bench.events.of<Notice>().size() == 2);
  const auto ends = bench.events.of<Notice>()[1];
  CHECK(ends.level == Level::info);
  CHECK(ends.message == "facebook: 20 % of the API's quota of account is used: calls go out as usual again");
}

TEST_CASE("what calls wait for can be asked") {
  Bench bench;
  bench.http.expect("GET /me").reply(200, "", {{"X-Usage", "account 0.95"}});
  bench.call(get("/me"));
  CHECK(bench.api().waiting_for().empty());
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, ""); });
  std::string said;
  const auto body = [&]() -> task<void> {
    TaskGroup group(bench.world.executor());
    std::vector<Duration> done;
    for (int i = 0; i < 2; ++i) group.spawn(bench.call_and_note(get("/me"), done));
    co_await bench.world.clock().sleep_for(1s);
    said = bench.api().waiting_for();
    group.cancel();
    co_await group.join();
  };
  bench.world.run(body());
  CHECK(said ==
        "the rate limit of facebook kept 1 call waiting, for up to 4m5s more (account, 95 % of its quota used)");
}

TEST_CASE("backfills stand back for scheduled calls") {
  Bench bench;
  bench.options.limit = RateLimit{1, 1, 0.75, 0.3};
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, ""); });
  bench.call(get("/first"));
  std::vector<ApiRequest> calls(3, get("/backfill", {"account"}, Priority::backfill));
  calls.push_back(get("/scheduled"));
  calls.push_back(get("/scheduled"));
  bench.call_all(calls);
  CHECK(bench.http.lines() == std::vector<std::string>{"GET /first", "GET /scheduled", "GET /scheduled",
                                                       "GET /backfill", "GET /backfill", "GET /backfill"});
}

TEST_CASE("a caller that goes away while it waits leaves its turn to the next") {
  Bench bench;
  bench.options.limit = RateLimit{0.1, 1, 0.75, 0.3};
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, ""); });
  bench.call(get("/first"));
  const auto body = [&]() -> task<void> {
    TaskGroup leaving(bench.world.executor()), staying(bench.world.executor());
    std::vector<Duration> done;
    leaving.spawn(bench.call_and_note(get("/leaves"), done));
    co_await bench.world.clock().sleep_for(1s);
    staying.spawn(bench.call_and_note(get("/stays"), done));
    co_await bench.world.clock().sleep_for(1s);
    leaving.cancel();
    co_await leaving.join();
    co_await staying.join();
  };
  bench.world.run(body());
  CHECK(bench.http.lines() == std::vector<std::string>{"GET /first", "GET /stays"});
  CHECK(bench.http.requests()[1].at == 10s);
}

TEST_CASE("a caller that goes away before it is served gives its tokens back") {
  Bench bench;
  bench.options.limit = RateLimit{0.1, 1, 0.75, 0.3};
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, ""); });
  Semaphore full(bench.world.executor(), 1);
  const auto body = [&]() -> task<void> {
    const auto taken = co_await full.acquire();
    TaskGroup leaving(bench.world.executor());
    std::vector<Duration> done;
    auto leaves = get("/leaves");
    leaves.in_flight = &full;
    leaving.spawn(bench.call_and_note(std::move(leaves), done));
    co_await bench.world.clock().sleep_for(1s);
    leaving.cancel();
    co_await leaving.join();
    co_await bench.call_and_note(get("/next"), done);
  };
  bench.world.run(body());
  CHECK(bench.http.lines() == std::vector<std::string>{"GET /next"});
  CHECK(bench.http.requests()[0].at == 1s);
}

TEST_CASE("a long pause can be cancelled") {
  Bench bench;
  bench.http.expect("GET /me").reply(429, "", {{"Retry-After", "3600"}});
  const auto answer = bench.world.run(with_timeout(bench.world.clock(), 5min, bench.api().call(get("/me"))));
  CHECK_FALSE(answer.has_value());
  CHECK(bench.now() == 5min);
}

TEST_CASE("callers wake early when the rate rises while they wait") {
  Bench bench;
  bench.http.expect("GET /a").reply(200, "", {{"X-Usage", "account 0.75"}});
  bench.call(get("/a"));
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {{"x-usage", "account 0.10"}}, ""); });
  // One call each half minute until the high reading is a minute old; then the rest at once.
  const auto done = bench.call_all(std::vector<ApiRequest>(6, get("/b")));
  CHECK(done[2] == 1min);
  CHECK(done[5] < 1min + 1s);
}

TEST_CASE("a bucket may have a limit of its own") {
  Bench bench;
  bench.options.budgets.emplace("day", RateLimit{0.1, 1, 0.75, 0.30});
  bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, ""); });
  CHECK(bench.call_all(std::vector<ApiRequest>(3, get("/me", {"account", "day"}))).back() >= 20s);
  CHECK(bench.call_all(std::vector<ApiRequest>(3, get("/me"))).back() < 21s);
}

TEST_CASE("a quota that comes back in hours ends the calls that stand in line, unsent, and those that come") {
  Bench bench;
  bench.options.limit = RateLimit{0.01, 1, 0.75, 0.3};
  bench.http.latency(1s);
  bench.http.expect("GET /first").reply(402, "", {{"Retry-After", "36000"}});
  std::vector<std::pair<Duration, ApiError>> failures;
  const auto body = [&]() -> task<void> {
    TaskGroup group(bench.world.executor());
    for (const auto* path : {"/first", "/second", "/third"})
      group.spawn(bench.call_and_keep(get(path, {"project", "act_1"}), failures));
    co_await group.join();
  };
  bench.world.run(body());
  CHECK(bench.http.everything_seen());
  REQUIRE(failures.size() == 3);
  for (const auto& [at, error] : failures) {
    CHECK(at == 1s);
    CHECK(error.remedy() == Remedy::postpone);
    CHECK(error.reason() == "quota");
    CHECK(error.wait() == Duration(10h));
  }
  CHECK_THAT(failures[1].second.what(),
             Catch::StartsWith("facebook: the quota of the day is used up (GET api.test/second)") &&
                 Catch::Contains("nothing more of it is sent for 10h"));

  bench.world.run(bench.world.clock().sleep_for(4h));
  CHECK(bench.failure_of(get("/later", {"project"})).wait() == Duration(6h));
  bench.world.run(bench.world.clock().sleep_for(6h));
  bench.http.expect("GET /later").reply(200);
  bench.call(get("/later", {"project"}));
}

TEST_CASE("a quota that comes back in hours stops the calls of its bucket alone") {
  Bench bench;
  bench.http.expect("GET /me").reply(402, "", {{"Retry-After", "36000"}, {"X-Throttled", "act_1"}});
  CHECK(bench.failure_of(get("/me", {"app", "act_1"})).remedy() == Remedy::postpone);
  CHECK(bench.failure_of(get("/me", {"app", "act_1"})).remedy() == Remedy::postpone);
  bench.http.expect("GET /other").reply(200);
  bench.call(get("/other", {"app", "act_2"}));
  CHECK(bench.http.everything_seen());
}

TEST_CASE("a new process goes on with what the last one left of a budget, and counts what it spends") {
  KeptQuotas kept;
  const auto process = [&](Bench& bench) {
    bench.options.budgets.emplace("day", RateLimit{0.01, 10, 0.75, 0.5});
    bench.options.quotas = &kept;
    bench.http.answer_with([](const HttpRequest&) { return HttpResponse(200, {}, ""); });
  };
  const auto spent = [](Bench& bench) {
    double all = 0;
    for (const auto& one : bench.events.of<BudgetSpent>()) all += one.bucket == "day" ? one.cost : 0;
    return all;
  };
  Bench first;
  process(first);
  first.call_all(std::vector<ApiRequest>(8, get("/me", {"account", "day"})));
  CHECK(spent(first) == 8);
  REQUIRE(kept.records.size() == 1);  // the other bucket is full again in seconds
  CHECK(kept.records.begin()->second.tokens == Approx(2));

  // Its clock is a hundred seconds on: one more has come.
  Bench second;
  process(second);
  kept.records.begin()->second.told = second.world.clock().now() - 100s;
  const auto done = second.call_all(std::vector<ApiRequest>(4, get("/me", {"account", "day"})));
  CHECK(done[2] < 1s);
  CHECK(done[3] >= 99s);

  Bench of_another;
  process(of_another);
  of_another.options.account = "another project";
  CHECK(of_another.call_all(std::vector<ApiRequest>(10, get("/me", {"account", "day"}))).back() < 2s);
}

TEST_CASE("a new process does not ask what the last one was told to wait for") {
  KeptQuotas kept;
  Bench first;
  first.options.quotas = &kept;
  first.http.expect("GET /me").reply(402, "", {{"Retry-After", "36000"}, {"X-Throttled", "act_1"}});
  CHECK(first.failure_of(get("/me", {"app", "act_1"})).remedy() == Remedy::postpone);
  REQUIRE(kept.records.contains({"facebook", "act_1"}));
  CHECK(kept.records.at({"facebook", "act_1"}).closed_until == first.world.clock().now() + 10h);

  Bench second;
  second.options.quotas = &kept;
  kept.records.at({"facebook", "act_1"}).closed_until = second.world.clock().now() + 5h;
  const auto error = second.failure_of(get("/me", {"app", "act_1"}));
  CHECK(error.remedy() == Remedy::postpone);
  CHECK(error.wait() == Duration(5h));
  CHECK_THAT(error.what(), Catch::Contains("the quota of the day is used up"));
  second.http.expect("GET /other").reply(200);
  second.call(get("/other", {"app", "act_2"}));
  second.world.run(second.world.clock().sleep_for(5h));
  second.http.expect("GET /me").reply(200);
  second.call(get("/me", {"app", "act_1"}));
  CHECK(second.http.everything_seen());
}

TEST_CASE("a quota that ends in the middle of an answer is known to the next process too, and was spent") {
  // Finds the refusal among its rows.
  struct Refused final : BodyReader {
    Api& api;
    explicit Refused(Api& a) : api(a) {}
    void begin(const HttpResponse&) override {}
    task<void> piece(std::string_view) override {
      Verdict verdict;
      verdict.error.emplace(Remedy::postpone, "the day is over", 10h);
      verdict.throttled_bucket = "day";
      api.throttled(verdict);
      throw Error(*verdict.error);
      co_return;
    }
  };
  KeptQuotas kept;
  Bench bench;
  bench.options.budgets.emplace("day", RateLimit{0.01, 10, 0.75, 0.5});
  bench.options.quotas = &kept;
  bench.http.expect("GET /me").reply(200, "[rows");
  Refused reader(bench.api());
  CHECK_THROWS_AS(bench.world.run(bench.api().stream(get("/me", {"account", "day"}), reader)), Error);
  CHECK(bench.events.of<BudgetSpent>().size() == 1);
  const auto& day = kept.records.at({"facebook", "day"});
  CHECK(day.closed_until == bench.world.clock().now() + 10h);
  CHECK(day.tokens == Approx(9));

  // The wall clock was set back by a year meanwhile: it is closed for ten hours all the same.
  Bench later;
  later.options = bench.options;
  kept.records.at({"facebook", "day"}).told += 8760h;
  *kept.records.at({"facebook", "day"}).closed_until += 8760h;
  CHECK(later.failure_of(get("/me", {"day"})).wait() == Duration(10h));
}

TEST_CASE("a call whose turn came does not go out into a pause that began while it waited for its place") {
  Bench bench;
  Semaphore one(bench.world.executor(), 1);
  bench.http.latency(1s);
  int answers = 0;
  bench.http.answer_with([&](const HttpRequest&) {
    return answers++ == 0 ? HttpResponse(429, {{"retry-after", "30"}}, "") : HttpResponse(200, {}, "");
  });
  std::vector<ApiRequest> requests;
  for (const auto* path : {"/a", "/b"}) {
    requests.push_back(get(path));
    requests.back().in_flight = &one;
  }
  bench.call_all(std::move(requests));
  REQUIRE(bench.http.requests().size() == 3);
  CHECK(bench.http.requests()[1].at >= 31s);
}

TEST_CASE("a state that cannot be read or written fails no request") {
  KeptQuotas kept;
  kept.broken = true;
  Bench bench;
  bench.options.budgets.emplace("day", RateLimit{0.01, 10, 0.75, 0.5});
  bench.options.quotas = &kept;
  bench.http.expect("GET /me").reply(200);
  CHECK(bench.call(get("/me", {"account", "day"})).status == 200);
}

TEST_CASE("what never left costs nothing of the limit") {
  Bench bench;
  bench.options.limit = RateLimit{0.001, 5, 0.75, 0.3};
  const auto tokens = [&] { return bench.api().buckets().at("account").tokens(bench.now()); };
  bench.http.expect("GET /me").fail(HttpError(Remedy::retry, "connect", "connection refused")).times(2);
  bench.http.expect("GET /me").fail(HttpError(Remedy::retry, "resolve", "no such host"));
  bench.http.expect("GET /me").reply(200);
  bench.call(get("/me"));
  CHECK(tokens() == Approx(4).margin(0.1));
  bench.http.expect("GET /me").fail(reset());  // perhaps it was read
  bench.http.expect("GET /me").reply(200);
  bench.call(get("/me"));
  CHECK(tokens() == Approx(2).margin(0.1));
}
