#pragma once
#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "connectors/facebook_ads.hpp"
#include "daemon/yaml.hpp"
#include "tests/connectors/kept_output.hpp"
#include "tests/support/events.hpp"
#include "tests/support/scripted_http.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using nlohmann::json;

// A connector against a scripted API, in virtual time. At its end no request may have had the token in its URL or body,
// and no event may have said it.
struct Facebook {
  static constexpr const char* token = "EAAcanaryTOKENcanaryTOKENcanary";
  static constexpr const char* secret = "canarysecret0123456789";

  World world;
  ScriptedHttp http{world.clock()};
  RecordedEvents events;
  Rng rng{1};
  std::unique_ptr<Connector> connector;

  std::string token_sent = token;  // in the header of every request; empty: not checked

  explicit Facebook(const std::string& more = "accounts: [\"1\"]",
                    const std::string& access_token = "{env: SLUICE_TEST_FACEBOOK_TOKEN}") {
    ::setenv("SLUICE_TEST_FACEBOOK_TOKEN", token, 1);
    ::setenv("SLUICE_TEST_FACEBOOK_SECRET", secret, 1);
    const auto kind = facebook_ads();
    Faults faults;
    const auto settings =
        parse_settings("access_token: " + access_token + "\n" + more + "\n", "test.yaml", kind.source_options, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    const ConnectorContext context{"facebook", world.executor(), world.clock(), events, rng, &http};
    connector = kind.make(settings, context);
    if (!http.requests().empty()) FAIL("made a request before it was asked for anything");
  }
  ~Facebook() {
    for (const auto& seen : http.requests()) {
      INFO(seen.request.url << " " << seen.request.body);
      CHECK(seen.request.url.find("canary") == std::string::npos);
      CHECK(seen.request.body.find("canary") == std::string::npos);
      if (!token_sent.empty()) CHECK(header(seen.request, "authorization") == "Bearer " + token_sent);
      CHECK(seen.request.url.find("access_token") == std::string::npos);
    }
    for (const auto& e : events.of<RequestRetried>()) CHECK(e.message.find("canary") == std::string::npos);
    for (const auto& e : events.of<Throttled>()) CHECK(e.message.find("canary") == std::string::npos);
  }

  StreamSpec stream(const std::string& from, const std::string& yaml = "{}") {
    Faults faults;
    auto spec = configure(from, yaml, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    return spec;
  }
  StreamSpec configure(const std::string& from, const std::string& yaml, Faults& faults) {
    const auto settings = parse_settings(yaml, "test.yaml", facebook_ads().stream_options, faults);
    return connector->configure(from, settings, faults);
  }

  static Slice day(const char* from, int days = 1) {
    return Slice::days(Partition("1"), *parse_day(from), *parse_day(from) + days);
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
};

// All that Meta knows for objects of a level, in the order in which its documentation lists it.
inline json every_status(const std::string& level) {
  if (level == "campaign") return {"ACTIVE", "ARCHIVED", "DELETED", "IN_PROCESS", "PAUSED", "WITH_ISSUES"};
  if (level == "adset")
    return {"ACTIVE", "ARCHIVED", "CAMPAIGN_PAUSED", "DELETED", "IN_PROCESS", "PAUSED", "WITH_ISSUES"};
  return {"ACTIVE",      "ADSET_PAUSED", "ARCHIVED", "CAMPAIGN_PAUSED",      "DELETED",
          "DISAPPROVED", "IN_PROCESS",   "PAUSED",   "PENDING_BILLING_INFO", "PENDING_REVIEW",
          "PREAPPROVED", "WITH_ISSUES"};
}

inline std::string rows(const std::vector<std::string>& rows, const std::string& after = {}) {
  std::string text = "{\"data\":[";
  for (std::size_t i = 0; i < rows.size(); ++i) text += (i ? "," : "") + rows[i];
  text += "],\"paging\":{\"cursors\":{\"before\":\"b\",\"after\":\"" + (after.empty() ? "last" : after) + "\"}";
  // Meta puts the token into `next`.
  if (!after.empty())
    text += ",\"next\":\"https://graph.facebook.com/v26.0/next?access_token=EAAcanaryTOKENcanaryTOKENcanary\"";
  return text + "}}";
}

inline std::string fault(int code, int subcode = 0, const std::string& message = "refused",
                         const std::string& more = {}) {
  return R"({"error":{"message":")" + message + R"(","type":"OAuthException","code":)" + std::to_string(code) +
         (subcode ? R"(,"error_subcode":)" + std::to_string(subcode) : "") + more + R"(,"fbtrace_id":"Atrace"}})";
}

inline const std::string submitted = R"({"report_run_id":"77"})";
inline const std::string completed = R"({"id":"77","async_status":"Job Completed","async_percent_completion":100})";

inline std::string row(const std::string& day, const std::string& ad, const std::string& more = {}) {
  return R"({"account_id":"1","date_start":")" + day + R"(","date_stop":")" + day + R"(","ad_id":")" + ad + "\"" +
         (more.empty() ? "" : "," + more) + "}";
}

}  // namespace sluice::test
