#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "daemon/schema_json.hpp"
#include "tests/daemon/fake_kinds.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using Json = nlohmann::ordered_json;

namespace {

const auto docs = test::source_dir() / "docs/configuration.md";
constexpr std::string_view marker =
    "<!-- Below: made from the tables of options. SLUICE_REWRITE_DOCS=1 test_daemon writes it anew. -->\n";

std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Every option of the table is a property with its help, and nothing else is allowed.
void check_table(const Json& schema, std::span<const Option> options) {
  CHECK(schema.at("additionalProperties") == false);
  CHECK(schema.at("properties").size() == options.size());
  for (const auto& option : options) {
    CAPTURE(std::string(option.name));
    const auto& property = schema.at("properties").at(std::string(option.name));
    CHECK(property.at("description") == std::string(option.help));
    const auto needed = schema.value("required", Json::array());
    CHECK((std::find(needed.begin(), needed.end(), std::string(option.name)) != needed.end()) == option.required);
    if (option.value == Value::table && !option.children.empty()) check_table(property, option.children);
    if (option.value == Value::tables) check_table(property.at("items"), option.children);
    if (option.value == Value::secret) CHECK(property.at("$ref") == "#/$defs/reference");
  }
}

void check_unique(std::span<const Option> options) {
  std::set<std::string_view> names;
  for (const auto& option : options) {
    CAPTURE(std::string(option.name));
    CHECK(names.insert(option.name).second);
    CHECK(std::regex_match(std::string(option.name), std::regex("[a-z][a-z0-9_]*")));
    CHECK(option.name != "on");
    CHECK(option.name != "off");
    CHECK(option.name != "yes");
    CHECK(option.name != "no");
    CHECK_FALSE(option.help.empty());
    CHECK((option.value == Value::choice) == !option.choices.empty());
    if (!option.fallback.empty()) {
      CHECK_FALSE(option.required);
      CHECK_FALSE(scalar_fault(option, option.fallback));
    }
    check_unique(option.children);
  }
}

}  // namespace

TEST_CASE("the JSON Schema says what the tables say") {
  const auto kinds = test::fake_kinds();
  const auto schema = json_schema(kinds);
  CHECK(schema.at("$schema") == "https://json-schema.org/draft/2020-12/schema");
  CHECK(schema.at("required") == Json::array({"version"}));
  const auto& properties = schema.at("properties");
  CHECK(properties.size() == file_options().size());
  check_table(properties.at("defaults"), default_options());
  CHECK(properties.at("server").at("properties").at("drain_timeout").at("default") == "60s");

  const auto& source = properties.at("sources").at("additionalProperties").at("oneOf").at(0);
  CHECK(source.at("properties").at("type") == Json{{"const", "fake_ads"}});
  CHECK(source.at("required") == Json::array({"type", "access_token"}));
  CHECK(source.at("properties").at("access_token").at("$ref") == "#/$defs/reference");
  CHECK(source.at("properties").at("rate_limit").at("properties").at("target").at("default") == "75%");

  const auto& streams =
      properties.at("pipelines").at("additionalProperties").at("properties").at("streams").at("anyOf");
  CHECK(streams.at(0) == Json{{"const", "all"}});
  check_table(streams.at(1).at("additionalProperties").at("anyOf").at(0), stream_options(kinds.connectors.front()));
}

TEST_CASE("the schema's patterns agree with the parser") {
  const auto schema = json_schema(test::fake_kinds());
  const auto& server = schema.at("properties").at("server").at("properties");
  const auto pattern = [&](const Json& property) { return std::regex(property.at("pattern").get<std::string>()); };
  const auto duration = pattern(server.at("drain_timeout"));
  for (const auto* value : {"30s", "1h30m", "250ms", "28d", "5", "", "5 m", "x"})
    CHECK(std::regex_match(value, duration) == !scalar_fault(Option{"", Value::duration, ""}, value));
  const auto size = pattern(schema.at("properties").at("limits").at("properties").at("memory"));
  for (const auto* value : {"32MiB", "512B", "32MB", "32", "1.5GiB"})
    CHECK(std::regex_match(value, size) == !scalar_fault(Option{"", Value::size, ""}, value));
  const auto& rates = schema.at("properties")
                          .at("sources")
                          .at("additionalProperties")
                          .at("oneOf")
                          .at(0)
                          .at("properties")
                          .at("rate_limit")
                          .at("properties");
  for (const auto* value : {"10/s", "2.5/m", "10", "10/w"})
    CHECK(std::regex_match(value, pattern(rates.at("rate"))) == !scalar_fault(Option{"", Value::rate, ""}, value));
  for (const auto* value : {"75%", "0.5%", "0.75", "x%"})
    CHECK(std::regex_match(value, pattern(rates.at("target"))) == !scalar_fault(Option{"", Value::percent, ""}, value));
}

TEST_CASE("the tables of options are sound, and no connector takes a name that every stream has") {
  const auto kinds = built_in_kinds();
  check_unique(file_options());
  check_unique(pipeline_options());
  for (const auto& kind : kinds.connectors) {
    check_unique(source_options(kind));
    check_unique(stream_options(kind));
  }
  for (const auto& kind : kinds.sinks) check_unique(sink_options(kind));
}

TEST_CASE("docs/configuration.md is what the tables say") {
  const auto file = slurp(docs);
  const auto at = file.find(marker);
  REQUIRE(at != std::string::npos);
  const auto fresh = file.substr(0, at) + std::string(marker) + "\n" + options_markdown(built_in_kinds());
  if (std::getenv("SLUICE_REWRITE_DOCS") != nullptr) std::ofstream(docs) << fresh;
  INFO("docs/configuration.md is stale: SLUICE_REWRITE_DOCS=1 build/dev/tests/test_daemon writes it anew");
  CHECK(slurp(docs) == fresh);
}
