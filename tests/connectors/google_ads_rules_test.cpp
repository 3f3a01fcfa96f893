#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <list>
#include <memory>

#include "tests/connectors/google_ads_fixture.hpp"
#include "tests/support/base64.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

// Rules of the Google Ads API whose breach gives wrong or no data; each has its test here.

namespace {

Slice whole_customer(const char* customer = "11") {
  return Slice::whole(Partition(customer));
}

}  // namespace

TEST_CASE("google: one access token serves all slices, and is renewed once before it ends") {
  Google google;
  const auto spec = google.stream("campaigns");
  int tokens = 0;
  google.http.latency(2s);
  google.http.answer_with([&](const HttpRequest& request) {
    if (path_of(request) != "/token") return HttpResponse(200, {}, streamed({campaign("1")}));
    return HttpResponse(200, {}, R"({"access_token":"t)" + std::to_string(++tokens) + R"(","expires_in":3599})");
  });
  const auto read_four = [&]() -> task<void> {
    TaskGroup group(google.world.executor());
    std::list<KeptOutput> outs;
    const auto slice = whole_customer();
    for (int i = 0; i < 4; ++i) group.spawn(google.connector->read(spec, slice, outs.emplace_back(spec)));
    co_await group.join();
  };
  google.world.run(read_four());
  CHECK(tokens == 1);
  google.world.run(google.world.clock().sleep_for(3540s));
  google.world.run(read_four());
  CHECK(tokens == 2);
  CHECK(header(google.http.requests().back().request, "authorization") == "Bearer t2");
}

TEST_CASE("google: a refused access token is renewed once, a refresh token that ended needs a person") {
  Google google;
  const auto spec = google.stream("campaigns");
  google.expect_token("canary-one");
  google.expect_stream().reply(
      401, "[" + refusal(401, "UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_EXPIRED") + "]");
  google.expect_token("canary-two");
  google.expect_stream().with_header("authorization", "Bearer canary-two").reply(200, streamed({campaign("1")}));
  CHECK(google.read(spec, whole_customer()).rows.size() == 1);

  Google revoked;
  revoked.http.expect("POST /token")
      .reply(400, R"({"error":"invalid_grant","error_description":"Token has been expired or revoked."})");
  const auto error = revoked.failure(revoked.stream("campaigns"), whole_customer());
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("invalid_grant") && Catch::Contains("refresh token"));

  Google trouble;
  trouble.http.expect("POST /token").reply(503, "later").times(2);
  trouble.expect_token();
  trouble.expect_stream().reply(200, streamed({}));
  trouble.read(trouble.stream("campaigns"), whole_customer());

  Google nobody;
  nobody.expect_token();
  nobody.expect_stream().reply(401, refusal(401, "UNAUTHENTICATED", "authenticationError", "NOT_ADS_USER"));
  CHECK_THAT(nobody.failure(nobody.stream("campaigns"), whole_customer()).what(), Catch::Contains("add it there"));
}

TEST_CASE("google: credentials that are not whole, or stand twice, are told before anything is asked") {
  CHECK_THROWS_WITH(Google("", "client_id: a\n"),
                    Catch::Contains("client_secret is missing") && Catch::Contains("service_account"));
  CHECK_THROWS_WITH(Google("customers: []"), Catch::Contains("it is empty"));
  CHECK_THROWS_WITH(Google("customers: [\"1-1\", \"11\"]"), Catch::Contains("twice"));
  CHECK_THROWS_WITH(Google("customers: [eleven]"), Catch::Contains("no customer"));
  CHECK_THROWS_WITH(Google("service_account: {env: SLUICE_TEST_GOOGLE_SECRET}"), Catch::Contains("one or the other"));
}

TEST_CASE("google: the developer token is sent only where it is given, login-customer-id without hyphens") {
  Google plain;
  plain.expect_token();
  plain.expect_stream()
      .where([](const HttpRequest& request) {
        return !header(request, "developer-token") && !header(request, "login-customer-id");
      })
      .reply(200, streamed({}));
  plain.read(plain.stream("campaigns"), whole_customer());

  Google all("login_customer_id: 111-222-3333\ndeveloper_token: {env: SLUICE_TEST_GOOGLE_DEVELOPER}");
  all.expect_token();
  all.expect_stream()
      .with_header("developer-token", "canary-developer")
      .with_header("login-customer-id", "1112223333")
      .reply(200, streamed({}));
  all.read(all.stream("campaigns"), whole_customer());
}

TEST_CASE("google: rows are had as they come, whatever the pieces; 64-bit numbers are exact; no results are no rows") {
  Google google;
  google.http.piece_size(7);
  google.expect_token();
  google.expect_stream("BETWEEN '2026-03-01' AND '2026-03-02'")
      .reply(200, "[" +
                      chunk({delivered("2026-03-01", "9007199254740993",
                                       R"("costMicros":"9007199254740993","conversions":0)")}) +
                      "\r\n,\r\n" + chunk({delivered("2026-03-02", "2", R"("clicks":"0","averageCpc":70000.5)")}) +
                      "\r\n]");
  const auto out = google.read(google.stream("campaign_performance"), google.days("2026-03-01", 2));
  CHECK(out.column("campaign_id") == std::vector<std::string>{"9007199254740993", "2"});
  CHECK(out.column("metrics_cost_micros") == std::vector<std::string>{"9007199254740993", "-"});
  CHECK(out.column("metrics_conversions") == std::vector<std::string>{"0", "-"});
  CHECK(out.column("metrics_clicks") == std::vector<std::string>{"-", "0"});  // an explicit zero is one
  CHECK(out.column("customer_id") == std::vector<std::string>{"11", "11"});
  CHECK(out.column("segments_date") == std::vector<std::string>{"2026-03-01", "2026-03-02"});

  Google empty;
  empty.expect_token();
  empty.expect_stream().reply(200, R"([{"fieldMask":"campaign.id","requestId":"r","queryResourceConsumption":"949"}])");
  CHECK(empty.read(empty.stream("campaigns"), whole_customer()).rows.empty());
}

TEST_CASE("google: an answer without its closing bracket is truncated; a window that breaks off twice is halved") {
  Google google;
  const auto spec = google.stream("campaign_performance");
  const auto row = delivered("2026-03-01", "1", R"("clicks":"1")");
  google.expect_token();
  const auto whole_answer = streamed({row});
  google.expect_stream("'2026-03-01' AND '2026-03-04'").reply(200, whole_answer.substr(0, whole_answer.size() - 1));
  CHECK(google.failure(spec, google.days("2026-03-01", 4)).remedy() == Remedy::retry);
  google.expect_stream("'2026-03-01' AND '2026-03-04'").reply(200, whole_answer).cut_after(whole_answer.size() - 9);
  CHECK(google.failure(spec, google.days("2026-03-01", 4)).remedy() == Remedy::retry);
  google.expect_stream("'2026-03-01' AND '2026-03-02'").reply(200, whole_answer);
  google.expect_stream("'2026-03-03' AND '2026-03-04'").reply(200, streamed({}));
  CHECK(google.read(spec, google.days("2026-03-01", 4)).rows.size() == 1);
}

TEST_CASE("google: a window that the API does not begin to answer is halved, down to single days") {
  Google google("customers: [\"11\"]\nretry: {attempts: 2}");
  const auto spec = google.stream("campaign_performance");
  const auto fails = [&] { return google.failure(spec, google.days("2026-03-01", 4)).remedy() == Remedy::retry; };
  google.expect_token();
  google.expect_stream("'2026-03-01' AND '2026-03-04'")
      .reply(504, "[" + refusal(504, "DEADLINE_EXCEEDED") + "]")
      .times(4);
  CHECK(fails());
  CHECK(fails());
  google.expect_stream("'2026-03-01' AND '2026-03-02'").hang().times(2);
  CHECK(fails());
  google.expect_stream("'2026-03-01' AND '2026-03-01'").reply(200, streamed({delivered("2026-03-01", "1", "")}));
  google.expect_stream("'2026-03-02' AND '2026-03-02'").reply(200, streamed({}));
  google.expect_stream("'2026-03-03' AND '2026-03-04'").reply(200, streamed({}));
  CHECK(google.read(spec, google.days("2026-03-01", 4)).rows.size() == 1);

  // It may have been an outage: some hours later it is one query again.
  google.world.run(google.world.clock().sleep_for(7h));
  google.expect_token();
  google.expect_stream("'2026-03-01' AND '2026-03-04'").reply(200, streamed({}));
  google.read(spec, google.days("2026-03-01", 4));

  // What a person has to mend is not mended by asking for less.
  Google refused;
  refused.expect_token();
  refused.expect_stream("'2026-03-01' AND '2026-03-04'")
      .reply(400, "[" + refusal(400, "INVALID_ARGUMENT", "queryError", "UNRECOGNIZED_FIELD") + "]")
      .times(2);
  for (int i = 0; i < 2; ++i)
    CHECK(refused.failure(refused.stream("campaign_performance"), refused.days("2026-03-01", 4)).remedy() ==
          Remedy::give_up);
}

TEST_CASE("google: however long it takes to fail, a window is halved until the API answers") {
  Google google("customers: [\"11\"]\nretry: {attempts: 1}");
  google.http.answer_with([](const HttpRequest& request) {
    if (path_of(request) == "/token") return HttpResponse(200, {}, R"({"access_token":"t","expires_in":3599})");
    const auto days = request.body.substr(request.body.find("BETWEEN '") + 9);
    const bool one = days.substr(0, 10) == days.substr(days.find("AND '") + 5, 10);
    if (!one) return HttpResponse(504, {}, "[" + refusal(504, "DEADLINE_EXCEEDED") + "]");
    return HttpResponse(200, {}, streamed({delivered(days.substr(0, 10), "1", "")}));
  });
  const auto spec = google.stream("campaign_performance");
  int failures = 0;
  std::size_t rows = 0;
  while (rows == 0 && failures < 50) {
    KeptOutput out(spec);
    try {
      google.world.run(google.connector->read(spec, google.days("2026-03-01", 16), out));
      rows = out.rows.size();
    } catch (const Error&) {
      ++failures;
      google.world.run(google.world.clock().sleep_for(50min));
    }
  }
  CHECK(rows == 16);
  CHECK(failures == 16);  // twice the whole, once each of the fourteen halves of more than a day
}

TEST_CASE("google: an error in the middle of the rows fails the slice") {
  Google google;
  google.expect_token();
  google.expect_stream().reply(
      200, "[" + chunk({campaign("1")}) + "," + refusal(500, "INTERNAL", "internalError", "INTERNAL_ERROR") + "]");
  const auto error = google.failure(google.stream("campaigns"), whole_customer());
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("in the middle of its rows") && Catch::Contains("INTERNAL_ERROR"));
  google.expect_stream().reply(200, "[" + refusal(400, "INVALID_ARGUMENT", "queryError", "UNRECOGNIZED_FIELD") + "]");
  CHECK(google.failure(google.stream("campaigns"), whole_customer()).remedy() == Remedy::give_up);
}

TEST_CASE("google: what is not an answer of the API is no empty window") {
  for (const auto* foreign : {R"({"message":"log in"})", "[{}]", R"([{"results":[]},{"error":{"code":500,}}])"}) {
    CAPTURE(foreign);
    Google google;
    google.expect_token();
    google.expect_stream().reply(200, foreign);
    CHECK(google.failure(google.stream("campaigns"), whole_customer()).remedy() == Remedy::retry);
  }
  Google pages("customers: [\"11\"]\nmethod: search");
  pages.expect_token();
  pages.expect_search().reply(200, R"({"message":"log in"})");
  const auto error = pages.failure(pages.stream("campaigns"), whole_customer());
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("check base_url"));
}

TEST_CASE("google: a throttle in the middle of the rows is a failure, which ends, and not a wait, which does not") {
  Google google;
  google.expect_token();
  google.expect_stream().reply(200, "[" + chunk({campaign("1")}) + "," + refusal(429, "RESOURCE_EXHAUSTED") + "]");
  CHECK(google.failure(google.stream("campaigns"), whole_customer()).remedy() == Remedy::retry);
}

TEST_CASE("google: an error document is understood bare and in an array, with the request's id") {
  const auto document = refusal(400, "INVALID_ARGUMENT", "queryError", "UNRECOGNIZED_FIELD");
  for (const auto& body : {document, "[" + document + "]"}) {
    Google google;
    google.expect_token();
    google.expect_stream().reply(400, body);
    const auto error = google.failure(google.stream("campaigns"), whole_customer());
    CHECK(error.remedy() == Remedy::give_up);
    CHECK_THAT(error.what(), Catch::Contains("queryError.UNRECOGNIZED_FIELD") && Catch::Contains("req-7") &&
                                 Catch::Contains("check the stream's query"));
  }
  // Without Google's own details, with others, and without any.
  Google other;
  other.expect_token();
  other.expect_stream().reply(403, R"([{"error":{"code":403,"status":"PERMISSION_DENIED","message":"off","details":[
      {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}}])");
  CHECK_THAT(other.failure(other.stream("campaigns"), whole_customer()).what(),
             Catch::Contains("SERVICE_DISABLED") && Catch::Contains("enabled"));
  other.expect_stream().reply(502, "<html>Bad gateway</html>");
  other.expect_stream().reply(200, streamed({}));
  other.read(other.stream("campaigns"), whole_customer());
}

TEST_CASE("google: a 403 is never ignored") {
  for (const std::string why : {"CUSTOMER_NOT_ENABLED", "USER_PERMISSION_DENIED", "SOMETHING_NEW"}) {
    CAPTURE(why);
    Google google;
    google.expect_token();
    google.expect_stream().reply(403, "[" + refusal(403, "PERMISSION_DENIED", "authorizationError", why) + "]");
    const auto error = google.failure(google.stream("campaigns"), whole_customer());
    CHECK(error.remedy() == (why == "SOMETHING_NEW" ? Remedy::give_up : Remedy::give_up_partition));
    CHECK_THAT(error.what(), Catch::Contains(why));
  }
}

TEST_CASE("google: a refusal that a person has to mend says how") {
  struct Case {
    std::string kind, value, advice;
  };
  const auto all =
      std::vector<Case>{{"authenticationError", "TWO_STEP_VERIFICATION_NOT_ENROLLED", "turn on two-step verification"},
                        {"authenticationError", "ADVANCED_PROTECTION_NOT_ENROLLED", "Advanced Protection"},
                        {"authenticationError", "ORGANIZATION_NOT_APPROVED", "Google Cloud console"},
                        {"authenticationError", "SOMETHING_NEW", "log in again"},
                        {"authorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", "Google Cloud console"},
                        {"authorizationError", "DEVELOPER_TOKEN_PROHIBITED", "Google Cloud console"},
                        {"quotaError", "ACCESS_PROHIBITED", "Google Cloud console"},
                        {"headerError", "INVALID_LOGIN_CUSTOMER_ID", "login_customer_id"},
                        {"queryError", "PROHIBITED_SEGMENT_IN_SELECT_OR_WHERE_CLAUSE", "check the stream's query"},
                        {"dateRangeError", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED", "37 months"},
                        {"clickViewError", "DATE_TOO_OLD", "90 days"}};
  for (const auto& of : all) {
    CAPTURE(of.kind, of.value);
    Google google;
    google.expect_token();
    google.expect_stream().reply(400, "[" + refusal(400, "INVALID_ARGUMENT", of.kind, of.value) + "]");
    const auto error = google.failure(google.stream("campaigns"), whole_customer());
    CHECK(error.remedy() == Remedy::give_up);
    CHECK_THAT(error.what(), Catch::Contains(of.value) && Catch::Contains(of.advice));
  }
}

TEST_CASE("google: an answer that brings nothing for five minutes is asked for again") {
  Google google;
  google.expect_token();
  google.expect_stream().hang();
  google.expect_stream().reply(200, streamed({campaign("1")}));
  CHECK(google.read(google.stream("campaigns"), whole_customer()).rows.size() == 1);
  CHECK(google.http.requests()[2].at - google.http.requests()[1].at >= 5min);
}

TEST_CASE("google: the end of a version is recognised in all its stages, and those that are alive are named") {
  for (const auto& [status, body] : std::vector<std::pair<int, std::string>>{
           {400, "[" + refusal(400, "INVALID_ARGUMENT", "requestError", "UNSUPPORTED_VERSION") + "]"},
           {404, refusal(404, "NOT_FOUND")},
           {404, "<html>not found</html>"}}) {
    CAPTURE(status, body);
    Google google("api_version: v21");
    google.http.answer_with([status = status, body = body](const HttpRequest& request) {
      const auto path = path_of(request);
      if (path == "/token") return HttpResponse(200, {}, R"({"access_token":"t","expires_in":3599})");
      // Who does not say who he is learns of the end only when the version is gone altogether.
      const bool asked = header(request, "authorization").has_value() || status == 404;
      if (path.starts_with("/v21/")) return HttpResponse(asked ? status : 401, {}, asked ? body : "");
      return HttpResponse(path.starts_with("/v26/") || path.starts_with("/v25/") ? 401 : 404, {}, "");
    });
    for (int i = 0; i < 2; ++i) {
      const auto error = google.failure(google.stream("campaigns"), whole_customer());
      CHECK(error.remedy() == Remedy::give_up);
      CHECK_THAT(error.what(), Catch::Contains("version v21") && Catch::Contains("api_version") &&
                                   Catch::Contains("these answer: v26, v25"));
    }
    // Which are alive is asked once.
    CHECK(google.http.requests().size() == 1 + 2 + 5);
    const auto findings = google.world.run(google.connector->check());
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].level == Finding::Level::error);
    CHECK_THAT(findings[0].message, Catch::Contains("version v21") && Catch::Contains("these answer: v26, v25"));
  }
  Google dying("retry: {attempts: 1}");
  dying.expect_token();
  dying.expect_stream().reply(500, "[" + refusal(500, "INTERNAL") + "]");
  CHECK_THAT(dying.failure(dying.stream("campaigns"), whole_customer()).what(),
             Catch::Contains("version of the API that has ended"));

  // A customer that is not there is no version that is not there.
  Google nobody;
  nobody.expect_token();
  nobody.expect_stream().reply(404, "[" + refusal(404, "NOT_FOUND", "authenticationError", "CUSTOMER_NOT_FOUND") + "]");
  CHECK_THAT(nobody.failure(nobody.stream("campaigns"), whole_customer()).what(), !Catch::Contains("api_version"));
}

TEST_CASE("google: pages are asked for with the same query, and a page token that ended starts the slice again") {
  Google google("method: search");
  const auto spec = google.stream("campaigns");
  google.expect_token();
  const auto body_of = [](std::size_t i, const Google& g) { return json::parse(g.http.requests()[i].request.body); };
  google.expect_search().reply(200, R"({"results":[)" + campaign("1") + R"(],"nextPageToken":"p2"})");
  google.expect_search().reply(200, R"({"results":[)" + campaign("2") + R"(],"fieldMask":"x"})");
  CHECK(google.read(spec, whole_customer()).column("campaign_id") == std::vector<std::string>{"1", "2"});
  CHECK(body_of(2, google)["pageToken"] == "p2");
  CHECK(body_of(1, google)["query"] == body_of(2, google)["query"]);
  CHECK_FALSE(body_of(1, google).contains("pageSize"));

  for (const auto* stale : {"EXPIRED_PAGE_TOKEN", "INVALID_PAGE_TOKEN"}) {
    google.expect_search().reply(200, R"({"results":[)" + campaign("1") + R"(],"nextPageToken":"p2"})");
    google.expect_search().reply(400, refusal(400, "INVALID_ARGUMENT", "requestError", stale));
    CHECK(google.failure(spec, whole_customer()).remedy() == Remedy::retry);
  }
  google.expect_search().reply(200, R"({"results":[],"nextPageToken":"p2"})").times(2);
  CHECK(google.failure(spec, whole_customer()).remedy() == Remedy::retry);
  google.expect_search().reply(200, R"({"fieldMask":"x","metricAttributes":[{"name":"m"}],"somethingNew":1})");
  CHECK(google.read(spec, whole_customer()).rows.empty());
}

TEST_CASE("google: a service account signs in with its key, where the key says") {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_RSA_gen(2048), &EVP_PKEY_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* pem = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &pem);
  const json file{{"client_email", "etl@project.test"},
                  {"private_key", std::string(pem, static_cast<std::size_t>(size))},
                  {"token_uri", "https://auth.test/elsewhere"}};
  ::setenv("SLUICE_TEST_GOOGLE_ACCOUNT", file.dump().c_str(), 1);
  Google google("customers: [\"11\"]", "service_account: {env: SLUICE_TEST_GOOGLE_ACCOUNT}\n");
  google.http.expect("POST /elsewhere")
      .with("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
      .where([](const HttpRequest& request) { return parameter(request, "assertion").value_or("").size() > 300; })
      .reply(200, R"({"access_token":"of-the-account","expires_in":3599})");
  google.expect_stream().with_header("authorization", "Bearer of-the-account").reply(200, streamed({campaign("1")}));
  CHECK(google.read(google.stream("campaigns"), whole_customer()).rows.size() == 1);

  // For a user of the domain.
  Google acting("customers: [\"11\"]\nimpersonated_email: ads@shop.test",
                "service_account: {env: SLUICE_TEST_GOOGLE_ACCOUNT}\n");
  acting.http.expect("POST /elsewhere")
      .where([](const HttpRequest& request) {
        const auto assertion = parameter(request, "assertion").value_or("");
        const auto claims = assertion.substr(assertion.find('.') + 1);
        return from_base64url(claims.substr(0, claims.find('.'))).find(R"("sub":"ads@shop.test")") != std::string::npos;
      })
      .reply(200, R"({"access_token":"of-the-user","expires_in":3599})");
  acting.expect_stream().with_header("authorization", "Bearer of-the-user").reply(200, streamed({}));
  acting.read(acting.stream("campaigns"), whole_customer());
  CHECK_THROWS_WITH(Google("impersonated_email: ads@shop.test"), Catch::Contains("goes with service_account alone"));
}

TEST_CASE("google: averages and shares are the API's own doubles, money is whole micros and exact decimals") {
  Google google;
  const auto spec = google.stream(
      "query",
      "{query: 'SELECT campaign.id, metrics.average_cpc, metrics.search_impression_share, metrics.cost_micros, "
      "metrics.conversions_value FROM campaign'}");
  google.expect_token();
  google.expect_stream().reply(200,
                               streamed({delivered("2026-03-01", "1",
                                                   R"("averageCpc":66666.66666666667,"searchImpressionShare":0.0999,)"
                                                   R"("costMicros":"70001","conversionsValue":1234567890.123456)")}));
  const auto out = google.read(spec, whole_customer());
  CHECK(out.column("metrics_average_cpc") == std::vector<std::string>{"66666.66666666667"});
  CHECK(out.column("metrics_search_impression_share") == std::vector<std::string>{"0.0999"});
  CHECK(out.column("metrics_cost_micros") == std::vector<std::string>{"70001"});
  CHECK(out.column("metrics_conversions_value") == std::vector<std::string>{"1234567890.123456"});
}

TEST_CASE("google: a number that is none is NULL, and its row is loaded") {
  Google google;
  const auto spec = google.stream(
      "query", "{query: 'SELECT campaign.id, metrics.ctr, metrics.conversions_value, metrics.clicks FROM campaign'}");
  google.expect_token();
  google.expect_stream().reply(
      200, streamed({delivered("2026-03-01", "1", R"("ctr":"NaN","conversionsValue":"-Infinity","clicks":"3")")}));
  const auto out = google.read(spec, whole_customer());
  CHECK(out.rejects.empty());
  CHECK(out.column("metrics_ctr") == std::vector<std::string>{"-"});
  CHECK(out.column("metrics_conversions_value") == std::vector<std::string>{"-"});
  CHECK(out.column("metrics_clicks") == std::vector<std::string>{"3"});
}

TEST_CASE("google: what comes unasked is no new field, what the API leaves out for zero is zero") {
  Google google;
  const auto spec =
      google.stream("query",
                    "{query: 'SELECT campaign.id, metrics.sk_ad_network_installs, "
                    "campaign.missing_eu_political_advertising_declaration, metrics.clicks FROM campaign'}");
  google.expect_token();
  google.expect_stream().reply(200, streamed({campaign("1")}));
  KeptOutput out(spec);
  auto strict = spec;
  strict.new_fields = NewFields::fail;
  google.world.run(google.connector->read(strict, whole_customer(), out));
  CHECK(out.column("metrics_sk_ad_network_installs") == std::vector<std::string>{"0"});
  CHECK(out.column("campaign_missing_eu_political_advertising_declaration") == std::vector<std::string>{"0"});
  CHECK(out.column("metrics_clicks") == std::vector<std::string>{"-"});
}

TEST_CASE("google: a value that is newer than the program is kept as text") {
  Google google;
  google.expect_token();
  google.expect_stream().reply(200, streamed({campaign("1", R"(,"status":"SOMETHING_NEW")")}));
  CHECK(google.read(google.stream("campaigns"), whole_customer()).column("campaign_status") ==
        std::vector<std::string>{"SOMETHING_NEW"});
}
