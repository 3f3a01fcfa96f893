#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/connector.hpp"
#include "core/events.hpp"
#include "net/http.hpp"
#include "net/retry.hpp"
#include "net/token_bucket.hpp"

namespace sluice {

// What an API's own headers say of a bucket's quota.
struct Usage {
  std::string bucket;
  double fraction = 0;             // 0.5: half used
  std::optional<Duration> regain;  // until calls work again, where it is said
  Usage(std::string b, double f, std::optional<Duration> r = {}) : bucket(std::move(b)), fraction(f), regain(r) {}
};

// What an answer means.
struct Verdict {
  std::optional<Error> error;               // nothing: a good answer
  std::string reason;                       // of an error, for metrics: throttled, server_error, bad_answer, token, …
  std::string throttled_bucket;             // whose pause it is when error.remedy() == slow_down
  std::vector<Usage> usage;
  std::optional<std::string> version_warning;
};

// One API's habits: how requests are signed and answers judged. Stateless but for its credential.
class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual void sign(HttpRequest& request) = 0;
  virtual Verdict judge(const HttpRequest& request, const HttpResponse& response) const = 0;
  // After Remedy::reauthenticate: gets a new credential; false when there is none to be had. Called once per failure.
  virtual task<bool> renew() { co_return false; }
};

struct ApiRequest {
  HttpRequest http;
  std::vector<std::string> buckets;  // all that the call counts against
  Priority priority = Priority::scheduled;
  double cost = 1;
  bool retry = true;                 // false: one try (the caller asks differently by itself)
  ApiRequest(HttpRequest h, std::vector<std::string> b, Priority p) : http(std::move(h)), buckets(std::move(b)), priority(p) {}
};

struct ApiOptions {
  std::string source;
  RateLimit limit;
  RetryPolicy retry;
};

// One credential of one API, shared by all pipelines that use it: signs, paces, sends, judges, retries.
class Api {
 public:
  Api(ApiOptions options, HttpClient& http, Dialect& dialect, Clock& clock, Events& events, Rng& rng);

  // A good answer, or Error: `shrink`, `give_up` or `reauthenticate` at once, `retry` when the tries are used up.
  task<HttpResponse> call(ApiRequest request);
  // The same for an answer read piece by piece; retried only until the first piece has been handed on.
  task<void> stream(ApiRequest request, BodyReader& reader);

  const std::map<std::string, TokenBucket>& buckets() const { return buckets_; }

 private:
  task<void> wait_turn(const ApiRequest& request);
  TokenBucket& bucket(const std::string& name);
  void learn(const Verdict& verdict);

  ApiOptions options_;
  HttpClient& http_;
  Dialect& dialect_;
  Clock& clock_;
  Events& events_;
  Rng& rng_;
  std::map<std::string, TokenBucket> buckets_;
};

// How pages are walked: every paging style is one function that gives the next request, or nothing. Sees to it that no
// request is made twice (a cursor that repeats, A→B→A too): then it throws Error(retry).
class PageGuard {
 public:
  void visit(const std::string& cursor);

 private:
  std::vector<std::size_t> seen_;
};

}  // namespace sluice
