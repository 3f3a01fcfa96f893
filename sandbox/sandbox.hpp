#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "sandbox/clevertap.hpp"
#include "sandbox/google.hpp"
#include "sandbox/graph.hpp"
#include "sandbox/usage.hpp"

namespace sluice::sandbox {

struct Request {
  std::string method;
  std::string target;  // path and query
  HeaderList headers;  // names in lower case
  std::string body;

  std::string_view header(std::string_view name) const;
};

struct Reply {
  enum class Ending { whole, truncated, reset, hang, slow };

  int status = 200;
  HeaderList headers;
  std::string body;
  // Of an answer too large to be held: adds what follows `body`, piece by piece; false: that was all. Then it is sent
  // in chunks, and its ending is `whole`.
  std::function<bool(std::string& piece)> more;
  Ending ending = Ending::whole;
  Duration slowly{};  // how long a slow body takes
};

// The simulated APIs without their sockets: one request in, one reply out. It never waits; time comes from the clock.
class Sandbox {
 public:
  Sandbox(const Options& options, Clock& clock);

  Reply handle(const Request& request);

  World& world() { return world_; }
  Faults& faults() { return faults_; }
  // The simulated time of day, which may stand still.
  Instant now() const { return fixed_now_ ? *fixed_now_ : clock_.now(); }
  void set_now(Instant when) { fixed_now_ = when; }

 private:
  struct Counters {
    std::map<std::pair<std::string, std::string>, std::int64_t> requests;  // method and path
    std::map<int, std::int64_t> statuses;
    std::int64_t total = 0;
    std::int64_t batch_calls = 0;
    std::int64_t token_in_query = 0;
    std::int64_t body_bytes = 0;
  };

  Reply google(const Request& request, const std::string& path);
  Reply graph(const Request& request, const std::string& path, std::string_view query);
  Reply clevertap(const Request& request, const std::string& path, std::string_view query);
  Reply batch(const Call& call);
  Reply call_one(const Call& call);
  std::string execute(const Call& call, Concern& concern);
  void authenticate(const Request& request, Call& call);
  void check_proof(Params& params);
  void refuse_by_fault(const Call& call, const Concern& concern);
  std::optional<Reply> broken_reply(const std::string& subject);
  void spoil(const std::string& subject, Reply& reply);
  HeaderList usage_headers(const std::string& subject, const Concern& concern);

  Reply control(const Request& request, std::string_view path, std::string_view query);
  Reply change_faults(const Request& request, std::string_view query);
  Reply change_clock(const Request& request);
  Reply change_object(const Request& request);
  std::string log_text() const;

  Options options_;
  Clock& clock_;
  World world_;
  Faults faults_;
  Reports reports_;
  Graph graph_;
  CleverTapApi clevertap_;
  Google google_;
  Usage usage_;
  std::optional<Instant> fixed_now_;
  std::optional<Usage::Pretence> pretence_;  // for the headers of the reply being made
  Counters counters_;
};

}  // namespace sluice::sandbox
