#include "net/api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice {
namespace {

using namespace std::chrono_literals;

// A long pause is slept in parts: the rate may rise meanwhile, and the waiting shows in the metrics as it goes on.
constexpr Duration longest_sleep = 10s;
// What waits longer than this lets others pass.
constexpr Duration a_moment = 1s;
constexpr std::size_t longest_refusal = 1u << 20;
constexpr std::size_t long_answer = 64u << 10;  // worth a turn of the loop of its own

// Method, host and path.
std::string where_of(const HttpRequest& request) {
  auto where = without_secrets(request.url);
  if (const auto scheme = where.find("://"); scheme != where.npos) where.erase(0, scheme + 3);
  return fmt::format("{} {}", request.method, where);
}

std::string reason_of(const std::string& http_code) {
  if (http_code == "timeout") return "timeout";
  return http_code == "too_large" || http_code == "bad_http" ? "bad_answer" : "connection";
}

std::string advice_for(const Error& error) {
  switch (error.remedy()) {
    case Remedy::reauthenticate:
      return "; give the source a valid credential";
    case Remedy::retry:
      return "; it may pass by itself: the pipeline's next run asks again. If it stays, look at the source's status "
             "page and at the network between here and there";
    case Remedy::postpone:
      return fmt::format(
          "; nothing more of it is sent for {}: the run ends here, and one that begins then goes on with it",
          format_duration(std::chrono::ceil<std::chrono::seconds>(error.wait().value_or(Duration::zero()))));
    default:
      return "";
  }
}

// Which buckets a refusal is about.
std::vector<std::string> buckets_of(const ApiRequest& request, const std::string& throttled_bucket) {
  if (throttled_bucket.empty()) return request.buckets;
  return {throttled_bucket};
}

// Keeps what a refusal says, hands a good answer on, and knows whether anything was handed on.
class WatchedReader final : public BodyReader {
 public:
  WatchedReader(BodyReader& inner, std::int64_t& bytes) : inner_(inner), bytes_(bytes) {}

  void begin(const HttpResponse& head) override {
    head_ = head;
    if (good()) inner_.begin(head);
  }
  task<void> piece(std::string_view bytes) override {
    bytes_ += static_cast<std::int64_t>(bytes.size());
    if (good()) {
      handed_on_ = true;
      co_await inner_.piece(bytes);
    } else {
      head_.body.append(bytes.substr(0, longest_refusal - std::min(longest_refusal, head_.body.size())));
    }
  }
  bool good() const { return head_.status >= 200 && head_.status < 300; }
  bool handed_on() const { return handed_on_; }
  HttpResponse& head() { return head_; }

 private:
  BodyReader& inner_;
  std::int64_t& bytes_;
  HttpResponse head_;
  bool handed_on_ = false;
};

}  // namespace

// What one request has been through.
struct Api::Attempts {
  Duration began;
  Duration waited{};  // for turns and throttles: does not count against the retry's budget
  int failures = 0;
  int tries = 0;
  bool renewed = false;
};

// The outcome of one try.
struct Api::Exchange {
  HttpResponse response;
  std::optional<Error> error;
  std::string reason;
  std::string throttled_bucket;
  std::int64_t renewals_seen = 0;
  bool handed_on = false;
  bool sent = true;  // false: the other side has not seen anything of it
};

Api::Api(ApiOptions options, HttpClient& http, Dialect& dialect, Clock& clock, Events& events, Rng& rng)
    : options_(std::move(options)), http_(http), dialect_(dialect), clock_(clock), events_(events), rng_(rng) {}

task<HttpResponse> Api::call(ApiRequest request) {
  Exchange good = co_await repeat(std::move(request), nullptr);
  co_return std::move(good.response);
}

task<void> Api::stream(ApiRequest request, BodyReader& reader) {
  co_await repeat(std::move(request), &reader);
}

task<Api::Exchange> Api::repeat(ApiRequest request, BodyReader* reader) {
  if (!meeting_) meeting_.emplace(co_await asio::this_coro::executor);
  if (!remembered_) co_await remember();
  Attempts attempts;
  attempts.began = clock_.uptime();
  while (true) {
    co_await wait_turn(request, attempts);
    const auto served = clock_.uptime();
    Semaphore::Permit permit;
    try {
      co_await keep_quotas();  // before it is sent: what is spent is spent, whatever becomes of this process
      if (request.in_flight) permit = co_await request.in_flight->acquire();
    } catch (...) {
      take(request, -request.cost);
      throw;
    }
    attempts.waited += clock_.uptime() - served;
    if (shut(request)) {  // since its turn came
      permit.release();
      take(request, -request.cost);
      co_await keep_quotas();
      continue;
    }
    ++attempts.tries;
    Exchange result;
    std::exception_ptr thrown;  // by the reader
    try {
      result = co_await exchange(request, reader);
    } catch (...) {
      thrown = std::current_exception();
    }
    permit.release();
    if (result.sent) tell_spent(request);
    if (thrown) {
      co_await keep_quotas();
      std::rethrow_exception(thrown);
    }
    if (!result.error) co_return result;
    if (!result.sent) take(request, -request.cost);
    co_await recover(request, attempts, result);
  }
}

// Whether it could not leave soon even if it were alone, because of a bucket that `mine` does not name: then those
// behind it do not wait for it.
bool Api::held_elsewhere(const ApiRequest& other, const std::vector<std::string>& mine) {
  return std::any_of(other.buckets.begin(), other.buckets.end(), [&](const auto& name) {
    return std::find(mine.begin(), mine.end(), name) == mine.end() &&
           bucket(name).wait(clock_.uptime(), other.cost, other.priority, {}) > a_moment;
  });
}

std::pair<Duration, std::string> Api::longest_wait(Line::const_iterator place, const ApiRequest& request) {
  std::pair<Duration, std::string> longest{Duration::zero(), {}};
  for (const auto& name : request.buckets) {
    TokenBucket::Ahead ahead;
    bool before = true;
    for (auto at = queue_.cbegin(); at != queue_.cend(); ++at) {
      if (at == place) before = false;
      const auto& other = **at;
      const bool goes_first =
          other.priority == request.priority ? before : other.priority == Priority::scheduled && at != place;
      if (!goes_first || std::find(other.buckets.begin(), other.buckets.end(), name) == other.buckets.end() ||
          held_elsewhere(other, request.buckets))
        continue;
      (other.priority == Priority::scheduled ? ahead.scheduled : ahead.backfill) += other.cost;
    }
    const auto wait = bucket(name).wait(clock_.uptime(), request.cost, request.priority, ahead);
    if (wait > longest.first) longest = {wait, name};
  }
  return longest;
}

task<void> Api::wait_turn(const ApiRequest& request, Attempts& attempts) {
  // Its tokens are taken before it waits for its place: others must not wait for a call that waits for them.
  const auto foreseen = longest_wait(queue_.end(), request).first;
  if (request.slice && foreseen > a_moment)
    co_await request.slice->away(stand_in_line(request, attempts));
  else
    co_await stand_in_line(request, attempts);
}

task<void> Api::stand_in_line(const ApiRequest& request, Attempts& attempts) {
  struct Place {
    Api& api;
    Line::iterator at;
    bool served = false;
    ~Place() {
      api.queue_.erase(at);
      if (!served) api.meeting_->sooner.notify_all();  // those behind a caller that went away move up
    }
  };
  Place place{*this, queue_.insert(queue_.end(), &request)};
  for (;;) {
    refuse_if_closed(request, attempts);
    const auto [wait, name] = longest_wait(place.at, request);
    if (wait <= Duration::zero()) break;
    const auto began = clock_.uptime();
    co_await with_timeout(clock_, std::min(wait, longest_sleep), meeting_->sooner.wait());
    const auto slept = clock_.uptime() - began;
    attempts.waited += slept;
    events_.emit(BucketWaited{options_.source, name, slept});
  }
  take(request, request.cost);
  place.served = true;
}

task<void> Api::sleep(const ApiRequest& request, Duration wait) {
  if (request.slice && wait > a_moment)
    co_await request.slice->away(clock_.sleep_for(wait));
  else
    co_await clock_.sleep_for(wait);
}

// Nothing, or why there is no credential to sign with.
task<std::optional<Error>> Api::have_credential() {
  std::optional<Error> failure;
  try {
    if (dialect_.due()) co_await renew_after(renewals_);
  } catch (const Error& error) {
    failure = error;
  }
  co_return failure;
}

task<Api::Exchange> Api::exchange(const ApiRequest& request, BodyReader* reader) {
  auto unsigned_for = co_await have_credential();
  if (unsigned_for) {
    Exchange failed;
    failed.error = std::move(unsigned_for);
    failed.reason = "token";
    failed.sent = false;
    co_return failed;
  }
  HttpRequest http = request.http;
  dialect_.sign(http);
  const auto renewals_seen = renewals_;
  Exchange result = co_await transfer(std::move(http), reader);
  result.renewals_seen = renewals_seen;
  if (result.error) co_return result;

  Verdict verdict = dialect_.judge(request.http, result.response);
  const bool streamed = reader && result.response.status >= 200 && result.response.status < 300;
  if (streamed) verdict.error.reset();
  learn(request, verdict);
  if (verdict.error) {
    result.error = std::move(verdict.error);
    result.reason = verdict.reason.empty() ? "bad_answer" : verdict.reason;
    result.throttled_bucket = verdict.throttled_bucket;
  }
  co_return result;
}

task<Api::Exchange> Api::transfer(HttpRequest request, BodyReader* reader) {
  Exchange result;
  RequestDone done;
  done.source = options_.source;
  const auto began = clock_.uptime();
  std::optional<WatchedReader> watched;
  if (reader) watched.emplace(*reader, done.received_bytes);
  try {
    if (watched) {
      co_await http_.stream(std::move(request), *watched);
      result.response = std::move(watched->head());
    } else {
      result.response = co_await http_.send(std::move(request));
      done.received_bytes = static_cast<std::int64_t>(result.response.body.size());
    }
    done.code = std::to_string(result.response.status);
  } catch (const HttpError& error) {
    done.code = error.code();
    result.reason = reason_of(error.code());
    result.error = error;
    result.sent = error.code() != "connect" && error.code() != "resolve";
  }
  result.handed_on = watched && watched->handed_on();
  done.took = clock_.uptime() - began;
  events_.emit(done);
  if (result.response.body.size() >= long_answer) co_await take_turn();
  co_return result;
}

task<void> Api::recover(const ApiRequest& request, Attempts& attempts, const Exchange& failed) {
  const auto remedy = failed.error->remedy();
  if (remedy == Remedy::slow_down && !failed.handed_on) {
    co_await pause(request, attempts, failed);
    co_return;
  }
  if (remedy == Remedy::reauthenticate && !attempts.renewed && !failed.handed_on) {
    attempts.renewed = true;
    if (co_await renew_after(failed.renewals_seen)) {
      events_.emit(RequestRetried{options_.source, "token", failed.error->what(), Duration::zero()});
      co_return;
    }
  }
  ++attempts.failures;
  const auto spent = clock_.uptime() - attempts.began - attempts.waited;
  std::optional<Duration> delay;
  if (request.retry && !failed.handed_on && remedy == Remedy::retry)
    delay = options_.retry.delay(attempts.failures, spent, *failed.error, rng_);
  if (remedy == Remedy::postpone)
    for (const auto& name : buckets_of(request, failed.throttled_bucket)) close(name, *failed.error, failed.reason);
  co_await keep_quotas();
  if (!delay) throw failure(request, attempts, *failed.error, failed.reason);
  events_.emit(RequestRetried{options_.source, failed.reason, failed.error->what(), *delay});
  co_await sleep(request, *delay);
  attempts.waited += std::min(*delay, std::max(Duration::zero(), failed.error->wait().value_or(Duration::zero())));
}

ApiError Api::failure(const ApiRequest& request, const Attempts& attempts, const Error& error,
                      const std::string& reason) const {
  auto message = fmt::format("{}: {} ({}", options_.source, error.what(), where_of(request.http));
  if (attempts.tries > 1)
    message += fmt::format(", tried {} times in {}", attempts.tries,
                           format_duration(std::chrono::floor<std::chrono::seconds>(clock_.uptime() - attempts.began)));
  return ApiError(error.remedy(), reason, message + ")" + advice_for(error), error.wait());
}

task<bool> Api::renew_after(std::int64_t renewals_seen) {
  const auto permit = co_await meeting_->renewing.acquire();
  if (renewals_ == renewals_seen) {
    not_renewed_.reset();
    renewed_ = false;
    try {
      const bool renewed = co_await dialect_.renew();
      renewed_ = renewed;
    } catch (const Error& error) {
      not_renewed_ = error;
    }
    ++renewals_;
  }
  if (not_renewed_) throw Error(*not_renewed_);
  co_return renewed_;
}

void Api::refuse_if_closed(const ApiRequest& request, const Attempts& attempts) const {
  for (const auto& name : request.buckets) {
    const auto at = closed_.find(name);
    if (at == closed_.end() || at->second.until <= clock_.uptime()) continue;
    const Error error(Remedy::postpone, at->second.message, at->second.until - clock_.uptime());
    throw failure(request, attempts, error, at->second.reason);
  }
}

void Api::close(const std::string& name, const Error& error, const std::string& reason) {
  const auto until = clock_.uptime() + error.wait().value_or(Duration::zero());
  closed_.insert_or_assign(name, Closed{until, reason, error.what()});
  unkept_.insert(name);
  if (meeting_) meeting_->sooner.notify_all();
}

// Closed, or paused.
bool Api::shut(const ApiRequest& request) {
  return std::any_of(request.buckets.begin(), request.buckets.end(), [&](const auto& name) {
    const auto closed = closed_.find(name);
    return (closed != closed_.end() && closed->second.until > clock_.uptime()) ||
           bucket(name).paused_until() > clock_.uptime();
  });
}

// Below zero where nothing of the call has left after all.
void Api::take(const ApiRequest& request, double cost) {
  for (const auto& name : request.buckets) {
    // What a pause has taken away stays away: calls go out one by one when it ends.
    const bool paused = bucket(name).paused_until() > clock_.uptime() && !options_.budgets.contains(name);
    if (cost < 0 && paused) continue;
    bucket(name).take(clock_.uptime(), cost, request.priority);
    if (options_.budgets.contains(name)) unkept_.insert(name);
  }
  if (cost < 0) meeting_->sooner.notify_all();
}

void Api::throttled(const Verdict& verdict) {
  if (verdict.error->remedy() == Remedy::postpone)
    close(verdict.throttled_bucket, *verdict.error, verdict.reason);
  else
    throttle(verdict.throttled_bucket, *verdict.error);
}

void Api::throttle(const std::string& name, const Error& error) {
  const double luck = std::uniform_real_distribution<double>(0, 1)(rng_);
  const bool begins = bucket(name).throttled(clock_.uptime(), error.wait(), luck);
  if (begins) tell_trouble(name, error.what());
  tell_state(name);
}

task<void> Api::pause(const ApiRequest& request, Attempts& attempts, const Exchange& failed) {
  const auto names = buckets_of(request, failed.throttled_bucket);
  auto until = clock_.uptime();
  for (const auto& name : names) {
    throttle(name, *failed.error);
    until = std::max(until, bucket(name).paused_until());
  }
  // A call may be throttled by a bucket that it was not known to count against: then it has to wait here.
  const bool own = std::any_of(names.begin(), names.end(), [&](const auto& name) {
    return std::find(request.buckets.begin(), request.buckets.end(), name) != request.buckets.end();
  });
  auto wait = until - clock_.uptime();
  if (names.empty()) wait = options_.retry.delay(1, Duration::zero(), *failed.error, rng_).value_or(1min);
  events_.emit(RequestRetried{options_.source, "throttled", failed.error->what(), wait});
  if (own) co_return;
  co_await sleep(request, wait);
  attempts.waited += wait;
}

TokenBucket& Api::bucket(const std::string& name) {
  const auto known = buckets_.find(name);
  if (known != buckets_.end()) return known->second;
  const auto own = options_.budgets.find(name);
  const auto& limit = own == options_.budgets.end() ? options_.limit : own->second;
  return buckets_.try_emplace(name, limit, clock_.uptime()).first->second;
}

void Api::learn(const ApiRequest& request, const Verdict& verdict) {
  if (verdict.version_warning && warnings_.insert(*verdict.version_warning).second)
    events_.emit(VersionWarning{options_.source, *verdict.version_warning});
  // One answer may speak of a bucket more than once, in different headers: the tightest counts.
  std::map<std::string, std::optional<Usage>> said;
  for (const auto& name : request.buckets) said[name];
  for (const auto& usage : verdict.usage) {
    auto& known = said[usage.bucket];
    if (!known) known.emplace(usage.bucket, usage.fraction);
    known->fraction = std::max(known->fraction, usage.fraction);
    known->regain = std::max(known->regain, usage.regain);
  }
  for (const auto& [name, usage] : said) {
    auto& known = bucket(name);
    const double before = known.rate();
    const bool held_back = known.held_back();
    if (usage && known.usage(clock_.uptime(), usage->fraction, usage->regain))
      tell_trouble(name, fmt::format("the API says that {:.0f} % of its quota is used up", usage->fraction * 100));
    else if (known.held_back() && !held_back)
      tell_pace(name);
    if (held_back && !known.held_back()) tell_pace(name);
    const bool counts = std::find(request.buckets.begin(), request.buckets.end(), name) != request.buckets.end();
    if (!verdict.error && counts) known.succeeded(clock_.uptime());
    if (known.rate() > before) meeting_->sooner.notify_all();
    tell_state(name);
  }
}

void Api::tell_state(const std::string& name) {
  const auto& known = bucket(name);
  events_.emit(BucketState{options_.source, name, known.tokens(clock_.uptime()), known.utilization()});
}

void Api::tell_trouble(const std::string& name, const std::string& message) {
  events_.emit(Throttled{options_.source, name, message, bucket(name).paused_until() - clock_.uptime()});
}

void Api::tell_spent(const ApiRequest& request) {
  for (const auto& name : request.buckets)
    if (options_.budgets.contains(name)) events_.emit(BudgetSpent{options_.source, name, request.cost});
}

// Said when the pacing begins and when it ends; what it is meanwhile shows in the metrics.
void Api::tell_pace(const std::string& name) {
  const auto& known = bucket(name);
  Notice notice;
  notice.source = options_.source;
  notice.message = fmt::format("{}: {:.0f} % of the API's quota of {} is used", options_.source,
                               known.utilization().value_or(0) * 100, name);
  if (known.held_back()) {
    notice.level = Level::warning;
    const auto apart = std::chrono::seconds(std::lround(1 / known.rate()));
    notice.message += fmt::format(
        ": calls go out one each {} until it recovers, so that the API need not refuse them (rate_limit.target is "
        "{:.0f} %)",
        format_duration(apart), options_.limit.target * 100);
  } else {
    notice.message += ": calls go out as usual again";
  }
  events_.emit(notice);
}

std::string Api::waiting_for() {
  std::pair<Duration, std::string> longest{a_moment, {}};
  for (auto at = queue_.cbegin(); at != queue_.cend(); ++at)
    if (auto wait = longest_wait(at, **at); wait.first > longest.first) longest = std::move(wait);
  const auto& [wait, name] = longest;
  if (name.empty()) return {};
  const auto used = bucket(name).utilization();
  return fmt::format("the rate limit of {} kept {} {} waiting, for up to {} more ({}{})", options_.source,
                     queue_.size(), queue_.size() == 1 ? "call" : "calls",
                     format_duration(std::chrono::ceil<std::chrono::seconds>(wait)), name,
                     used ? fmt::format(", {:.0f} % of its quota used", *used * 100) : "");
}

void PageGuard::visit(const std::string& cursor) {
  if (seen_.insert(std::hash<std::string>{}(cursor)).second) return;
  throw Error(Remedy::retry,
              "the source gave the same page cursor twice, so its pages would never end; they are read again from the "
              "first. If it stays, report it to the source's support");
}

}  // namespace sluice
