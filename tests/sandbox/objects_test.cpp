#include <catch2/catch.hpp>

#include "tests/sandbox/client.hpp"

using namespace sluice;
using namespace sluice::test;

namespace {

const Json kEveryStatus = {"ACTIVE",      "ADSET_PAUSED",         "ARCHIVED",       "CAMPAIGN_PAUSED",
                           "DELETED",     "DISAPPROVED",          "IN_PROCESS",     "PAUSED",
                           "WITH_ISSUES", "PENDING_BILLING_INFO", "PENDING_REVIEW", "PREAPPROVED"};

std::string filtering(const Json& filters) {
  return "&filtering=" + encoded(filters);
}

}  // namespace

TEST_CASE("accounts differ in zone, currency and status") {
  Api api;
  const auto accounts = api.accounts();
  REQUIRE(accounts.size() == 5);
  std::map<std::string, std::string> zones;
  for (const auto& account : accounts) zones[account["currency"]] = account["timezone_name"];
  CHECK(zones["EUR"] == "Europe/Berlin");
  CHECK(zones["USD"] == "America/Los_Angeles");
  CHECK(zones["JPY"] == "Asia/Tokyo");
  CHECK(zones["INR"] == "Asia/Kolkata");
  const auto disabled =
      std::count_if(accounts.begin(), accounts.end(), [](const Json& a) { return a["account_status"] == 2; });
  CHECK(disabled == 1);
}

TEST_CASE("an account is read by its id, without fields only its ids") {
  Api api;
  const auto id = api.account();
  const auto bare = api.get("/v26.0/" + id);
  CHECK(bare.json == Json{{"account_id", id.substr(4)}, {"id", id}});
  const auto named = api.get("/v26.0/" + id + "?fields=currency,created_time,spend_cap,tax_id");
  CHECK(named.json["currency"] == "EUR");
  CHECK(parse_instant(named.json["created_time"].get<std::string>()));
  CHECK(named.json["spend_cap"] == "0");
  CHECK_FALSE(named.json.contains("tax_id"));
}

TEST_CASE("pages hold 25 and point to the next; the last one has a cursor and no next") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/ads?fields=id" +
                    filtering({{{"field", "ad.effective_status"}, {"operator", "IN"}, {"value", kEveryStatus}}});
  const auto first = api.get(edge);
  REQUIRE(first.json["data"].size() == 25);
  const auto next = first.json["paging"]["next"].get<std::string>();
  CHECK(next.starts_with(api.url() + "/v26.0/act_"));
  const auto last = api.get(next.substr(api.url().size()));
  CHECK(last.json["data"].size() == 15);
  CHECK(last.json["paging"]["cursors"].contains("after"));
  CHECK_FALSE(last.json["paging"].contains("next"));
  std::set<std::string> ids;
  for (const auto& ad : api.all(edge + "&limit=7")) ids.insert(ad["id"].get<std::string>());
  CHECK(ids.size() == 40);
  CHECK(std::stoll(*ids.begin()) > (std::int64_t{1} << 53));
}

TEST_CASE("a cursor that was never given out is refused, an empty answer has no paging") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/campaigns?fields=id";
  CHECK(api.get(edge + "&after=QVFInonsense").json["error"]["code"] == 2642);
  const auto none = api.get(edge + filtering({{{"field", "campaign.id"}, {"operator", "IN"}, {"value", {"1"}}}}));
  CHECK(none.json == Json{{"data", Json::array()}});
}

TEST_CASE("an unfiltered call leaves out archived and deleted objects, the full list of statuses brings them back") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/ads?limit=100&fields=effective_status";
  std::set<std::string> seen;
  for (const auto& ad : api.all(edge)) seen.insert(ad["effective_status"].get<std::string>());
  CHECK_FALSE(seen.contains("ARCHIVED"));
  CHECK_FALSE(seen.contains("DELETED"));
  const auto whole =
      api.all(edge + filtering({{{"field", "ad.effective_status"}, {"operator", "IN"}, {"value", kEveryStatus}}}));
  for (const auto& ad : whole) seen.insert(ad["effective_status"].get<std::string>());
  CHECK(whole.size() == 40);
  CHECK(seen.contains("ARCHIVED"));
  CHECK(seen.contains("DELETED"));
  CHECK(api.all(edge + "&effective_status=" + encoded(kEveryStatus)).size() == 40);
  const Json odd = {"ACTIVE", "REMOVED"};
  for (const auto& query : {filtering({{{"field", "ad.effective_status"}, {"operator", "IN"}, {"value", odd}}}),
                            "&effective_status=" + encoded(odd)})
    CHECK(api.get(edge + query).json["error"]["code"] == 100);
}

TEST_CASE("a filter may list thousands of ids, in the query") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/ads?fields=id";
  const auto id = api.all(edge)[0]["id"].get<std::string>();
  Json ids = Json::array({id});
  for (int i = 0; i < 1500; ++i) ids.push_back("120299990000000000");
  CHECK(api.all(edge + filtering({{{"field", "ad.id"}, {"operator", "IN"}, {"value", ids}}})).size() == 1);
}

TEST_CASE("updated_time filters, with GREATER_THAN and LESS_THAN and nothing else") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/adsets?limit=100&fields=updated_time";
  const auto everything = api.all(edge);
  const auto bound = *parse_instant("2026-02-15T00:00:00Z");
  const auto at = std::to_string(sandbox::unix_seconds(bound));
  const auto newer = api.all(
      edge + filtering({{{"field", "adset.updated_time"}, {"operator", "GREATER_THAN"}, {"value", std::stoll(at)}}}));
  const auto older =
      api.all(edge + filtering({{{"field", "adset.updated_time"}, {"operator", "LESS_THAN"}, {"value", at}}}));
  CHECK_FALSE(newer.empty());
  CHECK_FALSE(older.empty());
  CHECK(newer.size() + older.size() == everything.size());
  for (const auto& adset : newer) CHECK(*parse_instant(adset["updated_time"].get<std::string>()) > bound);
  const auto refused = api.get(
      edge + filtering({{{"field", "adset.updated_time"}, {"operator", "GREATER_THAN_OR_EQUAL"}, {"value", 1}}}));
  CHECK(refused.json["error"]["code"] == 100);
  const auto creatives = "/v26.0/" + api.account() + "/adcreatives?fields=id";
  const Json by_ad = {{{"field", "ad.id"}, {"operator", "IN"}, {"value", {"1"}}}};
  CHECK(api.get(creatives + filtering(by_ad)).json["error"]["code"] == 100);
}

TEST_CASE("objects are edited as time goes by") {
  Api api;
  const auto edge = "/v26.0/" + api.account() + "/campaigns?limit=100&fields=updated_time,daily_budget";
  const auto before = api.all(edge);
  api.advance("70d");
  const auto after = api.all(edge);
  CHECK(before != after);
  CHECK(std::any_of(after.begin(), after.end(),
                    [](const Json& c) { return c.contains("daily_budget") && c["daily_budget"].is_string(); }));
}

TEST_CASE("money is minor units in strings, times have a numeric offset, unset fields are absent") {
  Api api;
  bool with_budget = false;
  bool without = false;
  for (const auto& campaign :
       api.all("/v26.0/" + api.account() + "/campaigns?fields=daily_budget,created_time,stop_time")) {
    (campaign.contains("daily_budget") ? with_budget : without) = true;
    CHECK_FALSE(campaign.contains("stop_time"));
    const auto created = campaign["created_time"].get<std::string>();
    CHECK((created.ends_with("+0100") || created.ends_with("+0200")));
  }
  CHECK(with_budget);
  CHECK(without);
}

TEST_CASE("names hold emoji and are long, and come escaped") {
  Api api;
  const auto page = api.get("/v26.0/" + api.account() + "/ads?limit=100&fields=name");
  CHECK(std::all_of(page.body.begin(), page.body.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
  bool emoji = false;
  std::size_t longest = 0;
  for (const auto& ad : page.json["data"]) {
    const auto name = ad["name"].get<std::string>();
    emoji = emoji || name.find("\xf0\x9f") != std::string::npos;
    longest = std::max(longest, name.size());
  }
  CHECK(emoji);
  CHECK(longest > 300);
}

TEST_CASE("a field that does not exist is an error, one that is unset is not") {
  Api api;
  const auto bad = api.get("/v26.0/" + api.account() + "/ads?fields=id,nonsense");
  CHECK(bad.status == 400);
  CHECK(bad.json["error"]["code"] == 100);
  CHECK(bad.json["error"]["message"].get<std::string>().find("nonexisting field (nonsense)") != std::string::npos);
  CHECK(api.get("/v26.0/" + api.account() + "/ads?fields=id,review_feedback").status == 200);
}

TEST_CASE("a creative is expanded within its ad, and read by fifty at once") {
  Api api;
  const auto ads =
      api.get("/v26.0/" + api.account() + "/ads?fields=creative%7Bid,name,object_story_spec%7D,tracking_specs");
  const auto& ad = ads.json["data"][0];
  CHECK(ad["creative"]["object_story_spec"]["link_data"]["call_to_action"]["type"] == "SHOP_NOW");
  CHECK(ad["tracking_specs"][0].contains("action.type"));
  const auto id = ad["creative"]["id"].get<std::string>();
  const auto other = ads.json["data"][1]["creative"]["id"].get<std::string>();
  const auto both = api.get("/v26.0/?ids=" + id + "," + other + "&fields=id,name,call_to_action_type");
  CHECK(both.json[id]["name"] == ad["creative"]["name"]);
  CHECK(both.json[other]["call_to_action_type"] == "SHOP_NOW");
  CHECK_FALSE(both.json.contains("data"));
  CHECK(api.get("/v26.0/?ids=" + id + ",12345").json["error"]["code"] == 803);
  std::string many = id;
  for (int i = 0; i < 50; ++i) many += "," + id;
  CHECK(api.get("/v26.0/?ids=" + many).json["error"]["code"] == 100);
  CHECK(api.all("/v26.0/" + api.account() + "/adcreatives?fields=id,object_story_spec").size() == 30);
}

TEST_CASE("the same seed gives the same data, another seed another") {
  auto options = Api::calm();
  Api one(options);
  Api two(options);
  const auto edge = "/ads?limit=100&fields=name,updated_time,status";
  CHECK(one.all("/v26.0/" + one.account() + edge) == two.all("/v26.0/" + two.account() + edge));
  options.seed = 2;
  Api other(options);
  CHECK(one.account() != other.account());
}
