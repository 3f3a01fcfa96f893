#include "tests/connectors/google_ads_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

namespace {

std::string page(const std::vector<std::string>& rows, const std::string& next = {}) {
  std::string text = "{\"results\":[";
  for (std::size_t i = 0; i < rows.size(); ++i) text += (i ? "," : "") + rows[i];
  return text + "]" + (next.empty() ? "" : ",\"nextPageToken\":\"" + next + "\"") + "}";
}

std::string named(const std::string& id, const std::string& more = {}) {
  auto row = client(id, more);
  return row.replace(row.find("customerClient"), 14, "customer");
}

const std::string denied = refusal(403, "PERMISSION_DENIED", "authorizationError", "USER_PERMISSION_DENIED");
const std::string cancelled = refusal(403, "PERMISSION_DENIED", "authorizationError", "CUSTOMER_NOT_ENABLED");

// Of the customer alone, for ten hours.
const std::string its_quota = refusal(429, "RESOURCE_EXHAUSTED", "quotaError", "RESOURCE_EXHAUSTED",
                                      R"({"rateScope":"ACCOUNT","rateName":"r","retryDelay":"36000s"})");

}  // namespace

TEST_CASE("google: the manager's tree gives its enabled clients with their zones; the others are said") {
  Google google("login_customer_id: \"5\"");
  google.expect_token();
  google.expect_search("FROM customer_client", "5")
      .with_header("login-customer-id", "5")
      .reply(200,
             page({client("5", R"(,"manager":true)"), client("11"), client("12", R"(,"status":"CANCELED")")}, "p2"));
  google.expect_search("FROM customer_client", "5")
      .reply(200, page({client("11"), client("13", R"(,"timeZone":"America/New_York")"),
                        client("14", R"(,"status":"CLOSED","testAccount":true)"),
                        client("15", R"(,"timeZone":"Mars/Olympus")"), client("16", R"(,"manager":true)")}));
  CHECK(google.described_partitions() ==
        std::vector<std::string>{"11 Europe/Berlin", "12 left out: its status is CANCELED", "13 America/New_York",
                                 "14 Europe/Berlin",
                                 "15 left out: its time zone \"Mars/Olympus\" is not known to this machine; update the "
                                 "package tzdata"});
  // Asked for at most once an hour: each question is an operation.
  google.partitions();
  google.world.run(google.world.clock().sleep_for(61min));
  google.expect_token();
  google.expect_search("FROM customer_client", "5").reply(200, page({client("11")}));
  CHECK(google.described_partitions().size() == 1);
}

TEST_CASE("google: customers that are named are looked up below the manager in one query") {
  Google google("login_customer_id: \"5\"\ncustomers: [\"11\", \"1-2\", \"99\", \"5\"]");
  google.expect_token();
  google.expect_search("FROM customer_client", "5")
      .reply(200, page({client("5", R"(,"manager":true)"), client("11"), client("12")}));
  const auto found = google.described_partitions();
  REQUIRE(found.size() == 4);
  CHECK(found[0] == "11 Europe/Berlin");
  CHECK(found[1] == "12 Europe/Berlin");
  CHECK_THAT(found[2], Catch::Contains("99 left out: it is not below the manager 5"));
  CHECK_THAT(found[3], Catch::Contains("5 left out: it is a manager"));
}

TEST_CASE("google: a named customer that is cancelled or without permission is said and skipped, the others go on") {
  Google google("customers: [\"11\", \"12\", \"13\"]");
  google.expect_token();
  google.expect_search("FROM customer ", "11").reply(403, cancelled);
  google.expect_search("FROM customer ", "12").reply(200, page({named("12")}));
  google.expect_search("FROM customer ", "13").reply(403, denied);
  const auto found = google.described_partitions();
  REQUIRE(found.size() == 3);
  CHECK_THAT(found[0], Catch::Contains("CUSTOMER_NOT_ENABLED"));
  CHECK(found[1] == "12 Europe/Berlin");
  CHECK_THAT(found[2], Catch::Contains("USER_PERMISSION_DENIED"));
}

TEST_CASE("google: a customer whose own quota is used up is said and skipped, the others go on") {
  Google google("customers: [\"11\", \"12\"]");
  google.expect_token();
  google.expect_search("FROM customer ", "11").reply(429, its_quota);
  google.expect_search("FROM customer ", "12").reply(200, page({named("12")}));
  const auto found = google.described_partitions();
  REQUIRE(found.size() == 2);
  CHECK_THAT(found[0], Catch::Contains("11 left out") && Catch::Contains("the quota is used up"));
  CHECK(found[1] == "12 Europe/Berlin");

  Google all("");
  all.expect_token();
  all.http.expect("GET /v26/customers:listAccessibleCustomers")
      .reply(200, R"({"resourceNames":["customers/11","12"]})");
  all.expect_search("FROM customer_client", "11").reply(429, its_quota);
  all.expect_search("FROM customer_client", "12").reply(200, page({client("12")}));
  CHECK(all.described_partitions().at(1) == "12 Europe/Berlin");
}

TEST_CASE("google: when the quota of all that could be read is used up, the run is put off and not given up") {
  Google google("customers: [\"11\", \"12\"]");
  google.expect_token();
  google.expect_search("FROM customer ", "11").reply(403, denied);
  google.expect_search("FROM customer ", "12").reply(429, its_quota);
  try {
    google.partitions();
    FAIL("it did not fail");
  } catch (const Error& error) {
    CHECK(error.remedy() == Remedy::postpone);
    CHECK(error.wait() == Duration(10h));
  }
  google.expect_search("FROM customer ", "11").reply(403, denied);
  CHECK(google.failure(google.stream("customers"), Slice::whole(Partition(""))).remedy() == Remedy::postpone);
}

TEST_CASE("google: a list of customers that somebody else wrote is asked for again, not believed") {
  Google google("login_customer_id: \"5\"");
  google.expect_token();
  google.expect_search("FROM customer_client", "5").reply(200, R"({"message":"log in"})");
  CHECK_THROWS_WITH(google.partitions(), Catch::Contains("check base_url"));
  google.expect_search("FROM customer_client", "5").reply(200, R"({"results":["x"]})");
  CHECK_THROWS_WITH(google.partitions(), Catch::Contains("without an id"));
}

TEST_CASE("google: a customer that refuses to be read is left out and not asked again, the last one is a failure") {
  Google google("login_customer_id: \"5\"");
  google.expect_token();
  google.expect_search("FROM customer_client", "5").reply(200, page({client("11"), client("12")}));
  REQUIRE(google.partitions().size() == 2);
  const auto spec = google.stream("campaigns");
  google.expect_stream("", "11").reply(403, "[" + cancelled + "]");
  const auto read = [&](const char* customer) {
    KeptOutput out(spec);
    google.world.run(google.connector->read(spec, Slice::whole(Partition(customer)), out));
  };
  CHECK_THROWS_AS(read("11"), NotOffered);
  CHECK_THROWS_AS(read("11"), NotOffered);
  const auto found = google.described_partitions();
  CHECK_THAT(found.at(0), Catch::Contains("11 left out") && Catch::Contains("CUSTOMER_NOT_ENABLED"));
  CHECK(found.at(1) == "12 Europe/Berlin");

  google.expect_stream("", "12").reply(403, "[" + denied + "]");
  CHECK(google.failure(spec, Slice::whole(Partition("12"))).remedy() == Remedy::give_up_partition);
}

TEST_CASE("google: when no customer can be read, that is a failure") {
  Google google("customers: [\"11\"]");
  google.expect_token();
  google.expect_search("FROM customer ", "11").reply(403, denied);
  try {
    google.partitions();
    FAIL("it did not fail");
  } catch (const Error& error) {
    CHECK(error.remedy() == Remedy::give_up);
    CHECK_THAT(error.what(), Catch::Contains("none of the 1 customers") && Catch::Contains("USER_PERMISSION_DENIED"));
  }
}

TEST_CASE("google: without names and manager, all that the credential reaches, each through its own manager") {
  Google google("rate_limit: {rate: 50/s}");
  google.expect_token();
  google.http.expect("GET /v26/customers:listAccessibleCustomers")
      .reply(200, R"({"resourceNames":["customers/5","customers/6","customers/21"]})");
  google.expect_search("FROM customer_client", "5")
      .with_header("login-customer-id", "5")
      .reply(200, page({client("5", R"(,"manager":true)"), client("11"), client("21")}));
  google.expect_search("FROM customer_client", "6").reply(403, cancelled);
  google.expect_search("FROM customer_client", "21")
      .with_header("login-customer-id", "21")
      .reply(200, page({client("21")}));
  const auto found = google.described_partitions();
  REQUIRE(found.size() == 3);
  CHECK(found[0] == "11 Europe/Berlin");
  CHECK_THAT(found[1], Catch::Contains("6 left out") && Catch::Contains("CUSTOMER_NOT_ENABLED"));
  CHECK(found[2] == "21 Europe/Berlin");
  const auto spec = google.stream("campaigns");
  google.expect_stream("", "11").with_header("login-customer-id", "5").reply(200, streamed({}));
  google.read(spec, Slice::whole(Partition("11")));
  google.expect_stream("", "21").with_header("login-customer-id", "21").reply(200, streamed({}));
  google.read(spec, Slice::whole(Partition("21")));
}

TEST_CASE("google: the stream customers has all of them, cancelled ones and managers too") {
  Google google("login_customer_id: \"5\"");
  google.expect_token();
  google.expect_search("FROM customer_client", "5")
      .reply(200, page({client("5", R"(,"manager":true)"), client("12", R"(,"status":"CANCELED")")}));
  const auto spec = google.stream("customers");
  const auto partitions = google.world.run(google.connector->partitions(spec));
  REQUIRE(partitions.size() == 1);
  const auto out = google.read(spec, Slice::whole(partitions[0]));
  CHECK(out.column("customer_id") == std::vector<std::string>{"5", "12"});
  CHECK(out.column("customer_status") == std::vector<std::string>{"ENABLED", "CANCELED"});
  CHECK(out.column("customer_manager") == std::vector<std::string>{"1", "0"});
}

TEST_CASE("google: a customer that the stream customers cannot have is said once, the others are loaded") {
  Google google("customers: [\"11\", \"12\"]");
  const auto spec = google.stream("customers");
  google.expect_token();
  for (int i = 0; i < 2; ++i) {
    google.expect_search("FROM customer ", "11").reply(403, denied);
    google.expect_search("FROM customer ", "12").reply(200, page({named("12")}));
    CHECK(google.read(spec, Slice::whole(Partition(""))).column("customer_id") == std::vector<std::string>{"12"});
  }
  const auto& notices = google.seen.of<Notice>();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].level == Level::warning);
  CHECK_THAT(notices[0].message, Catch::StartsWith("google: the table of customers misses 11") &&
                                     Catch::Contains("USER_PERMISSION_DENIED") && !Catch::Contains("canary"));
}

TEST_CASE("google: what the API does not say of a customer is NULL, neither empty nor false") {
  Google google("customers: [\"11\"]");
  google.expect_token();
  google.expect_search("FROM customer ", "11").reply(200, page({R"({"customer":{"id":"11","status":"CANCELED"}})"}));
  const auto out = google.read(google.stream("customers"), Slice::whole(Partition("")));
  for (const auto* name : {"descriptive_name", "currency_code", "time_zone", "manager", "test_account"})
    CHECK(out.column(std::string("customer_") + name) == std::vector<std::string>{"-"});
  CHECK(out.column("customer_id") == std::vector<std::string>{"11"});
  CHECK(out.column("customer_status") == std::vector<std::string>{"CANCELED"});
}

TEST_CASE("google: check names the customers and what is left out") {
  Google google("login_customer_id: \"5\"");
  google.http.expect("GET /v26/customers:listAccessibleCustomers").reply(401);
  google.expect_token();
  google.expect_search("FROM customer_client", "5")
      .reply(200, page({client("11"), client("12", R"(,"status":"SUSPENDED")")}));
  const auto findings = google.world.run(google.connector->check());
  REQUIRE(findings.size() == 3);
  CHECK_THAT(findings[1].message, Catch::Contains("Europe/Berlin"));
  CHECK(findings[2].level == Finding::Level::warning);
  CHECK_THAT(findings[2].message, Catch::Contains("SUSPENDED"));
}
