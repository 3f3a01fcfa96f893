#include <catch2/catch.hpp>

#include "tests/daemon/http_fixture.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

const std::string json_type = "Content-Type: application/json\r\n";

std::string problem_detail(const Exchange& answer) {
  return nlohmann::json::parse(answer.body)["detail"];
}

}  // namespace

TEST_CASE("readyz tells load balancers the truth, and explains it when asked") {
  RunningServer server;
  CHECK(ask(server, "GET /readyz").status == 200);
  CHECK(ask(server, "HEAD /healthz").status == 200);
  server.control.ready = false;
  const auto answer = ask(server, "GET /healthz?verbose");
  CHECK(answer.status == 503);
  CHECK(answer.body == "[+] configuration: ok\n[-] state: disk I/O error\nnot ready\n");
  CHECK(ask(server, "GET /readyz").body == "not ready\n");
}

TEST_CASE("livez fails when the loop has not turned for ten seconds") {
  RunningServer server;
  server.control.age = 9s;
  CHECK(ask(server, "GET /livez").status == 200);
  server.control.age = 10s;
  CHECK(ask(server, "GET /livez").status == 503);
}

TEST_CASE("metrics are served as Prometheus reads them") {
  RunningServer server;
  const auto answer = ask(server, "GET /metrics");
  CHECK_THAT(answer.head, Catch::Contains("Content-Type: text/plain; version=0.0.4"));
  CHECK_THAT(answer.body, Catch::Contains(R"(sluice_pipeline_running{pipeline="facebook"} 0)"));
}

TEST_CASE("what is read") {
  RunningServer server;
  CHECK(nlohmann::json::parse(ask(server, "GET /api/v1/pipelines").body)[0]["name"] == "facebook");
  CHECK(ask(server, "GET /api/v1/pipelines/facebook").status == 200);
  const auto missing = ask(server, "GET /api/v1/pipelines/nope");
  CHECK(missing.status == 404);
  CHECK(problem_detail(missing) == "there is no pipeline nope");
  const auto runs = nlohmann::json::parse(ask(server, "GET /api/v1/runs?pipeline=facebook&limit=7").body);
  CHECK(runs["limit"] == 7);
  CHECK(nlohmann::json::parse(ask(server, "GET /api/v1/runs?limit=99999999").body)["limit"] == 1000);
  CHECK(nlohmann::json::parse(ask(server, "GET /api/v1/version").body).contains("version"));
  for (const auto* path :
       {"/api/v1/sources", "/api/v1/sinks", "/api/v1/limits", "/api/v1/runs/r1", "/api/v1/runs/r1/logs"})
    CHECK(ask(server, fmt::format("GET {}", path)).status == 200);
  CHECK(ask(server, "GET /api/v1/runs/r2/logs").status == 404);
  CHECK(ask(server, "POST /api/v1/runs/r1/logs").status == 405);
}

TEST_CASE("what is done needs POST, and reading needs GET") {
  RunningServer server;
  CHECK(ask(server, "GET /api/v1/pipelines/facebook/trigger").status == 405);
  CHECK(ask(server, "GET /api/v1/reload").status == 405);
  CHECK(ask(server, "POST /api/v1/pipelines").status == 405);
  CHECK(ask(server, "POST /metrics").status == 405);
  CHECK(ask(server, "DELETE /api/v1/pipelines/facebook").status == 405);
  CHECK(ask(server, "OPTIONS /api/v1/pipelines").status == 405);
  CHECK(server.control.asked.empty());
  for (const auto* action : {"trigger", "pause", "resume"})
    CHECK(ask(server, fmt::format("POST /api/v1/pipelines/facebook/{}", action)).status == 200);
  CHECK(ask(server, "POST /api/v1/reload").status == 200);
  CHECK(server.control.asked ==
        std::vector<std::string>{"trigger facebook", "pause facebook", "resume facebook", "reload"});
  const auto conflict = ask(server, "POST /api/v1/pipelines/facebook/cancel");
  CHECK(conflict.status == 409);
  CHECK(problem_detail(conflict) == "facebook is not running");
}

TEST_CASE("one backfill is cancelled by the id of its run") {
  RunningServer server;
  const std::string path = "POST /api/v1/pipelines/facebook/cancel";
  CHECK(ask(server, path, json_type, R"({"run": "r7"})").status == 200);
  CHECK(server.control.asked == std::vector<std::string>{"cancel facebook r7"});
  for (const auto* body : {R"({"run": 7})", R"({"name": "r7"})", "[]", "r7"})
    CHECK(ask(server, path, json_type, body).status == 422);
}

TEST_CASE("a backfill's fields are checked, each by name") {
  RunningServer server;
  const std::string path = "POST /api/v1/pipelines/facebook/backfill";
  const auto refused = [&](const std::string& body) {
    const auto answer = ask(server, path, json_type, body);
    CHECK(answer.status == 422);
    return problem_detail(answer);
  };
  CHECK_THAT(refused("["), Catch::Contains("expected a JSON object"));
  CHECK_THAT(refused("{}"), Catch::StartsWith("from:"));
  CHECK_THAT(refused(R"({"from": 20260101, "to": "2026-01-02"})"), Catch::StartsWith("from:"));
  CHECK_THAT(refused(R"({"from": "2026-01-03", "to": "2026-01-02"})"), Catch::StartsWith("to:"));
  CHECK_THAT(refused(R"({"from": "2026-01-01", "to": "2026-01-02", "parallel": "4"})"), Catch::StartsWith("parallel:"));
  CHECK_THAT(refused(R"({"from": "2026-01-01", "to": "2026-01-02", "form": 1})"), Catch::StartsWith("form: unknown"));
  for (const auto* name : {"live", "sweep", "a/b", "a b"})
    CHECK_THAT(refused(fmt::format(R"({{"from": "2026-01-01", "to": "2026-01-02", "name": "{}"}})", name)),
               Catch::StartsWith("name:"));
  CHECK(server.control.asked.empty());
  CHECK(ask(server, path, json_type, R"({"from": "2026-01-01", "to": "2026-01-31", "name": "january"})").status == 200);
  CHECK(server.control.asked == std::vector<std::string>{"backfill facebook 2026-01-01 2026-01-31 january"});
}

TEST_CASE("a body that an action cannot use is refused") {
  RunningServer server;
  for (const auto* action : {"pipelines/facebook/trigger", "pipelines/facebook/pause", "reload"}) {
    const auto post = [&](const std::string& body) {
      return ask(server, fmt::format("POST /api/v1/{}", action), json_type, body).status;
    };
    CHECK(post("{nonsense") == 422);
    CHECK(post("[]") == 422);
    CHECK(post(R"({"stream": "insights"})") == 422);
    CHECK(server.control.asked.empty());
    CHECK(post("{}") == 200);
    server.control.asked.clear();
  }
}

TEST_CASE("an unexpected failure tells the client nothing of the inside") {
  RunningServer server;
  const auto answer = ask(server, "GET /api/v1/runs/broken");
  CHECK(answer.status == 500);
  CHECK_THAT(answer.body, !Catch::Contains("internal detail"));
}

TEST_CASE("events are followed live, and a reader that comes back gets what it missed") {
  RunningServer server;
  RunStarted started{"r1", "facebook", "manual", {}, {}, {}};
  RawClient follower(server.port());
  follower.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK_THAT(follower.receive("retry: 3000"), Catch::Contains("text/event-stream") && Catch::Contains("chunked"));
  server.emit(started);
  CHECK_THAT(follower.receive("\"run\":\"r1\""), Catch::Contains("id: 1") && Catch::Contains("event: run_started"));

  started.run = "r2";
  server.emit(started);
  RawClient again(server.port());
  again.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1\r\n\r\n");
  const auto missed = again.receive("\"run\":\"r2\"");
  CHECK_THAT(missed, Catch::Contains("id: 2"));
  CHECK_THAT(missed, !Catch::Contains("\"r1\""));
}
