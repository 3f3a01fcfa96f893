#pragma once
#include <catch2/catch.hpp>

#include "net/api.hpp"
#include "tests/support/events.hpp"
#include "tests/support/scripted_http.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using namespace std::chrono_literals;

// An API whose status says what is wrong and whose headers say how much of the quota is used ("x-usage: account 0.5").
class TestDialect final : public Dialect {
 public:
  explicit TestDialect(Clock& clock) : clock_(clock) {}

  void sign(HttpRequest& request) override { request.headers.emplace_back("authorization", token_); }

  Verdict judge(const HttpRequest&, const HttpResponse& response) const override {
    Verdict verdict;
    for (const auto& [name, value] : response.headers)
      if (name == "x-usage") {
        const auto space = value.find(' ');
        verdict.usage.emplace_back(value.substr(0, space), std::stod(value.substr(space)));
      }
    verdict.version_warning = response.header("x-version-warning");
    const auto wait = retry_after(response);
    verdict.throttled_bucket = response.header("x-throttled").value_or("");
    switch (response.status) {
      case 200:
        break;
      case 401:
        verdict.error.emplace(Remedy::reauthenticate, "the token is not valid");
        break;
      case 402:
        verdict.error.emplace(Remedy::postpone, "the quota of the day is used up", wait);
        verdict.reason = "quota";
        break;
      case 413:
        verdict.error.emplace(Remedy::shrink, "too much data");
        break;
      case 403:
        verdict.error.emplace(Remedy::give_up, "no permission: grant ads_read");
        break;
      case 429:
        verdict.error.emplace(Remedy::slow_down, "too many calls", wait);
        break;
      default:
        verdict.error.emplace(Remedy::retry, "the server had a problem: " + response.body, wait);
        verdict.reason = "server_error";
    }
    return verdict;
  }

  task<bool> renew() override {
    ++renewals;
    co_await clock_.sleep_for(2s);
    if (renewals == 1 && not_renewed) throw Error(*not_renewed);
    if (renewable) token_ = "fresh";
    co_return renewable;
  }

  bool due() const override { return expires && token_ != "fresh"; }

  bool renewable = true;
  bool expires = false;              // the first token has ended before it was used
  std::optional<Error> not_renewed;  // by the first attempt
  int renewals = 0;

 private:
  Clock& clock_;
  std::string token_ = "stale";
};

inline ApiRequest get(std::string path, std::vector<std::string> buckets = {"account"},
                      Priority p = Priority::scheduled) {
  return ApiRequest(HttpRequest("GET", "https://api.test" + path), std::move(buckets), p);
}

// An Api with a script behind it.
// What processes leave to each other.
struct KeptQuotas final : QuotaStore {
  std::map<std::pair<std::string, std::string>, QuotaRecord> records;  // by source and bucket
  bool broken = false;

  task<std::vector<QuotaRecord>> quotas(std::string source) override {
    if (broken) throw Error(Remedy::retry, "the disk is gone");
    std::vector<QuotaRecord> found;
    for (const auto& [key, record] : records)
      if (key.first == source) found.push_back(record);
    co_return found;
  }
  task<void> keep_quota(QuotaRecord quota) override {
    if (broken) throw Error(Remedy::retry, "the disk is gone");
    std::pair key(quota.source, quota.bucket);
    records.insert_or_assign(std::move(key), std::move(quota));
    co_return;
  }
};

struct Bench {
  World world;
  ScriptedHttp http{world.clock()};
  TestDialect dialect{world.clock()};
  RecordedEvents events;
  Rng rng{3};
  std::optional<Api> api_;
  ApiOptions options{"facebook", RateLimit{10, 20, 0.75, 0.30}, RetryPolicy{6, 1s, 5min, 15min}};

  Api& api() {
    if (!api_) api_.emplace(options, http, dialect, world.clock(), events, rng);
    return *api_;
  }
  Duration now() { return world.clock().uptime(); }
  HttpResponse call(ApiRequest request) { return world.run(api().call(std::move(request))); }
  Error failure_of(ApiRequest request) {
    try {
      call(std::move(request));
    } catch (const Error& error) {
      return error;
    }
    throw std::logic_error("the call succeeded");
  }

  task<void> call_and_note(ApiRequest request, std::vector<Duration>& done) {
    co_await api().call(std::move(request));
    done.push_back(now());
  }
  task<void> call_and_keep(ApiRequest request, std::vector<std::pair<Duration, ApiError>>& failures) {
    try {
      co_await api().call(std::move(request));
    } catch (const ApiError& error) {
      failures.emplace_back(now(), error);
    }
  }
  // Calls side by side; when each of them was done.
  std::vector<Duration> call_all(std::vector<ApiRequest> requests) {
    std::vector<Duration> done;
    const auto body = [&]() -> task<void> {
      TaskGroup group(world.executor());
      for (auto& request : requests) group.spawn(call_and_note(std::move(request), done));
      co_await group.join();
    };
    world.run(body());
    return done;
  }
};

inline HttpError reset() {
  return HttpError(Remedy::retry, "reset", "api.test closed the connection");
}

}  // namespace sluice::test
