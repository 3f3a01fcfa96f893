#include "daemon/api_routes.hpp"

#include <nlohmann/json.hpp>

#include "daemon/api_requests.hpp"
#include "daemon/http_target.hpp"
#include "daemon/status_json.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr Duration stalled = 10s;  // /livez: the loop must have turned since
constexpr Duration keep_alive_every = 15s;
constexpr std::size_t most_runs = 1000;

ServerReply plain(int status, std::string text) {
  return ServerReply(status, "text/plain; charset=utf-8", std::move(text));
}

ServerReply reply_json(const Json& json) {
  return ServerReply(200, "application/json", pretty(json));
}

ServerReply not_found(const ServerRequest& request) {
  std::string path;
  for (const auto& segment : request.path) path += "/" + segment;
  return problem(404, fmt::format("there is nothing at {}", path.empty() ? "/" : path));
}

ServerReply not_allowed(const char* allow) {
  auto reply = problem(405, fmt::format("this path takes {}", allow));
  reply.allow = allow;
  return reply;
}

bool is(const ServerRequest& request, std::initializer_list<std::string_view> path) {
  return std::equal(request.path.begin(), request.path.end(), path.begin(), path.end());
}

bool is_api(const ServerRequest& request) {
  return request.path.size() >= 2 && request.path[0] == "api" && request.path[1] == "v1";
}

std::string query(const ServerRequest& request, const std::string& name) {
  const auto at = request.query.find(name);
  return at == request.query.end() ? std::string() : at->second;
}

}  // namespace

ApiRoutes::ApiRoutes(Control& control, EventHub& hub, Log& log, Clock& clock, bool protect_metrics)
    : control_(control), hub_(hub), log_(log), clock_(clock), protect_metrics_(protect_metrics) {}

Role ApiRoutes::needed(const ServerRequest& request) const {
  if (is(request, {"metrics"})) return protect_metrics_ ? Role::viewer : Role::none;
  if (!is_api(request)) return Role::none;
  return request.method == "POST" ? Role::operate : Role::viewer;
}

task<ServerReply> ApiRoutes::answer(const ServerRequest& request) {
  std::exception_ptr failure;
  try {
    co_return co_await route(request);
  } catch (const Refusal& refusal) {
    co_return problem(refusal.status(), refusal.what());
  } catch (const std::exception& e) {
    failure = std::current_exception();
    if (!is_cancellation(failure))
      log_.write(Level::error, clock_.now(), fmt::format("HTTP request failed: {}", e.what()));
  }
  std::rethrow_exception(failure);
}

task<ServerReply> ApiRoutes::route(const ServerRequest& request) {
  if (is_api(request)) co_return co_await api(request);
  const bool health_path = is(request, {"readyz"}) || is(request, {"healthz"});
  if (!health_path && !is(request, {"livez"}) && !is(request, {"metrics"})) co_return not_found(request);
  if (request.method == "POST") co_return not_allowed("GET, HEAD");
  if (health_path) co_return health(request);
  if (is(request, {"livez"})) {
    const bool alive = control_.loop_age() < stalled;
    co_return plain(alive ? 200 : 503, alive ? "ok\n" : "the event loop does not turn\n");
  }
  auto metrics = co_await control_.metrics();
  co_return ServerReply(200, "text/plain; version=0.0.4; charset=utf-8", std::move(metrics));
}

ServerReply ApiRoutes::health(const ServerRequest& request) {
  const auto health = control_.health();
  const int status = health.ready() ? 200 : 503;
  std::string text;
  if (request.query.contains("verbose"))
    for (const auto& check : health.checks)
      text += fmt::format("[{}] {}: {}\n", check.good ? '+' : '-', check.name, check.says);
  text += health.ready() ? "ok\n" : "not ready\n";
  return plain(status, std::move(text));
}

task<ServerReply> ApiRoutes::api(const ServerRequest& request) {
  if (request.method == "POST") co_return co_await act(request);
  co_return co_await read(request);
}

task<ServerReply> ApiRoutes::read(const ServerRequest& request) {
  const auto& path = request.path;
  if (path.size() == 3) {
    const auto& what = path[2];
    if (what == "pipelines") co_return reply_json(co_await control_.pipelines());
    if (what == "runs") {
      const auto limit = parse_number(query(request, "limit")).value_or(50);
      co_return reply_json(co_await control_.runs(query(request, "pipeline"), std::min<std::size_t>(limit, most_runs)));
    }
    if (what == "sources") co_return reply_json(control_.sources());
    if (what == "sinks") co_return reply_json(control_.sinks());
    if (what == "limits") co_return reply_json(control_.limits());
    if (what == "version") co_return reply_json(control_.version());
    if (what == "reload") co_return not_allowed("POST");
    if (what == "events") {
      ServerReply reply(200, "text/event-stream", {});
      reply.follow = true;
      co_return reply;
    }
  }
  if (path.size() == 4 && path[2] == "pipelines") co_return reply_json(co_await control_.pipeline(path[3]));
  if (path.size() == 4 && path[2] == "runs") co_return reply_json(co_await control_.run(path[3]));
  if (path.size() == 5 && path[2] == "runs" && path[4] == "logs") co_return reply_json(co_await control_.logs(path[3]));
  if (path.size() == 5 && path[2] == "pipelines") co_return not_allowed("POST");
  co_return not_found(request);
}

task<ServerReply> ApiRoutes::act(const ServerRequest& request) {
  const auto& path = request.path;
  std::string said;
  if (is(request, {"api", "v1", "reload"})) {
    expect_no_fields("reload", request.body);
    said = co_await control_.reload();
  } else if (path.size() == 5 && path[2] == "pipelines") {
    const auto& pipeline = path[3];
    const auto& action = path[4];
    if (action != "backfill" && action != "cancel") expect_no_fields(action, request.body);
    if (action == "trigger") {
      said = co_await control_.trigger(pipeline);
    } else if (action == "pause" || action == "resume") {
      said = co_await control_.pause(pipeline, action == "pause");
    } else if (action == "cancel") {
      auto run = parse_cancel(request.body);
      said = co_await control_.cancel(pipeline, std::move(run), request.who);
    } else if (action == "backfill") {
      auto backfill = parse_backfill(request.body);
      said = co_await control_.backfill(pipeline, std::move(backfill));
    } else {
      co_return not_found(request);
    }
  } else {
    const bool readable = path.size() >= 3 && (path[2] == "pipelines" || path[2] == "runs" || path[2] == "events");
    co_return readable ? not_allowed("GET, HEAD") : not_found(request);
  }
  log_.write(Level::info, clock_.now(),
             fmt::format("{} (asked by {})", said, request.who.empty() ? "anybody" : request.who));
  co_return reply_json(Json{{"message", said}});
}

task<void> ApiRoutes::follow(const ServerRequest& request, Following& out) {
  // A browser that reconnects names the last event it has seen; anybody else begins with what happens from now on.
  auto seen = request.last_event_id.value_or(hub_.newest());
  if (seen > hub_.newest()) seen = 0;  // it is from before a restart
  std::string greeting = "retry: 3000\n\n";
  co_await out.write(std::move(greeting));
  for (;;) {
    auto news = hub_.wait_after(seen);
    co_await with_timeout(clock_, keep_alive_every, std::move(news));
    std::string text;
    for (const auto& event : hub_.after(seen)) {
      text += fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.name, event.json);
      seen = event.id;
    }
    if (text.empty()) text = ": still here\n\n";
    co_await out.write(std::move(text));
  }
}

}  // namespace sluice
