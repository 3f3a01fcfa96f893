#include "daemon/yaml.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>

#include "core/error.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view roles[] = {"viewer", "operator"};
constexpr Option token_options[] = {
    {"name", Value::text, "Who it is.", {}, true},
    {"role", Value::choice, "What it may do.", "viewer", false, {}, roles},
    {"token", Value::secret, "The token.", {}, true},
};
constexpr Option retry_options[] = {
    {"attempts", Value::integer, "Tries in all.", "6"},
    {"backoff", Value::range, "Between tries.", "1s..5m"},
};
constexpr Option tls_options[] = {{"certificate", Value::text, "The certificate's file.", {}, true}};
constexpr Option item_options[] = {{"level", Value::text, "Its level.", "ad"}};
constexpr Option options[] = {
    {"access_token", Value::secret, "The token."},
    {"accounts", Value::text_list, "The accounts."},
    {"columns", Value::text_list, "The columns.", "[a, b]"},
    {"indexes", Value::text_lists, "The indexes."},
    {"rename", Value::text_map, "The names."},
    {"url", Value::text, "The address."},
    {"every", Value::duration, "How often."},
    {"memory", Value::size, "How much.", "32MiB"},
    {"target", Value::percent, "How far.", "75%"},
    {"rate", Value::rate, "How fast.", "10/s"},
    {"start", Value::day, "From when."},
    {"zone", Value::zone, "Where.", "UTC"},
    {"type", Value::type, "Which.", "decimal(18,4)"},
    {"enabled", Value::boolean, "Whether.", "true"},
    {"retry", Value::table, "Again.", {}, false, retry_options},
    {"tls", Value::table, "Encryption.", {}, false, tls_options},
    {"tokens", Value::tables, "Who may.", {}, false, token_options},
    {"streams", Value::named, "The streams.", {}, false, item_options},
};

Settings parse(std::string_view yaml) {
  Faults faults;
  auto settings = parse_settings(yaml, "sluice.yaml", options, faults);
  for (const auto& fault : faults) UNSCOPED_INFO(to_string(fault));
  REQUIRE(faults.empty());
  return settings;
}

std::vector<std::string> yaml_faults(std::string_view yaml) {
  Faults faults;
  parse_settings(yaml, "sluice.yaml", options, faults);
  std::vector<std::string> out;
  for (const auto& fault : faults) out.push_back(to_string(fault));
  return out;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("values arrive with their types") {
  const auto s = parse(R"(
access_token: {env: FACEBOOK_TOKEN}
accounts: [1234567890123456789012, "042", act_7]
indexes: [[a, b], [c]]
rename: {spend: cost, "a b": c}
url: {file: /etc/sluice/url}
every: 1h30m
memory: 1GiB
target: 50%
rate: 600/m
start: 2025-01-31
zone: Asia/Kolkata
type: decimal(10,2)
enabled: false
retry: {attempts: 3}
tokens: [{name: ops, role: operator, token: {credential: ops}}]
streams:
  campaigns:
  ads: {level: x}
)");
  CHECK(s.reference("access_token").describe() == "env FACEBOOK_TOKEN");
  CHECK(s.reference("url").describe() == "file /etc/sluice/url");
  CHECK(s.texts("accounts") == Lines{"1234567890123456789012", "042", "act_7"});
  CHECK(s.text_lists("indexes") == std::vector<Lines>{{"a", "b"}, {"c"}});
  CHECK(s.text_map("rename") == std::vector<std::pair<std::string, std::string>>{{"spend", "cost"}, {"a b", "c"}});
  CHECK(s.duration("every") == 90min);
  CHECK(s.size("memory") == 1 << 30);
  CHECK(s.fraction("target") == 0.5);
  CHECK(s.rate("rate").per_second == Approx(10));
  CHECK(s.day("start") == Day(2025, 1, 31));
  CHECK(s.zone("zone").name() == "Asia/Kolkata");
  CHECK(s.text("type") == "decimal(10,2)");
  CHECK_FALSE(s.flag("enabled"));
  CHECK(s.table("retry").integer("attempts") == 3);
  CHECK(s.table("retry").range("backoff").most == 5min);
  CHECK(s.tables("tokens").at(0).text("role") == "operator");
  const auto streams = s.named("streams");
  REQUIRE(streams.size() == 2);
  CHECK(streams[0].first == "campaigns");
  CHECK(streams[0].second.text("level") == "ad");
  CHECK(streams[1].second.text("level") == "x");
  CHECK(s.given().size() == 16);
  CHECK(to_string(s.where("memory")) == "sluice.yaml:8:9");
}

TEST_CASE("what is not given has its fallback, or is absent") {
  const auto s = parse("url: x\n");
  CHECK(s.given() == Lines{"url"});
  CHECK(s.texts("columns") == Lines{"a", "b"});
  CHECK(s.has("memory"));
  CHECK(s.size("memory") == 32 << 20);
  CHECK(s.texts("accounts").empty());
  CHECK_FALSE(s.has("accounts"));
  CHECK_FALSE(s.has("retry"));
  CHECK(s.table("retry").integer("attempts") == 6);
  CHECK_FALSE(s.has("tls"));
  CHECK_THROWS_AS(s.duration("every"), std::logic_error);
  CHECK_THROWS_AS(s.text("certificate"), std::logic_error);
  CHECK_THROWS_AS(s.integer("memory"), std::logic_error);
  CHECK_THROWS_AS(Settings().text("url"), std::logic_error);
}

TEST_CASE("each fault says where, what was found, what was expected, and the nearest name") {
  struct Case {
    const char* yaml;
    const char* message;
  };
  const Case cases[] = {
      {"acess_token: {env: X}", "1:1: unknown key \"acess_token\"; did you mean \"access_token\"?"},
      {"retry: {tries: 3}", "1:9: unknown key \"tries\"; known here: attempts, backoff"},
      {"every: 5", "1:8: \"every\": found \"5\", expected a duration with its unit, like 30s, 5m, 2h or 28d"},
      {"every: [5m]", "1:8: \"every\": expected a duration with its unit, like 30s, 5m, 2h or 28d, found a list"},
      {"every:\nurl: x", "1:1: \"every\": expected a duration with its unit, like 30s, 5m, 2h or 28d, found nothing"},
      {"enabled: yes", "1:10: \"enabled\": found \"yes\", expected true or false"},
      {"enabled: \"true\"", "1:10: \"enabled\": expected true or false, found the text \"true\""},
      {"retry: {attempts: '3'}", "1:19: \"attempts\": expected a whole number, found the text \"3\""},
      {"retry: {attempts: 1.5}", "1:19: \"attempts\": found \"1.5\", expected a whole number"},
      {"retry: 3", "1:8: \"retry\": expected a mapping, found a text"},
      {"tokens: {name: x}", "1:9: \"tokens\": expected a list of mappings, found a mapping"},
      {"streams: [campaigns]", "1:10: \"streams\": expected a mapping of names to mappings, found a list"},
      {"indexes: [a, b]", "1:10: \"indexes\": expected a list of lists like [[a, b], [c]], found a list of texts"},
      {"rename: a", "1:9: \"rename\": expected a mapping of names to texts like {a: b}, found a text"},
      {"accounts: [[a]]", "1:12: \"accounts\": expected a text, found a list"},
      {"zone: Europe/Lundon",
       "1:7: \"zone\": found \"Europe/Lundon\", expected the IANA name of a time zone, like Europe/London; "
       "did you mean \"Europe/London\"?"},
      {"tokens: [{name: a, token: {env: T}, role: opertor}]",
       "1:43: \"role\": found \"opertor\", expected one of: viewer, operator; did you mean \"operator\"?"},
      {"tokens:\n  - {role: viewer, token: {env: T}}", "2:5: \"name\" is missing: Who it is."},
      {"tls: {}", "1:6: \"certificate\" is missing: The certificate's file."},
      {"url: a\nmemory: 1MiB\nurl: b", "3:1: the key \"url\" stands here a second time, after line 1"},
      {"url: &a x",
       "1:6: anchors (&name) are not allowed: write the value where it is needed; a text that begins with & "
       "needs quotes"},
      {"url: !!str x", "1:6: tags (!name) are not allowed; a text that begins with ! needs quotes"},
      {"url: {env: A, file: B}",
       "1:6: \"url\": a reference is {env: NAME}, {file: PATH} or {credential: NAME}, with one "
       "name; found another mapping"},
      {"url: {environment: A}",
       "1:6: \"url\": a reference is {env: NAME}, {file: PATH} or {credential: NAME}, with one "
       "name; found another mapping"},
      {"url: {env: a-b}",
       "1:12: \"url\": expected the name of an environment variable behind env: letters, digits and _"},
      {"url: {credential: ../x}",
       "1:19: \"url\": expected the name of a file in $CREDENTIALS_DIRECTORY behind credential: "
       "letters, digits, _ . and -"},
      {"url: a\n---\nurl: b", "3:1: a second document (after ---) is not allowed"},
      {"[a, b]", "1:1: \"sluice.yaml\": expected a mapping, found a list"},
      {"url: [a\nevery: 5m", "1:6: the list that begins here has no end: is a ] or a comma missing?"},
      {"url: {{token}}", "1:7: a key must be a plain text (is a template like {{NAME}} left in the file?)"},
      {"url: a\xff", "1:1: this line is not valid UTF-8"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.yaml);
    CHECK(yaml_faults(c.yaml) == Lines{std::string("sluice.yaml:") + c.message});
  }
  CHECK(yaml_faults(std::string_view("url: a\nb\0", 9)) ==
        Lines{"sluice.yaml:2:2: a NUL character: the file must be UTF-8 text"});
}

TEST_CASE("all faults of a file are shown at once, in its order") {
  const auto faults = yaml_faults(R"(
every: soon
streams:
  ads: {levl: x}
retry: {attempts: many, backoff: 1s}
acounts: [1]
)");
  REQUIRE(faults.size() == 5);
  CHECK(faults[0].starts_with("sluice.yaml:2:8: \"every\""));
  CHECK(faults[1] == "sluice.yaml:4:9: unknown key \"levl\"; did you mean \"level\"?");
  CHECK(faults[2].starts_with("sluice.yaml:5:19: \"attempts\""));
  CHECK(faults[3].starts_with("sluice.yaml:5:34: \"backoff\""));
  CHECK(faults[4] == "sluice.yaml:6:1: unknown key \"acounts\"; did you mean \"accounts\"?");
}

TEST_CASE("a secret that was written into the file is refused and never repeated") {
  for (const auto* yaml :
       {"access_token: canary", "access_token: \"canary\"", "access_token: [canary]", "access_token: {token: canary}",
        "access_token: {env: {x: canary}}", "access_token: {env: canary-1}", "access_token: *canary",
        "access_token: &canary", "access_token: !canary x", "access_token: {env: A, file: canary}",
        "access_token: {credential: ../canary}", "url: postgresql://user:canary@host/db",
        "url: postgresql://host/db?user=x&password=canary", "accounts: [\"mysql://u:canary@h\"]", "tls: canary",
        "tokens: canary", "rename: canary"}) {
    CAPTURE(yaml);
    const auto faults = yaml_faults(yaml);
    REQUIRE_FALSE(faults.empty());
    for (const auto& fault : faults) {
      CAPTURE(fault);
      CHECK(fault.find("canary") == std::string::npos);
    }
  }
  CHECK(
      yaml_faults("access_token: canary") ==
      Lines{"sluice.yaml:1:15: \"access_token\" is a secret, and secrets are never written into this file: expected a "
            "reference like {env: NAME}, {file: PATH} or {credential: NAME}, found a text"});
  CHECK(parse("url: postgresql://user@host:5432/db?sslmode=verify-full").text("url").starts_with("postgresql://"));
}

TEST_CASE("hostile files are refused fast") {
  const auto within = [](const std::string& yaml, const char* message) {
    const auto start = std::chrono::steady_clock::now();
    const auto faults = yaml_faults(yaml);
    CHECK(std::chrono::steady_clock::now() - start < 60s);  // expanding the bomb would take hours
    REQUIRE_FALSE(faults.empty());
    CAPTURE(message, faults.front());
    CHECK(
        std::any_of(faults.begin(), faults.end(), [&](const auto& f) { return f.find(message) != std::string::npos; }));
  };
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const auto n = std::to_string(i), before = std::to_string(i - 1);
    bomb += "a" + n + ": &a" + n + " [*a" + before + ", *a" + before + "]\n";
  }
  within(bomb, "anchors");
  within("accounts: " + std::string(100, '[') + std::string(100, ']'), "nested deeper than 32 levels");
  within(std::string(200'000, '['), "a key must be a plain text");
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  within(deep, "nested deeper than 32 levels");
  within(std::string((1 << 20) + 1, '#'), "is larger than 1 MiB");
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "k" + std::to_string(i) + ": x\n";
  within(many, "unknown key");
}

TEST_CASE("settings are the same when every value is, wherever it stands") {
  const auto base = parse("every: 1h\nmemory: 64MiB\nretry: {attempts: 6}\nstreams: {a: {}, b: {}}\n");
  CHECK(base.same_as(parse("# moved\nmemory: 65536KiB\n\nevery: 60m\nstreams: {a: , b: {level: ad}}\n")));
  for (const auto* other :
       {"every: 2h\nmemory: 64MiB\nstreams: {a: {}, b: {}}\n", "every: 1h\nmemory: 64MiB\nstreams: {a: {}}\n",
        "every: 1h\nmemory: 64MiB\nstreams: {a: {}, b: {level: x}}\n",
        "every: 1h\nmemory: 64MiB\nstreams: {a: {}, b: {}}\nurl: {env: A}\n"}) {
    CAPTURE(other);
    CHECK_FALSE(base.same_as(parse(other)));
  }
  CHECK_FALSE(parse("url: {env: A}").same_as(parse("url: {env: B}")));
  CHECK_FALSE(parse("url: A").same_as(parse("url: {env: A}")));
}
