#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include "tests/sandbox/client.hpp"
#include "tests/support/direct_client.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace sluice::test;

namespace {

std::string ads(Api& api) {
  return "/v26.0/" + api.account() + "/ads?fields=id,name,updated_time&limit=10";
}

std::string submit(Api& api, const std::string& more = "&fields=ad_id,impressions,actions") {
  const auto answer = api.post("/v26.0/" + api.account() + "/insights", window("2026-02-01", "2026-02-03") + more);
  return answer.json.value("report_run_id", answer.body);
}

Json usage(const Answer& answer, const std::string& header) {
  return Json::parse(answer.headers.at(header));
}

}  // namespace

TEST_CASE("a wrong token is 190, no token too is refused, an unknown account 100/33, an old version 2635") {
  Api api;
  const auto wrong = api.get("/v26.0/me", "guess");
  CHECK(wrong.status == 400);
  CHECK(wrong.json["error"]["code"] == 190);
  CHECK(api.get("/v26.0/me", "").json["error"]["code"] == 2500);
  CHECK(api.get("/v26.0/me?access_token=sandbox-token", "").status == 200);
  const auto unknown = api.get("/v26.0/act_1/campaigns");
  CHECK(unknown.json["error"]["code"] == 100);
  CHECK(unknown.json["error"]["error_subcode"] == 33);
  CHECK(api.get("/v19.0/me").json["error"]["code"] == 2635);
  CHECK(api.get("/me").json["error"]["code"] == 2635);
}

TEST_CASE("with an app secret every call needs its proof") {
  auto options = Api::calm();
  options.token = "TOK";
  options.app_secret = "sekret";
  Api api(options);
  CHECK(api.get("/v26.0/me", "TOK").json["error"]["code"] == 100);
  CHECK(api.get("/v26.0/me?appsecret_proof=00", "TOK").status == 400);
  CHECK(api.get("/v26.0/me?appsecret_proof=564cc081835e38182f4a1c167467350474b5618920c9397fd3756f7f121a166e", "TOK")
            .status == 200);
}

TEST_CASE("the token shows in paging.next when it came by the query, and is counted") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/ads?fields=id&limit=5";
  CHECK(api.get(edge).json["paging"]["next"].get<std::string>().find("sandbox-token") == std::string::npos);
  const auto echoed = api.get(edge + "&access_token=sandbox-token", "").json["paging"]["next"].get<std::string>();
  CHECK(echoed.find("access_token=sandbox-token") != std::string::npos);
  CHECK(api.get("/sandbox/log").json["token_in_query"] == 1);
}

TEST_CASE("usage headers come with every reply of an account and rise with use") {
  auto options = Api::calm();
  options.quota = 1000;
  Api api(options);
  const auto first = api.get(ads(api));
  CHECK(first.headers.at("facebook-api-version") == "v26.0");
  for (int i = 0; i < 100; ++i) api.get(ads(api));
  const auto later = api.get("/v26.0/" + api.account() + "/insights?fields=nonsense");
  CHECK(later.status == 400);
  CHECK(usage(later, "x-ad-account-usage")["acc_id_util_pct"] > usage(first, "x-ad-account-usage")["acc_id_util_pct"]);
  CHECK(usage(later, "x-app-usage")["call_count"] > 0);
  CHECK(usage(later, "x-fb-ads-insights-throttle")["acc_id_util_pct"] > 5);
  const auto business = usage(later, "x-business-use-case-usage");
  CHECK(business.begin().value().size() == 2);
}

TEST_CASE("an enforced quota ends in 17/2446079") {
  auto options = Api::calm();
  options.quota = 5;
  options.enforce_quota = true;
  Api api(options);
  const auto edge = ads(api);
  Answer answer = api.get(edge);
  for (int i = 0; i < 10 && answer.status == 200; ++i) answer = api.get(edge);
  CHECK(answer.json["error"]["code"] == 17);
  CHECK(usage(answer, "x-ad-account-usage")["acc_id_util_pct"] >= 100);
}

TEST_CASE("usage decays with time") {
  World world;
  auto options = Api::calm();
  options.quota = 100;
  sandbox::Sandbox box(options, world.clock());
  DirectClient client(box, world.clock());
  const auto url = fmt::format("http://sandbox/v26.0/act_{}?fields=name", box.world().accounts()[0].id);
  const auto used = [&] {
    HttpRequest request("GET", url);
    request.headers.emplace_back("Authorization", "Bearer sandbox-token");
    const auto response = world.run(client.send(request));
    return Json::parse(response.header("x-ad-account-usage").value())["acc_id_util_pct"].get<double>();
  };
  for (int i = 0; i < 49; ++i) used();
  CHECK(used() == Approx(50));
  world.run(world.clock().sleep_for(std::chrono::seconds(150)));
  CHECK(used() == Approx(1));
}

TEST_CASE("throttles say how long, in minutes here and seconds there") {
  Api api;
  api.fault("throttle", "5", 1, "/ads");
  const auto hit = api.get(ads(api));
  CHECK(hit.status == 400);
  CHECK(hit.json["error"]["code"] == 17);
  CHECK(hit.json["error"]["error_subcode"] == 2446079);
  const auto minutes = usage(hit, "x-business-use-case-usage").begin().value()[0]["estimated_time_to_regain_access"];
  CHECK(minutes == 5);
  CHECK(usage(hit, "x-ad-account-usage")["reset_time_duration"] == 300);
  CHECK(api.get(ads(api)).status == 200);
  api.fault("app_throttle", "", 1, "/ads");
  const auto app = api.get(ads(api));
  CHECK(app.status == 403);
  CHECK(app.json["error"]["code"] == 4);
  api.fault("buc_throttle", "", 1, "/insights");
  CHECK(api.post("/v26.0/" + api.account() + "/insights").json["error"]["code"] == 80000);
  api.fault("usage", "97", 1, "/ads");
  CHECK(usage(api.get(ads(api)), "x-ad-account-usage")["acc_id_util_pct"] == 97);
  api.fault("string_usage", "", 1, "/ads");
  CHECK(usage(api.get(ads(api)), "x-ad-account-usage")["acc_id_util_pct"].is_string());
}

TEST_CASE("errors that mean shrink") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/adcreatives?fields=id&limit=";
  api.fault("reduce_data", "10", -1, "/adcreatives");
  const auto refused = api.get(edge + "20");
  CHECK(refused.status == 500);
  CHECK(refused.json["error"]["code"] == 1);
  CHECK_FALSE(refused.json["error"].contains("type"));
  CHECK(api.get(edge + "10").status == 200);
  api.fault("too_many_rows", "days:2");
  CHECK(submit(api).find("1487534") != std::string::npos);
  api.no_faults();
  api.fault("too_many_rows", "rows:1");
  CHECK(submit(api).find("1487534") != std::string::npos);
}

TEST_CASE("reports fail, stall, are skipped, or are not there yet") {
  Api api;
  const auto poll = [&](const std::string& id) { return api.get("/v26.0/" + id).json; };
  api.fault("report_fails", "-2/2490547", 1);
  const auto failed = poll(submit(api));
  CHECK(failed["async_status"] == "Job Failed");
  CHECK(failed["error_code"] == -2);
  CHECK(failed["error_subcode"] == 2490547);
  api.fault("poison_field", "actions");
  CHECK(poll(submit(api))["async_status"] == "Job Failed");
  CHECK(poll(submit(api, "&fields=ad_id,impressions"))["async_status"] == "Job Completed");
  api.no_faults();
  api.fault("report_too_large", "days:2");
  CHECK(poll(submit(api))["error_subcode"] == 1504045);
  api.no_faults();
  api.fault("report_stalls", "40", 1);
  const auto stalled = submit(api);
  CHECK(poll(stalled)["async_percent_completion"] == 40);
  CHECK(poll(stalled)["async_status"] == "Job Running");
  api.fault("report_skipped", "", 1);
  CHECK(poll(submit(api))["async_status"] == "Job Skipped");
  api.fault("not_exists_after_submit", "2");
  const auto late = submit(api);
  CHECK(poll(late)["error"]["error_subcode"] == 33);
  CHECK(poll(late)["error"]["error_subcode"] == 33);
  CHECK(poll(late)["async_status"] == "Job Completed");
  api.no_faults();
  api.fault("hundred_running", "", 1);
  CHECK(poll(late)["async_status"] == "Job Running");
  CHECK(poll(late)["async_status"] == "Job Completed");
  api.fault("results_not_ready");
  CHECK(api.get("/v26.0/" + late + "/insights").json["error"]["code"] == 2601);
  CHECK(api.get("/v26.0/" + late + "/insights").status == 200);
  api.fault("summary_param", "", 1);
  CHECK(api.get("/v26.0/" + late + "/insights").json["error"]["code"] == 100);
  api.fault("numeric_report_id", "", 1);
  const auto bare = api.post("/v26.0/" + api.account() + "/insights", window("2026-02-01", "2026-02-01"));
  CHECK(bare.json["report_run_id"].is_number());
}

TEST_CASE("tokens expire, versions end and warn, one account is out of bounds") {
  Api api;
  const auto edge = ads(api);
  api.fault("expired_token", "", 1);
  CHECK(api.get(edge).json["error"]["error_subcode"] == 463);
  api.fault("expired_version", "", 1);
  CHECK(api.get(edge).json["error"]["code"] == 2635);
  api.fault("version_warning", "", 1);
  CHECK(api.get(edge).headers.contains("x-ad-api-version-warning"));
  api.fault("upgraded_version", "v27.0", 1);
  CHECK(api.get(edge).headers.at("facebook-api-version") == "v27.0");
  const auto second = api.accounts()[1]["id"].get<std::string>();
  api.fault("permission", second.substr(4));
  CHECK(api.get("/v26.0/" + second + "/ads").status == 403);
  CHECK(api.get("/v26.0/" + second + "/ads").json["error"]["code"] == 200);
  CHECK(api.get(edge).status == 200);
}

TEST_CASE("answers that are not the API's") {
  Api api;
  const auto edge = ads(api);
  api.fault("html", "", 1);
  CHECK(api.get(edge).headers.at("content-type") == "text/html");
  api.fault("garbage", "", 1);
  CHECK(api.get(edge).json.is_discarded());
  api.fault("empty", "", 1);
  CHECK(api.get(edge).body.empty());
  api.fault("unavailable_text", "", 1);
  CHECK(api.get(edge).body == "Service Unavailable");
  api.fault("http503", "", 1);
  CHECK(api.get(edge).status == 503);
  api.fault("http500", "", 1);
  CHECK(api.get(edge).json["error"]["is_transient"] == true);
  api.fault("redirect", "", 1);
  CHECK(api.get(edge).headers.contains("location"));
  api.fault("truncated", "", 1);
  CHECK_THROWS(api.get(edge));
  api.fault("reset", "", 1);
  CHECK_THROWS(api.get(edge));
  api.fault("slow", "1", 1);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(api.get(edge).status == 200);
  CHECK(std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(900));
}

TEST_CASE("pages that lead nowhere, are short, or empty with more to come") {
  Api api;
  const auto edge = ads(api);
  const auto honest = api.all(edge);
  const auto first = api.get(edge).json["paging"]["cursors"]["after"].get<std::string>();
  api.fault("duplicate_cursor", "", -1, "/ads");
  CHECK(api.get(edge + "&after=" + first).json["paging"]["cursors"]["after"] == first);
  api.no_faults();
  api.fault("duplicate_cursor", "aba", -1, "/ads");
  api.get(edge);
  const auto second = api.get(edge + "&after=" + first).json["paging"]["cursors"]["after"].get<std::string>();
  CHECK(second != first);
  CHECK(api.get(edge + "&after=" + second).json["paging"]["cursors"]["after"] == first);
  api.no_faults();
  api.fault("short_pages", "", -1, "/ads");
  CHECK(api.get(edge).json["data"].size() == 5);
  const auto after = api.get(edge).json["paging"]["cursors"]["after"].get<std::string>();
  const auto empty = api.get(edge + "&after=" + after);
  CHECK(empty.json["data"].empty());
  CHECK(empty.json["paging"].contains("next"));
  CHECK(api.all(edge) == honest);
}

TEST_CASE("rows that are doubled, damaged, or have more or less than they should") {
  Api api;
  const auto query = "/v26.0/" + api.account() + "/insights?limit=500&" + window("2026-02-01", "2026-02-01") +
                     "&fields=ad_id,ad_name,impressions&breakdowns=country";
  const auto honest = api.all(query);
  api.fault("duplicate_rows", "", 1);
  const auto doubled = api.all(query);
  CHECK(doubled.size() == honest.size() + 1);
  CHECK(doubled[0] == doubled.back());
  api.fault("duplicate_rows", "differ", 1);
  const auto differing = api.all(query);
  CHECK(differing.back()["ad_id"] == differing[0]["ad_id"]);
  CHECK(differing.back()["impressions"] != differing[0]["impressions"]);
  api.fault("bad_utf8", "", 1);
  const auto bytes = api.get(query);
  CHECK(bytes.json.is_discarded());
  CHECK(bytes.body.find("\xff\xfe") != std::string::npos);
  api.fault("nul", "", 1);
  CHECK(api.get(query).json["data"][0]["ad_name"].get<std::string>().front() == '\0');
  api.fault("bad_row", "", 1);
  CHECK(api.all(query)[0]["impressions"] == "not-a-number");
  api.fault("missing_id", "", 1);
  CHECK_FALSE(api.all(query)[0].contains("ad_id"));
  api.fault("missing_breakdown", "", 1);
  CHECK_FALSE(api.all(query)[0].contains("country"));
  api.fault("new_field", "", 1);
  for (const auto& row : api.all(query)) CHECK(row["brand_new_metric"] == "7");
  CHECK(api.all(query) == honest);
}

TEST_CASE("a batch answers each call with code, headers and body as text; a null is one that timed out") {
  Api api;
  const auto id = submit(api);
  const auto calls = Json::array(
      {{{"method", "GET"}, {"relative_url", id + "/"}}, {{"method", "GET"}, {"relative_url", "act_1?fields=id"}}});
  const auto answer = api.post("/v26.0/", "batch=" + encoded(calls));
  REQUIRE(answer.json.size() == 2);
  CHECK(answer.json[0]["code"] == 200);
  CHECK(Json::parse(answer.json[0]["body"].get<std::string>())["async_status"] == "Job Completed");
  bool usage_inside = false;
  for (const auto& header : answer.json[0]["headers"]) usage_inside |= header["name"] == "x-ad-account-usage";
  CHECK(usage_inside);
  CHECK(answer.json[1]["code"] == 400);
  api.fault("batch_null", "", 1);
  CHECK(api.post("/v26.0/", "batch=" + encoded(calls)).json[0].is_null());
  for (const auto* malformed : {"[null]", "[1]", R"([{"relative_url":5}])", "{}", "["})
    CHECK(api.post("/v26.0/", "batch=" + sandbox::percent_encode(malformed)).json["error"]["code"] == 100);
  CHECK(api.post("/v26.0/", "batch=" + encoded(Json(51, calls[0]))).json["error"]["code"] == 100);
}

TEST_CASE("a fault strikes as often as asked, where asked, and is logged") {
  Api api;
  const auto edge = ads(api);
  api.post("/sandbox/fault", R"({"name":"http500","times":2,"every":2,"path":"/ads"})");
  std::string statuses;
  for (int i = 0; i < 6; ++i) statuses += api.get(edge).status == 200 ? '.' : 'x';
  CHECK(statuses == ".x.x..");
  const auto log = api.get("/sandbox/log").json;
  CHECK(log["faults"]["http500"] == 2);
  CHECK(log["statuses"]["500"] == 2);
  std::int64_t count = 0;
  for (const auto& entry : log["requests"])
    if (entry["path"].get<std::string>().ends_with("/ads")) count = entry["count"];
  CHECK(count == 6);
  CHECK(api.post("/sandbox/fault", R"({"name":"nonsense"})").status == 400);
}

TEST_CASE("the server stops although connections are idle or wait for an answer that never comes") {
  asio::io_context io;
  asio::ip::tcp::socket idle(io);
  asio::ip::tcp::socket waiting(io);
  auto options = Api::calm();
  options.faults.push_back(sandbox::parse_fault("hang@/me"));
  auto server = std::make_unique<sandbox::ServerThread>(options);
  const asio::ip::tcp::endpoint address(asio::ip::address_v4::loopback(), server->port());
  idle.connect(address);
  waiting.connect(address);
  asio::write(waiting, asio::buffer(std::string_view("GET /v26.0/me HTTP/1.1\r\nHost: sandbox\r\n\r\n")));
  asio::ip::tcp::socket probe(io);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server.reset();
  char byte = 0;
  error_code closed;
  waiting.read_some(asio::buffer(&byte, 1), closed);
  CHECK(closed);
  CHECK_THROWS(probe.connect(address));
}

TEST_CASE("faults are written name=arg@path%every#times") {
  const auto fault = sandbox::parse_fault("throttle=5@GET /v26.0/act_1%3#2");
  CHECK(fault.name == "throttle");
  CHECK(fault.arg == "5");
  CHECK(fault.path == "GET /v26.0/act_1");
  CHECK(fault.every == 3);
  CHECK(fault.times == 2);
  CHECK(sandbox::parse_fault("html").times == -1);
  CHECK_THROWS(sandbox::parse_fault("html#never"));
}

TEST_CASE("in virtual time a hanging sandbox is a timeout and a slow one takes its time") {
  World world;
  sandbox::Sandbox box(Api::calm(), world.clock());
  DirectClient client(box, world.clock());
  HttpRequest request("GET", "http://sandbox/v26.0/me");
  request.headers.emplace_back("Authorization", "Bearer sandbox-token");
  const auto fetch = [&] { return world.run(client.send(request)); };
  CHECK(fetch().status == 200);
  box.faults().add(sandbox::parse_fault("hang#1"));
  const auto before = world.clock().uptime();
  CHECK_THROWS_AS(fetch(), HttpError);
  CHECK(world.clock().uptime() - before == request.timeout);
  box.faults().add(sandbox::parse_fault("slow=30#1"));
  CHECK(fetch().status == 200);
  CHECK(world.clock().uptime() - before == request.timeout + std::chrono::seconds(30));
  box.faults().add(sandbox::parse_fault("truncated#1"));
  CHECK_THROWS_AS(fetch(), HttpError);
}
