#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "sandbox/sandbox.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using nlohmann::json;

namespace {

// The sandbox without sockets, at noon of 2026-03-02.
struct Google {
  test::World world;
  sandbox::Sandbox box;
  std::string token = "sandbox-access", login = "1000000001";

  explicit Google(const sandbox::Options& options = {}) : box(options, world.clock()) {}

  sandbox::Reply ask(const std::string& method, const std::string& path, const std::string& body = {}) {
    sandbox::Request request;
    request.method = method;
    request.target = path;
    request.headers = {{"authorization", "Bearer " + token}, {"login-customer-id", login}};
    request.body = body;
    auto reply = box.handle(request);
    while (reply.more && reply.more(reply.body)) continue;
    return reply;
  }
  sandbox::Reply stream(const std::string& customer, const std::string& query) {
    return ask("POST", "/v26/customers/" + customer + "/googleAds:searchStream", json({{"query", query}}).dump());
  }
  json rows(const std::string& customer, const std::string& query) {
    const auto reply = stream(customer, query);
    INFO(reply.body);
    REQUIRE(reply.status == 200);
    auto all = json::array();
    for (const auto& chunk : json::parse(reply.body))
      for (const auto& row : chunk.value("results", json::array())) all.push_back(row);
    return all;
  }
  // The kind and value of the refusal.
  std::string refusal(const std::string& customer, const std::string& query) {
    const auto reply = stream(customer, query);
    const auto document = json::parse(reply.body);
    REQUIRE(document.is_array());
    const auto code = document[0]["error"]["details"][0]["errors"][0]["errorCode"];
    return std::to_string(reply.status) + " " + code.begin().key() + "." + code.begin().value().get<std::string>();
  }
  std::string first_client() {
    return rows("1000000001", "SELECT customer_client.id FROM customer_client")[1]["customerClient"]["id"];
  }
  void fault(const std::string& text) { box.faults().add(sandbox::parse_fault(text)); }
};

const std::string report =
    "SELECT segments.date, campaign.id, metrics.clicks, metrics.cost_micros FROM campaign WHERE segments.date BETWEEN "
    "'2026-02-01' AND '2026-02-10'";

}  // namespace

TEST_CASE("google sandbox: a refresh token or an assertion gives an access token, anything else does not") {
  Google google;
  const auto given = google.ask("POST", "/token", "grant_type=refresh_token&refresh_token=sandbox-refresh&client_id=a");
  CHECK(given.status == 200);
  CHECK(json::parse(given.body)["access_token"] == "sandbox-access");
  CHECK(google.ask("POST", "/token", "grant_type=refresh_token&refresh_token=other").status == 400);
  const auto jwt = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
  CHECK(google.ask("POST", "/token", std::string(jwt) + "a.b.c").status == 200);
  CHECK(google.ask("POST", "/token", std::string(jwt) + "a").status == 400);
}

TEST_CASE("google sandbox: the manager's tree has clients, of which the cancelled one cannot be read") {
  Google google;
  const auto tree = google.rows("1000000001", "SELECT customer_client.id, customer_client.status FROM customer_client");
  REQUIRE(tree.size() == 6);
  CHECK(tree[0]["customerClient"]["manager"] == true);
  CHECK(tree[4]["customerClient"]["status"] == "CANCELED");
  CHECK(google.refusal(tree[4]["customerClient"]["id"], report) == "403 authorizationError.CUSTOMER_NOT_ENABLED");
  CHECK(google.refusal("7", report) == "403 authorizationError.USER_PERMISSION_DENIED");
  CHECK(google.refusal("1000000001", report) == "400 queryError.REQUESTED_METRICS_FOR_MANAGER");
  google.token = "wrong";
  CHECK(google.refusal("7", report) == "401 authenticationError.OAUTH_TOKEN_INVALID");
}

TEST_CASE("google sandbox: a report's rows are those that were delivered, the same again, and within the window") {
  Google google;
  const auto customer = google.first_client();
  const auto rows = google.rows(customer, report);
  CHECK(rows.size() > 5);
  std::set<std::string> keys;
  for (const auto& row : rows) {
    const std::string day = row["segments"]["date"];
    CHECK((day >= "2026-02-01" && day <= "2026-02-10"));
    CHECK(row["metrics"]["costMicros"].is_string());
    CHECK(keys.insert(day + row["campaign"]["id"].get<std::string>()).second);
  }
  CHECK(google.rows(customer, report) == rows);
  CHECK(google.rows(customer, "SELECT campaign.id, campaign.name FROM campaign").size() == 3);
}

TEST_CASE("google sandbox: the API's rules about queries hold") {
  Google google;
  const auto customer = google.first_client();
  CHECK(google.refusal(customer, "SELECT segments.date FROM campaign") ==
        "400 queryError.EXPECTED_FILTERS_ON_DATE_RANGE");
  CHECK(google.refusal(customer, "SELECT campaign.idd FROM campaign") == "400 queryError.UNRECOGNIZED_FIELD");
  CHECK(google.refusal(customer, "SELECT campaign.id FROM campaigns") ==
        "400 queryError.BAD_RESOURCE_TYPE_IN_FROM_CLAUSE");
  const std::string clicks = "SELECT segments.date, click_view.gclid FROM click_view WHERE segments.date ";
  CHECK(google.refusal(customer, clicks + "BETWEEN '2026-02-01' AND '2026-02-02'") ==
        "400 clickViewError.EXPECTED_FILTER_ON_A_SINGLE_DAY");
  CHECK(google.refusal(customer, clicks + "= '2025-02-01'") == "400 clickViewError.DATE_TOO_OLD");
  CHECK_FALSE(google.rows(customer, clicks + "= '2026-02-01'").empty());
  CHECK(google.refusal(customer, "SELECT segments.date FROM campaign WHERE segments.date = '2020-01-01'") ==
        "400 dateRangeError.REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED");
  const std::string changes =
      "SELECT change_event.resource_name, change_event.change_date_time FROM change_event WHERE "
      "change_event.change_date_time >= '2026-02-03 00:00:00'";
  CHECK(google.refusal(customer, changes) == "400 changeEventError.LIMIT_NOT_SPECIFIED");
  CHECK(google.refusal(customer, changes + " LIMIT 10000") == "400 changeEventError.CHANGE_DATE_RANGE_INFINITE");
  google.rows(customer, changes + " AND change_event.change_date_time <= '2026-03-02 11:00:00' LIMIT 10000");
}

TEST_CASE("google sandbox: pages hold what the stream holds; a page size is refused; retired versions are not there") {
  Google google;
  const auto path = "/v26/customers/" + google.first_client() + "/googleAds:search";
  const auto page = google.ask("POST", path, json({{"query", report}}).dump());
  CHECK(json::parse(page.body)["results"] == google.rows(google.first_client(), report));
  CHECK(google.ask("POST", path, json({{"query", report}, {"pageSize", 5}}).dump()).status == 400);
  CHECK(google.ask("GET", "/v21/customers:listAccessibleCustomers").status == 404);
  CHECK(json::parse(google.ask("GET", "/v26/customers:listAccessibleCustomers").body)["resourceNames"][0] ==
        "customers/1000000001");
  const auto fields = google.ask(
      "POST", "/v26/googleAdsFields:search",
      json({{"query", "SELECT name, data_type, is_repeated WHERE name IN ('metrics.clicks', 'campaign.labels', 'no')"}})
          .dump());
  const auto found = json::parse(fields.body)["results"];
  REQUIRE(found.size() == 2);
  CHECK(found[0]["dataType"] == "INT64");
  CHECK(found[1]["isRepeated"] == true);
}

TEST_CASE("google sandbox: faults strike") {
  Google google;
  const auto customer = google.first_client();
  google.fault("quota_day=7200#1");
  const auto refused = google.stream(customer, report);
  CHECK(refused.status == 429);
  CHECK_THAT(refused.body, Catch::Contains("7200s") && Catch::Contains("DEVELOPER"));
  google.fault("stream_open#1");
  CHECK_FALSE(json::accept(google.stream(customer, report).body));
  google.fault("stream_error#1");
  CHECK(json::parse(google.stream(customer, report).body).back().contains("error"));
  google.fault("customer_denied=" + customer + "#1");
  CHECK(google.refusal(customer, report) == "403 authorizationError.USER_PERMISSION_DENIED");
  google.fault("oauth_revoked#1");
  CHECK(google.ask("POST", "/token", "grant_type=refresh_token&refresh_token=sandbox-refresh").status == 400);
}

TEST_CASE("google sandbox: a benchmark's rows are prepared bytes, and what would be written one by one") {
  sandbox::Options options;
  options.rows_per_day = 12'000;
  Google google(options);
  const auto customer = google.first_client();
  const std::string query =
      "SELECT segments.date, ad_group_ad.ad.id, campaign.name, metrics.clicks FROM ad_group_ad WHERE segments.date "
      "BETWEEN '2026-02-27' AND '2026-02-28'";
  const auto prepared = google.stream(customer, query).body;
  google.fault("bad_row@/nowhere");  // with faults about, rows are written one by one
  CHECK(google.stream(customer, query).body == prepared);
  const auto parts = json::parse(prepared);
  REQUIRE(parts.size() == 3);
  CHECK(parts[2]["results"].size() == 4'000);
  auto first = parts[0]["results"][0], next_day = parts[1]["results"][2'000];
  CHECK(first["segments"]["date"] == "2026-02-27");
  CHECK(next_day["segments"]["date"] == "2026-02-28");
  first.erase("segments");
  next_day.erase("segments");
  CHECK(first == next_day);
}
