#pragma once
#include "connectors/facebook_ads.hpp"
#include "tests/connectors/connector_fixture.hpp"

namespace sluice::test {

// At its end every request must have had the token in its header, and none a parameter for it.
struct Facebook : ConnectorBench {
  static constexpr const char* token = "EAAcanaryTOKENcanaryTOKENcanary";
  static constexpr const char* secret = "canarysecret0123456789";

  std::string token_sent = token;  // in the header of every request; empty: not checked

  explicit Facebook(const std::string& more = "accounts: [\"1\"]",
                    const std::string& access_token = "{env: SLUICE_TEST_FACEBOOK_TOKEN}")
      : ConnectorBench(facebook_ads(), "facebook", source(more, access_token)) {}
  ~Facebook() {
    for (const auto& one : http.requests()) {
      INFO(one.request.url);
      if (!token_sent.empty()) CHECK(header(one.request, "authorization") == "Bearer " + token_sent);
      CHECK(one.request.url.find("access_token") == std::string::npos);
    }
  }

  static Slice day(const char* from, int days = 1) {
    return Slice::days(Partition("1"), *parse_day(from), *parse_day(from) + days);
  }
  // Objects that changed; nullptr: all.
  static Slice since(const char* after) {
    return Slice::values(Partition("1"), after ? std::optional<std::string>(after) : std::nullopt,
                         "2026-03-02T11:50:00Z");
  }

 private:
  static std::string source(const std::string& more, const std::string& access_token) {
    ::setenv("SLUICE_TEST_FACEBOOK_TOKEN", token, 1);
    ::setenv("SLUICE_TEST_FACEBOOK_SECRET", secret, 1);
    return "access_token: " + access_token + "\n" + more + "\n";
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

inline const std::string reduce =
    R"({"error":{"code":1,"message":"Please reduce the amount of data you're asking for, then retry your request"}})";

inline const std::string account_1 =
    R"({"id":"act_1","account_id":"1","name":"Shop","account_status":1,"timezone_name":"Asia/Kolkata"})";

inline std::string ad(const std::string& id) {
  return R"({"id":")" + id + R"(","account_id":"1"})";
}

inline const std::string submitted = R"({"report_run_id":"77"})";
inline const std::string completed = R"({"id":"77","async_status":"Job Completed","async_percent_completion":100})";

inline std::string row(const std::string& day, const std::string& ad, const std::string& more = {}) {
  return R"({"account_id":"1","date_start":")" + day + R"(","date_stop":")" + day + R"(","ad_id":")" + ad + "\"" +
         (more.empty() ? "" : "," + more) + "}";
}

}  // namespace sluice::test
