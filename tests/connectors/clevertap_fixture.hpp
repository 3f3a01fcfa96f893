#pragma once
#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "connectors/clevertap.hpp"
#include "daemon/yaml.hpp"
#include "tests/connectors/kept_output.hpp"
#include "tests/support/events.hpp"
#include "tests/support/scripted_http.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using nlohmann::json;

// A connector against a scripted API, in virtual time. At its end every request must have been signed, none may have
// had the passcode in its URL or body, and no event may have said it.
struct CleverTap {
  static constexpr const char* passcode = "CANARY-passcode-canary";
  static constexpr const char* events = "/1/events.json";
  static constexpr const char* counts = "/1/counts/events.json";

  World world;
  ScriptedHttp http{world.clock()};
  RecordedEvents seen;
  Rng rng{1};
  std::unique_ptr<Connector> connector;
  std::string zone_name;
  std::vector<std::string> passcodes{passcode};  // that requests may have been signed with

  explicit CleverTap(const std::string& more = "region: in1", const std::string& in_zone = "Asia/Kolkata")
      : zone_name(in_zone) {
    ::setenv("SLUICE_TEST_PASSCODE", passcode, 1);
    const auto kind = clevertap();
    Faults faults;
    const auto settings = parse_settings(
        "account_id: ABC-DEF-GHI\npasscode: {env: SLUICE_TEST_PASSCODE}\ntimezone: " + zone_name + "\n" + more + "\n",
        "test.yaml", kind.source_options, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    const ConnectorContext context{"app", world.executor(), world.clock(), seen, rng, &http};
    connector = kind.make(settings, context);
    if (!http.requests().empty()) FAIL("made a request before it was asked for anything");
  }
  ~CleverTap() {
    INFO(http.report());
    CHECK(http.everything_seen());
    for (const auto& one : http.requests()) {
      CHECK(header(one.request, "x-clevertap-account-id") == "ABC-DEF-GHI");
      const auto signed_with = header(one.request, "x-clevertap-passcode").value_or("");
      CHECK(std::find(passcodes.begin(), passcodes.end(), signed_with) != passcodes.end());
      CHECK(one.request.url.find(passcode) == std::string::npos);
      CHECK(one.request.body.find(passcode) == std::string::npos);
      // CleverTap: a GET must not carry it any more.
      CHECK(header(one.request, "content-type").has_value() == (one.request.method == "POST"));
    }
    for (const auto& e : seen.of<RequestRetried>()) CHECK(e.message.find("CANARY") == std::string::npos);
  }

  StreamSpec stream(const std::string& from, const std::string& yaml = "{}") {
    Faults faults;
    auto spec = configure(from, yaml, faults);
    for (const auto& fault : faults) FAIL(to_string(fault));
    return spec;
  }
  StreamSpec configure(const std::string& from, const std::string& yaml, Faults& faults) {
    const auto settings = parse_settings(yaml, "test.yaml", clevertap().stream_options, faults);
    auto spec = connector->configure(from, settings, faults);
    return spec;
  }

  static Zone zone() { return *load_zone("Asia/Kolkata"); }
  static Slice day(const std::string& event = "Charged", const char* from = "2026-03-01", int days = 1) {
    return Slice::days(Partition(event, zone()), *parse_day(from), *parse_day(from) + days);
  }
  static Slice since(std::optional<std::string> after = "2026-02-27T12:00:00Z") {
    return Slice::values(Partition("", zone()), std::move(after), "2026-03-02T12:00:00Z");
  }

  KeptOutput read(const StreamSpec& spec, const Slice& slice) {
    KeptOutput out(spec);
    world.run(connector->read(spec, slice, out));
    return out;
  }
  KeptOutput read_events() { return read(stream("events"), day()); }

  // What the reading failed with.
  template <typename E = Error>
  E failure(const StreamSpec& spec, const Slice& slice) {
    KeptOutput out(spec);
    try {
      world.run(connector->read(spec, slice, out));
    } catch (const E& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find("CANARY") == std::string::npos);
      return error;
    }
    FAIL("it did not fail");
    throw std::logic_error("");
  }
  template <typename E = Error>
  E failure() {
    return failure<E>(stream("events"), day());
  }

  // The script of an export that is begun and has this first page.
  Expectation& begin(const std::string& cursor = "c1") {
    return http.expect(std::string("POST ") + events).reply(200, R"({"status":"success","cursor":")" + cursor + "\"}");
  }
  Expectation& page(const std::string& body) { return http.expect(std::string("GET ") + events).reply(200, body); }
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
