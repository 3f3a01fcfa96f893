#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "sandbox/sandbox.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using nlohmann::json;
using sandbox::parse_fault;

namespace {

// The simulated CleverTap without sockets, on a day that stands still.
struct Project {
  test::World world;
  std::optional<sandbox::Sandbox> box;

  explicit Project(const sandbox::Options& options = {}) {
    box.emplace(options, world.clock());
    box->set_now(*parse_instant("2026-03-02T12:00:00Z"));
  }

  sandbox::Reply call(const std::string& method, const std::string& target, const json& body = {},
                      const std::string& passcode = "sandbox-token") {
    sandbox::Request request;
    request.method = method;
    request.target = target;
    request.headers = {{"x-clevertap-account-id", "A"}, {"x-clevertap-passcode", passcode}};
    if (!body.is_null()) request.body = body.dump();
    return box->handle(request);
  }
  json ask(const std::string& method, const std::string& target, const json& body = {}) {
    return json::parse(call(method, target, body).body);
  }

  static json window(const std::string& event, int from = 20260301, int to = 20260301) {
    return json{{"event_name", event}, {"from", from}, {"to", to}};
  }
  std::string begin(const std::string& event, const std::string& more = "&batch_size=50", int from = 20260301,
                    int to = 20260301) {
    return ask("POST", "/1/events.json?app=false&events=false&profile=false" + more, window(event, from, to))
        .at("cursor")
        .get<std::string>();
  }
  std::vector<json> all(std::string cursor) {
    std::vector<json> records;
    while (!cursor.empty()) {
      const auto page = ask("GET", "/1/events.json?cursor=" + cursor);
      REQUIRE(page.at("status") == "success");
      for (const auto& record : page.value("records", json::array())) records.push_back(record);
      cursor = page.value("next_cursor", "");
    }
    return records;
  }
};

}  // namespace

TEST_CASE("the simulated CleverTap gives the events of a day, page by page, and counts as many") {
  Project project;
  const auto cursor = project.begin("App Launched");
  CHECK(cursor.find('%') != std::string::npos);  // encoded already
  const auto records = project.all(cursor);
  CHECK(records.size() > 50);
  CHECK(project.ask("POST", "/1/counts/events.json", Project::window("App Launched"))["count"] == records.size());
  std::set<std::string> identities;
  int anonymous = 0;
  for (const auto& record : records) {
    CHECK(record["ts"].get<std::int64_t>() / 1'000'000 == 20260301);
    CHECK(record["profile"].contains("objectId"));
    CHECK_FALSE(record["profile"].contains("profileData"));
    anonymous += !record["profile"].contains("identity");
  }
  CHECK(anonymous > 0);
  CHECK(project.all(project.begin("App Launched")) == records);
  Project again;  // the same seed, the same data
  CHECK(again.all(again.begin("App Launched")) == records);
}

TEST_CASE("the simulated CleverTap takes a cursor as it was given, and no other") {
  Project project;
  auto cursor = project.begin("App Launched");
  std::string twice = cursor;
  for (auto at = twice.find('%'); at != std::string::npos; at = twice.find('%', at + 3)) twice.replace(at, 1, "%25");
  CHECK(project.ask("GET", "/1/events.json?cursor=" + twice)["error"] == "Incorrect Usage");
  CHECK(project.ask("GET", "/1/profiles.json?cursor=" + cursor)["error"] == "Incorrect Usage");
  project.box->set_now(*parse_instant("2026-03-02T13:01:00Z"));
  CHECK(project.ask("GET", "/1/events.json?cursor=" + cursor)["error"] == "Invalid cursor");
}

TEST_CASE("the simulated CleverTap refuses as the real one does") {
  Project project;
  CHECK(project.call("GET", "/getSchema?type=events", {}, "wrong").status == 401);
  CHECK(project.ask("POST", "/1/events.json", Project::window("charged"))["error"] == "[\"Invalid event : charged\"]");
  CHECK(project.call("POST", "/1/events.json", Project::window("Notification Viewed")).status == 400);
  CHECK(project.ask("POST", "/1/events.json", Project::window("Charged", 20260301, 20260305))["code"] == 4002);
  // An empty range has no list of records.
  const auto cursor = project.begin("Charged", "", 20200101, 20200101);
  CHECK(project.ask("GET", "/1/events.json?cursor=" + cursor).contains("status"));
}

TEST_CASE("in the simulated CleverTap events arrive late") {
  Project project;
  const auto early = project.all(project.begin("Product Viewed")).size();
  project.box->set_now(*parse_instant("2026-03-04T12:00:00Z"));
  CHECK(project.all(project.begin("Product Viewed")).size() > early);
}

TEST_CASE("the simulated CleverTap has profiles, campaigns and reports") {
  Project project;
  const auto begun = project.ask("POST", "/1/profiles.json?batch_size=5000&profile=true", Project::window("Charged"));
  const auto page = project.ask("GET", "/1/profiles.json?cursor=" + begun["cursor"].get<std::string>());
  REQUIRE(page["records"].size() > 1);
  CHECK(page["records"][0]["platformInfo"][0].contains("objectId"));
  CHECK(page["records"][0].contains("profileData"));

  const auto targets =
      project.ask("POST", "/1/targets/list.json", json{{"from", 20260201}, {"to", 20260302}})["targets"];
  REQUIRE(targets.size() == 10);
  const auto report = project.ask("POST", "/1/targets/result.json", json{{"id", targets[0]["id"]}});
  CHECK(report["result"]["sent"].get<int>() > 0);
}

TEST_CASE("the simulated CleverTap's faults can be switched on") {
  Project project;
  const auto cursor = project.begin("Charged");
  const auto get = [&] { return project.ask("GET", "/1/events.json?cursor=" + cursor); };
  const auto with = [&](const std::string& fault) { project.box->faults().add(parse_fault(fault)); };
  with("in_progress#1");
  CHECK(get()["code"] == 2);
  with("cursor_expired#1");
  CHECK(get()["code"] == 3);
  with("too_many_requests#1");
  CHECK(project.call("GET", "/1/events.json?cursor=" + cursor).status == 429);
  with("fail_code=500#1");
  CHECK(get()["status"] == "fail");
  with("renamed_member=records=data#1");
  CHECK(get().contains("data"));
  with("retyped_property#1");
  CHECK(get()["records"][0]["event_props"]["Amount"] == "INR");
  with("new_property#1");
  CHECK(get()["records"][0]["event_props"]["Brand new"] == true);
  with("duplicate_cursor#1");
  CHECK(get()["next_cursor"] == cursor);
  with("slow_count=2#1");
  const auto counting = project.ask("POST", "/1/counts/events.json", Project::window("Charged"));
  CHECK(counting["status"] == "partial");
  const auto poll = "/1/counts/events.json?req_id=" + counting["req_id"].dump();
  CHECK(project.ask("GET", poll)["status"] == "partial");
  CHECK(project.ask("GET", poll)["count"].get<int>() > 0);
  CHECK(project.ask("GET", poll)["error"] == "invalid request id");
}

TEST_CASE("the simulated CleverTap serves a benchmark's events as prepared bytes, the same on every day") {
  sandbox::Options options;
  options.rows_per_day = 60;
  Project project(options);
  const auto first = project.all(project.begin("Charged")),
             second = project.all(project.begin("Charged", "", 20260228, 20260228));
  REQUIRE(first.size() == 60);
  REQUIRE(second.size() == 60);
  const sandbox::AppWorld world(options);
  const auto events = world.events(1, Day(2026, 3, 1), Day(2026, 3, 1), *parse_instant("2026-03-02T12:00:00Z"));
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(first[i] == json::parse(world.record(events[i], {}, Instant())));
    CHECK(first[i]["ts"].get<std::int64_t>() / 1'000'000 == 20260301);
    CHECK(second[i]["ts"].get<std::int64_t>() / 1'000'000 == 20260228);
    CHECK(second[i]["event_props"] == first[i]["event_props"]);
  }
  CHECK(project.ask("POST", "/1/counts/events.json", Project::window("Charged"))["count"] == 60);
}
