#include <catch2/catch.hpp>

#include "tests/sandbox/client.hpp"

using namespace sluice;
using namespace sluice::test;

namespace {

const std::string kFields = "&fields=account_id,campaign_id,ad_id,impressions,clicks,spend,cpc,actions";

std::string sync(Api& api) {
  return "/v26.0/" + api.account() + "/insights?limit=500&";
}

std::int64_t total(const Json& rows, const char* metric) {
  std::int64_t sum = 0;
  for (const auto& row : rows) sum += std::stoll(row[metric].get<std::string>());
  return sum;
}

// The rows of a finished report over that query, page by page.
Json report_of(Api& api, const std::string& query, const std::string& account) {
  const auto submitted = api.post("/v26.0/" + account + "/insights", query);
  if (!submitted.json.contains("report_run_id")) throw std::runtime_error(submitted.body);
  return api.all("/v26.0/" + submitted.json["report_run_id"].get<std::string>() + "/insights?limit=100");
}

std::string key_of(const Json& row) {
  return row["ad_id"].get<std::string>() + row["date_start"].get<std::string>();
}

}  // namespace

TEST_CASE("time_range is inclusive and time_increment=1 gives a row per day") {
  Api api;
  std::set<std::string> days;
  for (const auto& row : api.all(sync(api) + window("2026-02-01", "2026-02-03") + kFields)) {
    CHECK(row["date_start"] == row["date_stop"]);
    days.insert(row["date_start"].get<std::string>());
  }
  CHECK(days == std::set<std::string>{"2026-02-01", "2026-02-02", "2026-02-03"});
}

TEST_CASE("metrics are strings, what has no denominator is absent, ads without delivery have no row") {
  Api api;
  const auto rows = api.all(sync(api) + window("2026-01-01", "2026-01-31") + kFields);
  std::size_t without_cpc = 0;
  for (const auto& row : rows) {
    for (const auto* metric : {"impressions", "clicks", "spend", "ad_id", "account_id"}) CHECK(row[metric].is_string());
    if (row["clicks"] == "0") CHECK_FALSE(row.contains("cpc"));
    without_cpc += row.contains("cpc") ? 0 : 1;
    if (row.contains("actions")) CHECK_FALSE(row["actions"].empty());
    for (const auto& action : row.value("actions", Json::array())) CHECK(action["value"] != "0");
  }
  CHECK(without_cpc > 0);
  CHECK(rows.size() < 40u * 31);
  CHECK(rows.size() > 300);
}

TEST_CASE("levels add up to the account, breakdowns to their ad") {
  Api api;
  const auto by = [&](const std::string& level, const std::string& more) {
    return api.all(sync(api) + window("2026-02-01", "2026-02-07", level) + "&fields=impressions,clicks" + more);
  };
  const auto account = by("account", "");
  CHECK(account.size() == 7);
  for (const auto* metric : {"impressions", "clicks"}) {
    for (const auto* level : {"campaign", "adset", "ad"}) CHECK(total(by(level, ""), metric) == total(account, metric));
    for (const auto* breakdowns : {"age,gender", "country", "publisher_platform", "device_platform",
                                   "hourly_stats_aggregated_by_advertiser_time_zone"})
      CHECK(total(by("ad", std::string("&breakdowns=") + breakdowns), metric) == total(account, metric));
  }
  CHECK(by("ad", "&breakdowns=age,gender")[0].contains("gender"));
}

TEST_CASE("a field that does not apply to the level is dropped without a word") {
  Api api;
  const auto rows =
      api.all(sync(api) + window("2026-02-01", "2026-02-01", "account") + "&fields=campaign_id,impressions");
  REQUIRE(rows.size() == 1);
  CHECK_FALSE(rows[0].contains("campaign_id"));
}

TEST_CASE("a breakdown among the fields, an unknown field and an impossible combination are refused") {
  Api api;
  const auto error = [&](const std::string& more) {
    return api.get(sync(api) + window("2026-02-01", "2026-02-01") + more).json["error"];
  };
  CHECK(error("&fields=impressions,country&breakdowns=country")["message"].get<std::string>().starts_with(
      "(#100) country is not valid for fields param"));
  CHECK(error("&fields=nonsense")["code"] == 100);
  CHECK(error("&breakdowns=age,country")["error_subcode"] == 1504041);
  CHECK(error("&breakdowns=impression_device")["code"] == 2);
  CHECK(error("&breakdowns=dma")["code"] == 100);
  CHECK(error("&action_attribution_windows=2d_click")["code"] == 100);
}

TEST_CASE("the past ends 37 months ago, one day later than the calendar says") {
  Api api;
  const auto code = [&](const std::string& day) {
    const auto answer = api.get(sync(api) + window(day, "2026-02-01", "account"));
    return answer.json.contains("error") ? answer.json["error"]["code"].get<int>() : 0;
  };
  CHECK(code("2023-02-02") == 3018);
  CHECK(code("2023-02-03") == 0);
}

TEST_CASE("attribution windows are keys of their own and absent when zero; 7d_view brings nothing") {
  Api api;
  const auto rows =
      api.all(sync(api) + window("2026-01-01", "2026-01-10") +
              "&fields=ad_id,actions&action_attribution_windows=1d_click,7d_click,28d_click,1d_view,7d_view");
  std::map<std::string, int> seen;
  for (const auto& row : rows)
    for (const auto& action : row.value("actions", Json::array()))
      for (const auto& [key, value] : action.items()) {
        ++seen[key];
        CHECK(value.is_string());
      }
  CHECK(seen["28d_click"] >= seen["7d_click"]);
  CHECK(seen["7d_click"] >= seen["1d_click"]);
  CHECK(seen["1d_view"] > 0);
  CHECK(seen["1d_view"] < seen["1d_click"]);
  CHECK(seen["7d_view"] == 0);
}

TEST_CASE("action breakdowns split the actions, reactions only where there are any") {
  Api api;
  const auto rows = api.all(sync(api) + window("2026-02-01", "2026-02-01") +
                            "&fields=ad_id,actions&action_breakdowns=" + encoded({"action_type", "action_reaction"}));
  int with = 0;
  int without = 0;
  for (const auto& row : rows)
    for (const auto& action : row.value("actions", Json::array()))
      ++(action.contains("action_reaction") ? with : without);
  CHECK(with > 0);
  CHECK(without > 0);
}

TEST_CASE("the last days are restated: a few rows change, some vanish, old days stand still") {
  Api api;
  const auto query = sync(api) + "limit=500&" + window("2026-01-20", "2026-03-01") + kFields;
  const auto read = [&] {
    std::map<std::string, Json> rows;
    for (const auto& row : api.all(query)) rows[key_of(row)] = row;
    return rows;
  };
  const auto before = read();
  api.advance("4d");
  const auto after = read();
  std::size_t changed = 0;
  std::size_t vanished = 0;
  for (const auto& [key, row] : before) {
    const auto at = after.find(key);
    if (at == after.end()) {
      ++vanished;
    } else if (at->second != row) {
      ++changed;
      CHECK(row["date_start"].get<std::string>() >= "2026-02-01");
    }
  }
  CHECK(changed > 0);
  CHECK(changed < before.size() / 2);
  CHECK(vanished > 0);
  CHECK(vanished < before.size() / 20);
}

TEST_CASE("today grows by the quarter hour, in the account's zone") {
  Api api;
  api.post("/sandbox/clock", R"({"now": "2026-03-02T23:30:00Z"})");  // 00:30 in Berlin
  const auto today = sync(api) + window("2026-03-03", "2026-03-03") + kFields;
  const auto early = total(api.all(today), "impressions");
  CHECK(early > 0);
  api.advance("5m");
  CHECK(total(api.all(today), "impressions") == early);
  api.advance("6h");
  CHECK(total(api.all(today), "impressions") > 5 * early);
  CHECK(api.all(sync(api) + window("2026-03-04", "2026-03-04") + kFields).empty());
}

TEST_CASE("a deleted ad leaves the reports, unless they are filtered by every status") {
  Api api;
  const auto query = sync(api) + window("2026-02-01", "2026-02-07") + kFields;
  const auto statuses = "&filtering=" + encoded({{{"field", "ad.effective_status"},
                                                  {"operator", "IN"},
                                                  {"value",
                                                   {"ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "CAMPAIGN_PAUSED",
                                                    "ADSET_PAUSED", "DISAPPROVED", "WITH_ISSUES"}}}});
  const auto before = api.all(query + statuses);
  const auto plain = api.all(query);
  const auto victim = plain[0]["ad_id"].get<std::string>();
  REQUIRE(api.post("/sandbox/objects", Json{{"id", victim}, {"status", "DELETED"}}.dump()).status == 200);
  CHECK(api.all(query).size() < plain.size());
  CHECK(api.all(query + statuses) == before);
}

TEST_CASE("filters narrow a report by ids and impressions") {
  Api api;
  const auto query = sync(api) + window("2026-02-01", "2026-02-07") + kFields;
  const auto id = api.all(query)[0]["campaign_id"].get<std::string>();
  const auto rows =
      api.all(query + "&filtering=" + encoded({{{"field", "campaign.id"}, {"operator", "IN"}, {"value", {id}}}}));
  CHECK_FALSE(rows.empty());
  for (const auto& row : rows) CHECK(row["campaign_id"] == id);
  for (const auto& row :
       api.all(query +
               "&filtering=" + encoded({{{"field", "ad.impressions"}, {"operator", "GREATER_THAN"}, {"value", 5000}}})))
    CHECK(std::stoll(row["impressions"].get<std::string>()) > 5000);
}

TEST_CASE("the yen has no decimals, and cursors are encoded places") {
  Api api;
  std::string japan;
  for (const auto& account : api.accounts())
    if (account["currency"] == "JPY") japan = account["id"].get<std::string>();
  const auto page = api.get("/v26.0/" + japan + "/insights?limit=3&" + window("2026-02-01", "2026-02-07") +
                            "&fields=ad_id,spend,account_currency");
  for (const auto& row : page.json["data"]) CHECK(row["spend"].get<std::string>().find('.') == std::string::npos);
  CHECK(page.json["paging"]["cursors"] == Json{{"before", "MAZDZD"}, {"after", "MgZDZD"}});
  CHECK(sandbox::encode_cursor("72") == "NzIZD");
  for (const std::string plain : {"0", "72", "123", "1234", "AQH:1"})
    CHECK(sandbox::decode_cursor(sandbox::encode_cursor(plain)) == plain);
}

TEST_CASE("some breakdowns come empty at once and full as a report") {
  Api api;
  const auto account = api.account();
  const auto query = window("2026-02-01", "2026-02-02") + "&fields=ad_id,impressions&breakdowns=frequency_value";
  CHECK(api.all(sync(api) + query).empty());
  CHECK_FALSE(report_of(api, query, account).empty());
}

TEST_CASE("reach is left out of broken-down reports that begin more than 13 months ago") {
  Api api;
  const auto has_reach = [&](const std::string& day, const std::string& more) {
    const auto rows = api.all(sync(api) + window(day, day, "account") + "&fields=impressions,reach" + more);
    return !rows.empty() && rows[0].contains("reach");
  };
  CHECK(has_reach("2025-06-01", "&breakdowns=country"));
  CHECK_FALSE(has_reach("2025-01-15", "&breakdowns=country"));
  CHECK(has_reach("2025-01-15", ""));
}

TEST_CASE("a report takes its parameters from a form, JSON or the query, and shows what the sync call shows") {
  Api api;
  const auto account = api.account();
  const auto query = window("2026-02-01", "2026-02-03") + kFields;
  const auto expected = api.all(sync(api) + query);
  CHECK(report_of(api, query, account) == expected);
  const Json body = {
      {"level", "ad"},
      {"time_increment", 1},
      {"time_range", {{"since", "2026-02-01"}, {"until", "2026-02-03"}}},
      {"fields", {"account_id", "campaign_id", "ad_id", "impressions", "clicks", "spend", "cpc", "actions"}}};
  const auto by_json = api.post("/v26.0/" + account + "/insights", body.dump(), "application/json");
  CHECK(api.all("/v26.0/" + by_json.json["report_run_id"].get<std::string>() + "/insights?limit=100") == expected);
  const auto by_query = api.post("/v26.0/" + account + "/insights?" + query);
  CHECK(api.all("/v26.0/" + by_query.json["report_run_id"].get<std::string>() + "/insights?limit=33") == expected);
}

TEST_CASE("a report runs for a while, says 100 % before it is done, and has no results until then") {
  auto options = Api::calm();
  options.report_delay = std::chrono::milliseconds(400);
  Api api(options);
  const auto id = api.post("/v26.0/" + api.account() + "/insights", window("2026-02-01", "2026-02-01"))
                      .json["report_run_id"]
                      .get<std::string>();
  CHECK(api.get("/v26.0/" + id + "/insights").json["error"]["error_subcode"] == 1815107);
  std::set<std::string> seen;
  bool hundred_running = false;
  for (Json poll = Json::object(); poll.value("async_status", "") != "Job Completed";) {
    poll = api.get("/v26.0/" + id).json;
    seen.insert(poll["async_status"].get<std::string>());
    hundred_running |= poll["async_status"] == "Job Running" && poll["async_percent_completion"] == 100;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(seen.contains("Job Not Started"));
  CHECK(hundred_running);
  CHECK(api.get("/v26.0/" + id + "/insights").status == 200);
}

TEST_CASE("prepared rows are exact in number, keyed by ad and day, and the same when read again") {
  auto options = Api::calm();
  options.accounts = 1;
  options.rows_per_day = 30;
  Api api(options);
  const auto account = api.account();
  const auto query = window("2026-01-01", "2026-01-10") + kFields;
  const auto rows = report_of(api, query, account);
  REQUIRE(rows.size() == 300);
  std::set<std::string> keys;
  std::map<std::string, int> per_day;
  for (const auto& row : rows) {
    keys.insert(key_of(row));
    ++per_day[row["date_stop"].get<std::string>()];
  }
  CHECK(keys.size() == 300);
  CHECK(per_day.size() == 10);
  CHECK(per_day["2026-01-10"] == 30);
  api.advance("3d");
  CHECK(report_of(api, query, account) == rows);
  const auto filtered = report_of(
      api,
      query + "&filtering=" + encoded({{{"field", "ad.impressions"}, {"operator", "GREATER_THAN"}, {"value", -1}}}),
      account);
  CHECK(filtered == rows);
  Api backwards(options);
  Json days = Json::array();
  for (int day = 10; day > 0; --day) {
    const auto date = fmt::format("2026-01-{:02}", day);
    const auto read = report_of(backwards, window(date, date) + kFields, account);
    days.insert(days.begin(), read.begin(), read.end());
  }
  CHECK(days == rows);
}
