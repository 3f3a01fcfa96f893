#include <algorithm>

#include "connectors/google_ads_query.hpp"
#include "tests/connectors/google_ads_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

namespace {

std::vector<std::string> faults_of(Google& google, const std::string& yaml) {
  Faults faults;
  google.configure("query", yaml, faults);
  std::vector<std::string> texts;
  for (const auto& fault : faults) texts.push_back(fault.message);
  return texts;
}

std::string query_in(const HttpRequest& request) {
  return json::parse(request.body).value("query", "");
}

}  // namespace

TEST_CASE("google: objects are asked for without metrics and segments, which leave out what has no delivery") {
  Google google;
  for (const auto& spec : google.connector->catalogue()) {
    CAPTURE(spec.name);
    for (const auto& column : spec.columns) {
      const bool of_report = column.name.starts_with("metrics_") || column.name.starts_with("segments_");
      CHECK((spec.cursor == Cursor::date || !of_report));
    }
    CHECK(spec.columns.front().name == "customer_id");
    // Clicks without a gclid cannot be told apart: a day of them is replaced as a whole.
    CHECK(spec.mode == (spec.name == "clicks" ? LoadMode::append : LoadMode::merge));
    CHECK(spec.key.empty() == (spec.name == "clicks"));
    if (!spec.key.empty()) CHECK(spec.key.front() == "customer_id");
    if (spec.cursor != Cursor::date) continue;
    if (!spec.key.empty()) CHECK(spec.key[1] == "segments_date");
    CHECK(spec.lookback == (spec.name == "clicks" ? Duration(48h) : Duration(30 * 24h)));
    CHECK(spec.slice_days == (spec.name == "clicks" ? 1 : 0));
    // Sums over customers would mix currencies.
    const auto has = [&](const char* name) {
      return std::any_of(spec.columns.begin(), spec.columns.end(), [&](const Column& c) { return c.name == name; });
    };
    CHECK(has("customer_currency_code") == has("metrics_cost_micros"));
  }
}

TEST_CASE("google: clicks are asked for day by day, each an operation: a larger slice is refused") {
  Google google;
  Faults faults;
  google.configure("clicks", "{window: {lookback: 7d, slice: 1d}}", faults);
  google.configure("campaign_performance", "{window: {slice: 7d}}", faults);
  CHECK(faults.empty());
  google.configure("clicks", "{window: {slice: 2d}}", faults);
  google.configure("query", "{query: 'SELECT segments.date, click_view.gclid FROM click_view', window: {slice: 7d}}",
                   faults);
  REQUIRE(faults.size() == 2);
  for (const auto& fault : faults)
    CHECK_THAT(fault.message,
               Catch::Contains("click_view is asked for day by day") && Catch::Contains("leave `slice`"));
  CHECK(google.connector->estimated_requests(google.stream("clicks"), 4) == 4);
}

TEST_CASE("google: nothing is asked for that is not kept any more") {
  Google google;  // 2026-03-02
  const Partition customer("11");
  CHECK(google.connector->earliest(google.stream("campaign_performance"), customer) == Day(2023, 3, 1));
  CHECK(google.connector->earliest(google.stream("clicks"), customer) == Day(2025, 12, 4));
  CHECK_FALSE(google.connector->earliest(google.stream("campaigns"), customer));
  // Where it is tomorrow already.
  const Partition ahead("12", *load_zone("Pacific/Auckland"));
  CHECK(google.connector->earliest(google.stream("clicks"), ahead) == Day(2025, 12, 5));
}

TEST_CASE("google: changes are asked for in the customer's time, the last 30 days at most") {
  Google google;
  const auto spec = google.stream("change_events");
  Partition customer("11", *load_zone("America/New_York"));
  google.expect_token();
  google
      .expect_stream(
          "change_date_time >= '2026-03-02 04:00:00' AND change_event.change_date_time <= '2026-03-02 07:00:00'")
      .reply(200, streamed({}));
  google.read(spec, Slice::values(customer, "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z"));
  CHECK_THAT(query_in(google.http.requests().back().request),
             Catch::Contains("ORDER BY change_event.change_date_time ASC LIMIT 10000"));
  google.expect_stream(">= '2026-02-01 00:00:00'").reply(200, streamed({}));
  google.read(spec, Slice::values(customer, {}, "2026-03-02T11:00:00Z"));
  google.expect_stream(">= '2026-02-01 00:00:00'").reply(200, streamed({}));
  google.read(spec, Slice::values(customer, "2025-03-02T10:00:00Z", "2026-03-02T11:00:00Z"));
  CHECK(google.world.run(google.connector->horizon(spec, customer, google.world.clock().now())) ==
        "2026-03-02T11:50:00Z");
}

TEST_CASE("google: more changes than one answer holds are asked for from the last one on") {
  Google google;
  const auto spec = google.stream("change_events");
  const auto change = [](int i, const std::string& at) {
    return R"({"customer":{"id":"11"},"changeEvent":{"resourceName":"customers/11/changeEvents/)" + std::to_string(i) +
           R"(~0~0","changeDateTime":")" + at + "\"}}";
  };
  std::vector<std::string> many;
  for (int i = 0; i < 10'000; ++i)
    many.push_back(change(i, i < 9'999 ? "2026-03-02 01:00:00.5" : "2026-03-02 02:00:00.25"));
  google.expect_token();
  google.expect_stream().reply(200, streamed(many));
  google.expect_stream(">= '2026-03-02 02:00:00.25'")
      .reply(200, streamed({many.back(), change(10'000, "2026-03-02 02:00:01")}));
  const auto out = google.read(spec, Slice::values(Partition("11"), "2026-03-02T01:00:00Z", "2026-03-02T11:00:00Z"));
  CHECK(out.rows.size() == 10'002);

  // So many at one instant cannot be told apart.
  for (auto& one : many) one = change(1, "2026-03-02 02:00:00.25");
  google.expect_stream().reply(200, streamed(many));
  google.expect_stream(">= '2026-03-02 02:00:00.25'").reply(200, streamed(many));
  CHECK(google.failure(spec, Slice::values(Partition("11"), "2026-03-02T01:00:00Z", "2026-03-02T11:00:00Z")).remedy() ==
        Remedy::give_up);
}

TEST_CASE("google: a query of one's own is read by days where it selects segments.date") {
  Google google;
  const auto by_day = google.stream("query",
                                    "{query: 'SELECT segments.date, segments.device, campaign.id, "
                                    "metrics.cost_micros FROM campaign WHERE campaign.status = ''ENABLED'''}");
  CHECK(by_day.cursor == Cursor::date);
  CHECK(by_day.cursor_column == "segments_date");
  CHECK(by_day.columns.front().name == "customer_id");
  CHECK(by_day.columns[2].name == "segments_device");
  google.expect_token();
  google.expect_stream().reply(200, streamed({}));
  google.read(by_day, google.days("2026-03-01", 2));
  CHECK(query_in(google.http.requests().back().request) ==
        "SELECT customer.id, segments.date, segments.device, campaign.id, metrics.cost_micros FROM campaign WHERE "
        "campaign.status = 'ENABLED' AND segments.date BETWEEN '2026-03-01' AND '2026-03-02' PARAMETERS "
        "omit_unselected_resource_names=true");

  const auto whole = google.stream("query", "{query: 'select label.id from label order by label.id limit 5'}");
  CHECK(whole.cursor == Cursor::none);
  google.expect_stream("SELECT customer.id, label.id FROM label ORDER by label.id LIMIT 5 PARAMETERS")
      .reply(200, streamed({}));
  google.read(whole, Slice::whole(Partition("11")));
}

TEST_CASE("google: a query that cannot be read by days, or is none, is told") {
  Google google;
  CHECK_THAT(faults_of(google, "{query: SELECT segments.date FROM campaign WHERE segments.date DURING TODAY}").at(0),
             Catch::Contains("come from `window`"));
  CHECK_THAT(faults_of(google, "{query: SELECT segments.date FROM campaign LIMIT 5}").at(0), Catch::Contains("LIMIT"));
  CHECK_THAT(faults_of(google, "{query: DELETE FROM campaign}").at(0), Catch::Contains("SELECT"));
  CHECK_THAT(faults_of(google, "{query: SELECT * FROM campaign}").at(0), Catch::Contains("no field"));
  CHECK_THAT(faults_of(google, "{query: 'SELECT campaign.id, campaign.id FROM campaign'}").at(0),
             Catch::Contains("twice"));
  CHECK_THAT(faults_of(google, "{query: \"SELECT a.b FROM a WHERE a.b = 'x\"}").at(0), Catch::Contains("quote"));
  CHECK_THAT(faults_of(google, "{query: 'SELECT metrics.costMicros FROM campaign'}").at(0),
             Catch::Contains("\"metrics.costMicros\" is no field") && Catch::Contains("small letters"));
  Faults faults;
  google.configure("campaigns", "{query: SELECT a.b FROM a}", faults);
  REQUIRE(faults.size() == 1);
  CHECK_THAT(faults[0].message, Catch::Contains("from: campaigns"));
}

TEST_CASE("google: two fields of a query that would be one column are refused by name") {
  Google google;
  const auto says = [&](const std::string& fields) {
    return faults_of(google, "{query: 'SELECT " + fields + " FROM campaign'}").at(0);
  };
  CHECK_THAT(says("ad_group.ad.id, ad_group_ad.id"),
             Catch::Contains("ad_group.ad.id and ad_group_ad.id cannot be told apart"));
  CHECK_THAT(says("customer_id"), Catch::Contains("customer.id and customer_id cannot be told apart"));
  CHECK_THAT(says("metrics.rate_p100, metrics.rate_p_100, metrics.rate_p100_x"),
             Catch::Contains("metrics.rate_p100 and metrics.rate_p_100 cannot be told apart"));
  CHECK(google.stream("query", "{query: 'SELECT customer.id, campaign.id FROM campaign'}").columns.size() == 2);
}

TEST_CASE("google: types that nobody here knows are asked of the field metadata, once and together") {
  Google google;
  const auto spec = google.stream("query",
                                  "{query: 'SELECT campaign.id, campaign.new_money_micros, campaign.new_list, "
                                  "metrics.new_share, metrics.new_big FROM campaign'}");
  CHECK(spec.columns[2].type == DataType(Type::text));
  google.expect_token();
  google.http.expect("POST /v26/googleAdsFields:search")
      .where(Google::asks(
          "name IN ('campaign.new_money_micros', 'campaign.new_list', 'metrics.new_share', 'metrics.new_big')"))
      .reply(200, R"({"results":[{"name":"campaign.new_money_micros","dataType":"INT64"},
                                 {"name":"campaign.new_list","dataType":"STRING","isRepeated":true},
                                 {"name":"metrics.new_share","dataType":"DOUBLE"}],"nextPageToken":"x"})");
  google.http.expect("POST /v26/googleAdsFields:search")
      .reply(200, R"({"results":[{"name":"metrics.new_big","dataType":"UINT64"}]})");
  const std::map<std::string, DataType> expected{{"campaign_new_money_micros", Type::int64},
                                                 {"campaign_new_list", Type::json},
                                                 {"metrics_new_share", Type::float64},
                                                 {"metrics_new_big", Type::decimal}};
  CHECK(google.world.run(google.connector->types(spec)) == expected);
  CHECK(google.world.run(google.connector->types(spec)) == expected);
  CHECK(google.world.run(google.connector->types(google.stream("campaigns"))).empty());

  google.http.expect("POST /v26/googleAdsFields:search").reply(200, "{}");
  try {
    const auto misspelt = google.stream("query", "{query: SELECT campaign.idd FROM campaign}");
    google.world.run(google.connector->types(misspelt));
    FAIL("it did not fail");
  } catch (const Error& error) {
    CHECK(error.remedy() == Remedy::give_up);
    CHECK_THAT(error.what(), Catch::Contains("no field campaign.idd"));
  }
}

TEST_CASE("google: values of conversions are decimals, also those that nobody here knows; ratios are doubles") {
  Google google;
  const std::map<std::string, DataType> doubles{
      {"metrics.all_conversions_value_by_conversion_date", Type::decimal},
      {"metrics.cross_device_conversions_value", Type::decimal},
      {"metrics.average_cpe", Type::float64},
      {"metrics.cost_per_all_conversions", Type::float64},
      {"metrics.value_per_all_conversions", Type::float64},
  };
  std::string query = "SELECT campaign.id";
  auto results = json::array();
  std::map<std::string, DataType> expected;
  for (const auto& [field, type] : doubles) {
    query += ", " + field;
    results.push_back({{"name", field}, {"dataType", "DOUBLE"}});
    expected.emplace(google::column_of(field), type);
  }
  google.expect_token();
  google.http.expect("POST /v26/googleAdsFields:search").reply(200, json{{"results", results}}.dump());
  const auto types =
      google.world.run(google.connector->types(google.stream("query", "{query: '" + query + " FROM campaign'}")));
  CHECK(std::map<std::string, DataType>(types.begin(), types.end()) == expected);
}

TEST_CASE("google: a page that somebody else wrote, or that was cut, is asked for again") {
  Google google;
  google.expect_token();
  google.http.expect("POST /v26/googleAdsFields:search").reply(200, "<html>log in</html>");
  google.http.expect("POST /v26/googleAdsFields:search").reply(200, "");
  google.http.expect("POST /v26/googleAdsFields:search").reply(200, R"({"results":[{"name":"campaign.new_)");
  google.http.expect("POST /v26/googleAdsFields:search")
      .reply(200, R"({"results":[{"name":"campaign.new_field","dataType":"INT64"}]})");
  const auto types = google.world.run(
      google.connector->types(google.stream("query", "{query: SELECT campaign.new_field FROM campaign}")));
  CHECK(types.at("campaign_new_field") == DataType(Type::int64));
}

TEST_CASE("google: names become the API's JSON and the table's columns") {
  CHECK(google::json_path("ad_group_ad.ad.final_urls") == "adGroupAd/ad/finalUrls");
  CHECK(google::json_path("segments.product_type_l1") == "segments/productTypeL1");
  CHECK(google::json_path("metrics.video_quartile_p100_rate") == "metrics/videoQuartileP100Rate");
  CHECK(google::column_of("metrics.cost_micros") == "metrics_cost_micros");
}

TEST_CASE("google: saved answers, parts and rows are read alike") {
  Google google;
  const auto spec = google.stream("campaigns");
  CHECK(google.connector->parse(spec, "", streamed({campaign("1"), campaign("2")})).rows() == 2);
  CHECK(google.connector->parse(spec, "", chunk({campaign("1")})).rows() == 1);
  CHECK(google.connector->parse(spec, "", campaign("1")).rows() == 1);
  CHECK(google.connector->parse(spec, "", "[" + campaign("1") + "]").rows() == 1);
  CHECK_THROWS_AS(google.connector->parse(spec, "", "[" + refusal(400, "INVALID_ARGUMENT") + "]"), Error);
}
