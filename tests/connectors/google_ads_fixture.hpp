#pragma once
#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "connectors/google_ads.hpp"
#include "daemon/yaml.hpp"
#include "tests/connectors/kept_output.hpp"
#include "tests/support/events.hpp"
#include "tests/support/scripted_http.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using nlohmann::json;

// The connector against a scripted API, in virtual time. At its end no request but those for tokens may have had a
// secret beside its Authorization header, and no event may have said one.
struct Google {
  static constexpr const char* refresh_token = "canary-refresh";
  static constexpr const char* access_token = "ya29.canary-access";

  World world;
  ScriptedHttp http{world.clock()};
  RecordedEvents events;
  Rng rng{1};
  std::unique_ptr<Connector> connector;

  static std::string refresh() {
    return "client_id: id.apps.test\nclient_secret: {env: SLUICE_TEST_GOOGLE_SECRET}\n"
           "refresh_token: {env: SLUICE_TEST_GOOGLE_REFRESH}\n";
  }

  explicit Google(const std::string& more = "customers: [\"11\"]", const std::string& credential = refresh()) {
    ::setenv("SLUICE_TEST_GOOGLE_SECRET", "canary-secret", 1);
    ::setenv("SLUICE_TEST_GOOGLE_REFRESH", refresh_token, 1);
    ::setenv("SLUICE_TEST_GOOGLE_DEVELOPER", "canary-developer", 1);
    const auto kind = google_ads();
    Faults faults;
    const auto settings = parse_settings(credential + more + "\n", "test.yaml", kind.source_options, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    const ConnectorContext context{"google", world.executor(), world.clock(), events, rng, &http};
    connector = kind.make(settings, context);
    if (!http.requests().empty()) FAIL("made a request before it was asked for anything");
  }
  ~Google() {
    for (const auto& seen : http.requests()) {
      const auto& request = seen.request;
      INFO(request.url << " " << request.body);
      CHECK(request.url.find("canary") == std::string::npos);
      if (path_of(request) == "/token") continue;
      CHECK(request.body.find("canary") == std::string::npos);
    }
    for (const auto& e : events.of<RequestRetried>()) CHECK(e.message.find("canary") == std::string::npos);
    for (const auto& e : events.of<Throttled>()) CHECK(e.message.find("canary") == std::string::npos);
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

  StreamSpec stream(const std::string& from, const std::string& yaml = "{}") {
    Faults faults;
    auto spec = configure(from, yaml, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    return spec;
  }
  StreamSpec configure(const std::string& from, const std::string& yaml, Faults& faults) {
    const auto settings = parse_settings(yaml, "test.yaml", google_ads().stream_options, faults);
    return connector->configure(from, settings, faults);
  }

  static Slice days(const char* from, int count = 1, const std::string& customer = "11") {
    return Slice::days(Partition(customer), *parse_day(from), *parse_day(from) + count);
  }

  KeptOutput read(const StreamSpec& spec, const Slice& slice) {
    KeptOutput out(spec);
    world.run(connector->read(spec, slice, out));
    return out;
  }
  // What the reading failed with.
  Error failure(const StreamSpec& spec, const Slice& slice) {
    KeptOutput out(spec);
    try {
      world.run(connector->read(spec, slice, out));
    } catch (const Error& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find("canary") == std::string::npos);
      return error;
    }
    FAIL("it did not fail");
    throw std::logic_error("");
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
