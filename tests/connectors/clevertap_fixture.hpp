#pragma once
#include "connectors/clevertap.hpp"
#include "tests/connectors/connector_fixture.hpp"

namespace sluice::test {

// At its end the script must have been followed, and every request must have been signed.
struct CleverTap : ConnectorBench {
  static constexpr const char* passcode = "CANARY-passcode-canary";
  static constexpr const char* events = "/1/events.json";
  static constexpr const char* counts = "/1/counts/events.json";

  std::vector<std::string> passcodes{passcode};  // that requests may have been signed with

  explicit CleverTap(const std::string& more = "region: in1", const std::string& in_zone = "Asia/Kolkata")
      : ConnectorBench(clevertap(), "app", source(more, in_zone)) {}
  ~CleverTap() {
    INFO(http.report());
    CHECK(http.everything_seen());
    for (const auto& one : http.requests()) {
      CHECK(header(one.request, "x-clevertap-account-id") == "ABC-DEF-GHI");
      const auto signed_with = header(one.request, "x-clevertap-passcode").value_or("");
      CHECK(std::find(passcodes.begin(), passcodes.end(), signed_with) != passcodes.end());
      // CleverTap: a GET must not carry it any more.
      CHECK(header(one.request, "content-type").has_value() == (one.request.method == "POST"));
    }
  }

  static Zone zone() { return *load_zone("Asia/Kolkata"); }
  static Slice day(const std::string& event = "Charged", const char* from = "2026-03-01", int days = 1) {
    return Slice::days(Partition(event, zone()), *parse_day(from), *parse_day(from) + days);
  }
  static Slice since(std::optional<std::string> after = "2026-02-27T12:00:00Z") {
    return Slice::values(Partition("", zone()), std::move(after), "2026-03-02T12:00:00Z");
  }

  KeptOutput read_events() { return read(stream("events"), day()); }

  using ConnectorBench::failure;
  template <typename E = Error>
  E failure() {
    return failure<E>(stream("events"), day());
  }

  // The script of an export that is begun and has this first page.
  Expectation& begin(const std::string& cursor = "c1") {
    return http.expect(std::string("POST ") + events).reply(200, R"({"status":"success","cursor":")" + cursor + "\"}");
  }
  Expectation& page(const std::string& body) { return http.expect(std::string("GET ") + events).reply(200, body); }

 private:
  static std::string source(const std::string& more, const std::string& in_zone) {
    ::setenv("SLUICE_TEST_PASSCODE", passcode, 1);
    return "account_id: ABC-DEF-GHI\npasscode: {env: SLUICE_TEST_PASSCODE}\ntimezone: " + in_zone + "\n" + more + "\n";
  }
};

inline std::string record(const std::string& ts = "20260301093000", const std::string& more = {},
                          const std::string& props = R"({"Amount":12.50})") {
  return R"({"profile":{"objectId":"__g1","platform":"Android","identity":"7","email":"a@b.c","phone":919812345678,)"
         R"("name":"Asha"},"ts":)" +
         ts + R"(,"event_props":)" + props + R"(,"session_props":{"session_source":"Others"})" +
         (more.empty() ? "" : "," + more) + "}";
}

inline std::string records(const std::vector<std::string>& rows, const std::string& next = {}) {
  std::string text = R"({"status":"success",)";
  if (!next.empty()) text += R"("next_cursor":")" + next + "\",";
  text += "\"records\":[";
  for (std::size_t i = 0; i < rows.size(); ++i) text += (i ? "," : "") + rows[i];
  return text + "]}";
}

inline const std::string in_progress =
    R"({"status":"fail","code":2,"error":"Request still in progress, please retry later"})";

}  // namespace sluice::test
