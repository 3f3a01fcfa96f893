#pragma once
#include "connectors/google_ads.hpp"
#include "tests/connectors/connector_fixture.hpp"

namespace sluice::test {

// At its end the script must have been followed.
struct Google : ConnectorBench {
  static constexpr const char* refresh_token = "canary-refresh";
  static constexpr const char* access_token = "ya29.canary-access";

  static std::string refresh() {
    return "client_id: id.apps.test\nclient_secret: {env: SLUICE_TEST_GOOGLE_SECRET}\n"
           "refresh_token: {env: SLUICE_TEST_GOOGLE_REFRESH}\n";
  }

  explicit Google(const std::string& more = "customers: [\"11\"]", const std::string& credential = refresh())
      : ConnectorBench(google_ads(), "google", with_secrets(credential + more + "\n")) {}
  ~Google() {
    INFO(http.report());
    CHECK(http.everything_seen());
  }

  Expectation& expect_token(const std::string& token = access_token, int seconds = 3599) {
    return http.expect("POST /token")
        .with("refresh_token", refresh_token)
        .reply(200, json({{"access_token", token}, {"expires_in", seconds}, {"token_type", "Bearer"}}).dump());
  }
  // A query of the customer, whose text has `part`.
  Expectation& expect_stream(const std::string& part = {}, const std::string& customer = "11") {
    return http.expect("POST /v26/customers/" + customer + "/googleAds:searchStream").where(asks(part));
  }
  Expectation& expect_search(const std::string& part = {}, const std::string& customer = "11") {
    return http.expect("POST /v26/customers/" + customer + "/googleAds:search").where(asks(part));
  }
  static std::function<bool(const HttpRequest&)> asks(const std::string& part) {
    return [part](const HttpRequest& request) {
      const auto body = json::parse(request.body, nullptr, false);
      return body.is_object() && body.value("query", "").find(part) != std::string::npos;
    };
  }

  static Slice days(const char* from, int count = 1, const std::string& customer = "11") {
    return Slice::days(Partition(customer), *parse_day(from), *parse_day(from) + count);
  }

  // Of a slice that fails, what can be done about it.
  task<void> read_and_keep(const StreamSpec& spec, Slice slice, KeptOutput& out, std::vector<Remedy>& remedies) {
    try {
      co_await connector->read(spec, slice, out);
    } catch (const Error& error) {
      remedies.push_back(error.remedy());
    }
  }

  std::vector<Partition> partitions() {
    const auto spec = stream("campaigns");
    return world.run(connector->partitions(spec));
  }
  // "id active reason" of each.
  std::vector<std::string> described_partitions() {
    std::vector<std::string> all;
    for (const auto& p : partitions())
      all.push_back(p.id + (p.active ? " " + p.zone.name() : " left out: " + p.inactive_reason));
    return all;
  }

 private:
  static std::string with_secrets(const std::string& source) {
    ::setenv("SLUICE_TEST_GOOGLE_SECRET", "canary-secret", 1);
    ::setenv("SLUICE_TEST_GOOGLE_REFRESH", refresh_token, 1);
    ::setenv("SLUICE_TEST_GOOGLE_DEVELOPER", "canary-developer", 1);
    return source;
  }
};

inline std::string chunk(const std::vector<std::string>& rows) {
  std::string text = "{\"results\":[";
  for (std::size_t i = 0; i < rows.size(); ++i) text += (i ? "," : "") + rows[i];
  return text + R"(],"fieldMask":"campaign.id","requestId":"r1"})";
}
inline std::string streamed(const std::vector<std::string>& rows) {
  return "[" + chunk(rows) + "\r\n,\r\n" + R"({"fieldMask":"campaign.id","queryResourceConsumption":"9"}])";
}
inline std::string campaign(const std::string& id, const std::string& more = {}) {
  return R"({"customer":{"id":"11","resourceName":"customers/11"},"campaign":{"resourceName":"customers/11/campaigns/)" +
         id + R"(","id":")" + id + "\"" + more + "}}";
}
inline std::string delivered(const std::string& day, const std::string& id, const std::string& metrics) {
  return R"({"customer":{"id":"11","currencyCode":"EUR"},"campaign":{"id":")" + id + R"("},"segments":{"date":")" +
         day + R"("},"metrics":{)" + metrics + "}}";
}

// An error document as search has it; searchStream puts it into an array.
inline std::string refusal(int code, const std::string& status, const std::string& kind = {},
                           const std::string& value = {}, const std::string& details = {}) {
  json error{{"code", code}, {"message", "refused"}, {"status", status}};
  if (!kind.empty()) {
    json one{{"errorCode", {{kind, value}}}, {"message", value + " it says"}};
    if (!details.empty()) one["details"] = {{"quotaErrorDetails", json::parse(details)}};
    error["details"] = json::array({{{"@type", "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"},
                                     {"errors", json::array({one})},
                                     {"requestId", "req-7"}}});
  }
  return json{{"error", error}}.dump();
}

inline std::string client(const std::string& id, const std::string& more = {}) {
  return R"({"customerClient":{"id":")" + id + R"(","descriptiveName":"C)" + id +
         R"(","currencyCode":"EUR","timeZone":"Europe/Berlin","manager":false,"testAccount":false,"status":"ENABLED")" +
         more + "}}";
}

}  // namespace sluice::test
