// The binary against the simulated Google Ads API.
#include <catch2/catch.hpp>

#include "tests/program/setup.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

namespace {

constexpr const char* secret = "canary-client-secret";

struct Google {
  Folder folder;
  std::string config = folder / "sluice.yaml", warehouse = folder / "warehouse.db";

  explicit Google(const std::string& api) { write(api, "id"); }
  void write(const std::string& api, const std::string& client) const {
    std::ofstream(config) << "version: 1\nstate: {url: \"sqlite://" << folder / "state.db"
                          << "\"}\nsources:\n"
                          << "  google: {type: google_ads, base_url: \"" << api << "\", token_url: \"" << api
                          << "/token\", client_id: " << client
                          << ", client_secret: {env: SECRET}, refresh_token: {env: REFRESH}, "
                             "login_customer_id: \"1000000001\", retry: {attempts: 2, backoff: 10ms..50ms}}\n"
                          << "sinks: {warehouse: {type: sqlite, url: \"sqlite://" << warehouse << "\"}}\n"
                          << "pipelines:\n  google:\n    source: google\n    sink: warehouse\n    streams:\n"
                          << "      campaigns: {}\n      campaign_performance: {}\n      scores:\n"
                          << "        query: SELECT campaign.id, metrics.sandbox_score FROM campaign\n"
                          << "        load: {key: [campaign_id]}\n";
  }
  Program start(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"-c", config});
    return Program("sluice", std::move(arguments), {{"SECRET", secret}, {"REFRESH", "sandbox-refresh"}});
  }
};

}  // namespace

TEST_CASE("google: the customers that can be read are loaded, the cancelled one is said and left out") {
  auto options = today_frozen();
  options.insert(options.end(), {"--accounts", "5"});
  SandboxProgram api(options);
  const Google google(api.url());
  auto run = google.start({"run", "google"});
  CHECK(run.wait() == 0);
  INFO(run.err());
  CHECK_THAT(run.err(), Contains("is left out: its status is CANCELED") && !Contains(secret));
  CHECK(rows(google.warehouse, "google_campaign_performance").size() > 50);
  // A field that only the API knows has the type that it says.
  const auto scores = rows(google.warehouse, "google_scores");
  REQUIRE_FALSE(scores.empty());
  CHECK_THAT(scores[0], Catch::EndsWith(",0.5"));

  const auto loaded = rows(google.warehouse, "google_campaign_performance");
  auto again = google.start({"run", "google", "--full-refresh"});
  CHECK(again.wait() == 0);
  CHECK(rows(google.warehouse, "google_campaign_performance") == loaded);

  auto preview = google.start({"preview", "google/scores"});
  CHECK(preview.wait() == 0);
  CHECK_THAT(preview.out(), Contains("0.5"));
  auto check = google.start({"check", "--connect"});
  INFO(check.err());
  CHECK(check.wait() == 0);
}

TEST_CASE("google: a quota that is used up for hours is one message, and is not asked for again") {
  SandboxProgram api(with_token({"--fault", "quota_day=40591@googleAds:searchStream"}));
  const Google google(api.url());
  auto run = google.start({"run", "google"});
  CHECK(run.wait() == 1);
  INFO(run.err());
  CHECK_THAT(run.err(), Contains("RESOURCE_EXHAUSTED") && Contains("nothing more of it is sent for 11h16m31s"));
  const auto struck = api.struck("quota_day");
  CHECK(struck <= 8);  // those that were being read side by side

  // The next process knows of it; a credential of another project has a quota of its own.
  auto again = google.start({"run", "google"});
  CHECK(again.wait() == 1);
  CHECK_THAT(again.err(), Contains("RESOURCE_EXHAUSTED") && Contains("nothing more of it is sent for 11h1"));
  CHECK(api.struck("quota_day") == struck);
  google.write(api.url(), "another");
  auto other = google.start({"run", "google"});
  CHECK(other.wait() == 1);
  CHECK(api.struck("quota_day") > struck);
}

TEST_CASE("google: a refresh token that was revoked says what to do") {
  SandboxProgram api(with_token({"--fault", "oauth_revoked"}));
  const Google google(api.url());
  auto run = google.start({"run", "google"});
  CHECK(run.wait() == 1);
  CHECK_THAT(run.err(), Contains("invalid_grant") && Contains("log in again") && !Contains(secret));
  CHECK(api.struck("oauth_revoked") <= 8);
}
