#pragma once
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/connector.hpp"
#include "core/events.hpp"
#include "core/retry.hpp"
#include "net/http.hpp"
#include "net/quota_store.hpp"
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
  std::optional<Error> error;  // nothing: a good answer. Its message says what the API said and what to do about it
  std::string reason;          // of an error, a word: throttled, server_error, bad_answer, token, …
  // Which bucket pauses (slow_down), or is closed until its quota is back (postpone); empty: all of the call's.
  std::string throttled_bucket;
  std::vector<Usage> usage;  // read from the headers of every answer, refusals too
  std::optional<std::string> version_warning;
};

// What a call fails with, and the word that the verdict had for it: for those who tell two errors of one remedy apart.
class ApiError : public Error {
 public:
  ApiError(Remedy remedy, std::string reason, const std::string& what, std::optional<Duration> wait = {})
      : Error(remedy, what, wait), reason_(std::move(reason)) {}
  const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

// One API's habits: how requests are signed and answers judged. Stateless but for its credential.
class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual void sign(HttpRequest& request) = 0;
  // Of a streamed answer with a status below 300 only the head is given: its usage and version_warning count.
  virtual Verdict judge(const HttpRequest& request, const HttpResponse& response) const = 0;
  // Whether a credential has to be got before a request can be signed: there is none yet, or it is about to end.
  virtual bool due() const { return false; }
  // When one is due, and after Remedy::reauthenticate: gets a new credential; false when there is none to be had. It
  // may throw Error. However many calls wait for it, it runs once for all of them.
  virtual task<bool> renew() { co_return false; }
};

struct ApiRequest {
  HttpRequest http;
  std::vector<std::string> buckets;  // all that the call counts against
  Priority priority = Priority::scheduled;
  double cost = 1;
  // false: a failure is thrown at once (the caller asks differently by itself). Throttles are waited out all the same,
  // and a refused credential is renewed: neither says anything about the request.
  bool retry = true;
  // At most so many exchanges at once of those that share it; held for each exchange alone, never in between. Not for
  // `stream`, whose reader may wait for slices that wait for a place here.
  Semaphore* in_flight = nullptr;
  Output* slice = nullptr;  // whose place is left to others during long waits, if it is for a slice
  ApiRequest(HttpRequest h, std::vector<std::string> b, Priority p)
      : http(std::move(h)), buckets(std::move(b)), priority(p) {}
};

struct ApiOptions {
  std::string source;
  RateLimit limit;
  RetryPolicy retry;
  std::map<std::string, RateLimit> budgets{};  // of buckets with a limit of their own, by name: counted, and remembered
  QuotaStore* quotas = nullptr;                // none: a new process knows nothing of the old one's
  std::string account{};                       // whose quotas these are
};

// One credential of one API, shared by all pipelines that use it: signs, paces, sends, judges, retries.
class Api {
 public:
  Api(ApiOptions options, HttpClient& http, Dialect& dialect, Clock& clock, Events& events, Rng& rng);

  // A good answer, or ApiError: `shrink`, `give_up` or `reauthenticate` at once, `retry` when the tries are used up.
  // After `postpone` all calls of the bucket fail with it until the error's wait is over: those that come, and those
  // that wait for their turn; none of them is sent.
  task<HttpResponse> call(ApiRequest request);
  // The same for an answer read piece by piece; retried only until the first piece has been handed on.
  task<void> stream(ApiRequest request, BodyReader& reader);

  // Throttled otherwise than by a call's answer (a job on the other side ran into the quota, or an answer ended with
  // it): the verdict's bucket pauses, or is closed, as after a refused call.
  void throttled(const Verdict& verdict);

  // What keeps its calls waiting at present, for people; empty where none waits for more than a moment.
  std::string waiting_for();

  const std::map<std::string, TokenBucket>& buckets() const { return buckets_; }

 private:
  struct Attempts;
  struct Exchange;
  using Line = std::list<const ApiRequest*>;  // calls that wait for their turn, in the order of their coming
  // Of a bucket whose quota comes back in hours.
  struct Closed {
    Duration until;  // by Clock::uptime
    std::string reason, message;
  };
  // What the tasks that use the Api wait for. Made by the first of them: it knows the executor.
  struct Meeting {
    Signal sooner;  // a turn may come earlier than was foreseen
    Semaphore renewing, remembering;
    explicit Meeting(const asio::any_io_executor& executor)
        : sooner(executor), renewing(executor, 1), remembering(executor, 1) {}
  };

  task<Exchange> repeat(ApiRequest request, BodyReader* reader);
  task<void> wait_turn(const ApiRequest& request, Attempts& attempts);
  task<void> stand_in_line(const ApiRequest& request, Attempts& attempts);
  task<void> sleep(const ApiRequest& request, Duration wait);
  task<Exchange> exchange(const ApiRequest& request, BodyReader* reader);
  task<Exchange> transfer(HttpRequest request, BodyReader* reader);
  // What to do about a failure: returns to try again, or throws it for the caller.
  task<void> recover(const ApiRequest& request, Attempts& attempts, const Exchange& failed);
  task<std::optional<Error>> have_credential();
  task<bool> renew_after(std::int64_t renewals_seen);
  task<void> pause(const ApiRequest& request, Attempts& attempts, const Exchange& failed);

  // What the last process left.
  task<void> remember();
  // Leaves what has changed to the next process; what the store throws is not the calls' business.
  task<void> keep_quotas();
  QuotaRecord quota_of(const std::string& name);
  void take(const ApiRequest& request, double cost);
  bool shut(const ApiRequest& request);
  // Throws the error that closed one of the call's buckets, with what is left of its wait.
  void refuse_if_closed(const ApiRequest& request, const Attempts& attempts) const;
  void close(const std::string& name, const Error& error, const std::string& reason);
  void throttle(const std::string& name, const Error& error);
  // As the caller gets it: who, what, where, and what to do.
  ApiError failure(const ApiRequest& request, const Attempts& attempts, const Error& error,
                   const std::string& reason) const;
  bool held_elsewhere(const ApiRequest& other, const std::vector<std::string>& mine);
  std::pair<Duration, std::string> longest_wait(Line::const_iterator place, const ApiRequest& request);
  TokenBucket& bucket(const std::string& name);
  void learn(const ApiRequest& request, const Verdict& verdict);
  void tell_state(const std::string& name);
  void tell_spent(const ApiRequest& request);
  void tell_trouble(const std::string& name, const std::string& message);
  void tell_pace(const std::string& name);

  ApiOptions options_;
  HttpClient& http_;
  Dialect& dialect_;
  Clock& clock_;
  Events& events_;
  Rng& rng_;
  std::map<std::string, TokenBucket> buckets_;
  std::map<std::string, Closed> closed_;
  std::set<std::string> unkept_;  // buckets of which the next process has to know more
  bool remembered_ = false;
  Line queue_;
  std::optional<Meeting> meeting_;
  std::int64_t renewals_ = 0;         // how often a new credential was asked for, with whatever result
  bool renewed_ = false;              // the result of the last time
  std::optional<Error> not_renewed_;  // what it threw
  std::set<std::string> warnings_;
};

// Sees to it that no page is asked for twice (a cursor that repeats, A→B→A too): then it throws Error(retry).
class PageGuard {
 public:
  void visit(const std::string& cursor);

 private:
  std::set<std::size_t> seen_;
};

}  // namespace sluice
