#include "daemon/schema_json.hpp"

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* name_pattern = "^[A-Za-z_][A-Za-z0-9_-]{0,62}$";
// Durations like 30s or 1h30m; see parse_duration.
constexpr const char* duration = "([0-9]+(us|ms|s|m|h|d|w))+";

Json ref(const char* name) {
  return Json{{"$ref", std::string("#/$defs/") + name}};
}

Json pattern(const std::string& text) {
  return Json{{"type", "string"}, {"pattern", "^" + text + "$"}};
}

Json reference() {
  Json properties;
  properties["env"] = Json{{"type", "string"}, {"pattern", "^[A-Za-z_][A-Za-z0-9_]*$"}};
  properties["file"] = Json{{"type", "string"}, {"minLength", 1}};
  properties["credential"] = Json{{"type", "string"}, {"pattern", "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"}};
  return Json{
      {"type", "object"},         {"description", "An environment variable, a file, or one of systemd's credentials."},
      {"properties", properties}, {"additionalProperties", false},
      {"minProperties", 1},       {"maxProperties", 1}};
}

// Unquoted account numbers are texts too.
Json text() {
  Json any =
      Json::array({Json{{"type", "string"}}, Json{{"type", "number"}}, Json{{"type", "boolean"}}, ref("reference")});
  return Json{{"anyOf", any}};
}

Json table(std::span<const Option> options);

Json value(const Option& option) {
  switch (option.value) {
    case Value::text:
      return ref("text");
    case Value::secret:
      return ref("reference");
    case Value::integer: {
      Json made{{"type", "integer"}};
      if (!option.least.empty()) made["minimum"] = Json::parse(option.least);
      if (!option.most.empty()) made["maximum"] = Json::parse(option.most);
      return made;
    }
    case Value::boolean:
      return Json{{"type", "boolean"}};
    case Value::duration:
      return pattern(duration);
    case Value::size:
      return pattern("[0-9]+(B|KiB|MiB|GiB)");
    case Value::percent:
      return pattern("[0-9]+(\\.[0-9]+)?%");
    case Value::rate:
      return pattern("[0-9]+(\\.[0-9]+)?/(s|m|h|d)");
    case Value::range:
      return pattern(std::string(duration) + "\\.\\." + duration);
    case Value::day:
      return pattern("[0-9]{4}-[0-9]{2}-[0-9]{2}");
    case Value::zone:
    case Value::type:
      return Json{{"type", "string"}};
    case Value::choice: {
      Json words = Json::array();
      for (const auto choice : option.choices) words.push_back(std::string(choice));
      return Json{{"enum", words}};
    }
    case Value::text_list:
      return Json{{"anyOf", Json::array({ref("text"), Json{{"type", "array"}, {"items", ref("text")}}})}};
    case Value::text_lists:
      return Json{{"type", "array"}, {"items", Json{{"type", "array"}, {"items", ref("text")}}}};
    case Value::text_map:
      return Json{{"type", "object"}, {"additionalProperties", ref("text")}};
    case Value::table:
      return table(option.children);
    case Value::tables:
      return Json{{"type", "array"}, {"items", table(option.children)}};
    case Value::named:
      return Json{{"type", "object"}, {"additionalProperties", table(option.children)}};
  }
  return Json::object();
}

Json property(const Option& option) {
  auto made = value(option);
  made["description"] = std::string(option.help);
  if (!option.fallback.empty()) {
    if (option.value == Value::integer || option.value == Value::boolean)
      made["default"] = Json::parse(option.fallback);
    else
      made["default"] = std::string(option.fallback);
  }
  return made;
}

Json table(std::span<const Option> options) {
  Json properties = Json::object(), required = Json::array();
  for (const auto& option : options) {
    properties[std::string(option.name)] = property(option);
    if (option.required) required.push_back(std::string(option.name));
  }
  // An empty mapping may be left out: `campaigns:`
  Json made{{"type", required.empty() ? Json::array({"object", "null"}) : Json("object")},
            {"properties", properties},
            {"additionalProperties", false}};
  if (!required.empty()) made["required"] = required;
  return made;
}

Json names_to(Json of, std::string_view help) {
  return Json{{"type", "object"},
              {"description", std::string(help)},
              {"propertyNames", Json{{"pattern", name_pattern}}},
              {"additionalProperties", std::move(of)}};
}

// A mapping whose table its `type` chooses.
Json by_type(const auto& kinds, auto options_of) {
  Json any = Json::array();
  for (const auto& kind : kinds) {
    auto one = table(options_of(kind));
    one["properties"]["type"] = Json{{"const", std::string(kind.type)}};
    any.push_back(one);
  }
  return Json{{"oneOf", any}};
}

// Which table a stream has, the type of its pipeline's source says; the schema cannot follow that, and takes any of
// them.
Json pipeline(const Kinds& kinds) {
  auto made = table(pipeline_options());
  Json any = Json::array();
  for (const auto& kind : kinds.connectors) any.push_back(table(stream_options(kind)));
  auto streams = names_to(Json{{"anyOf", any}}, "The streams to load, each with its options.");
  streams["minProperties"] = 1;
  made["properties"]["streams"] = Json{{"anyOf", Json::array({Json{{"const", "all"}}, streams})},
                                       {"description", "The streams to load, each with its options; or `all`."}};
  // source and sink may come from the defaults.
  made["required"] = Json::array({"streams"});
  return made;
}

}  // namespace

nlohmann::ordered_json json_schema(const Kinds& kinds) {
  Json made{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "sluice.yaml"}};
  made.update(table(file_options()));
  made["type"] = "object";
  auto& properties = made["properties"];
  properties["version"] = Json{{"const", 1}, {"description", "The version of this format: 1."}};
  const auto help = [&](const char* name) { return properties[name]["description"].get<std::string>(); };
  properties["sources"] = names_to(by_type(kinds.connectors, source_options), help("sources"));
  properties["sinks"] = names_to(by_type(kinds.sinks, sink_options), help("sinks"));
  auto defaults = table(default_options());
  defaults["description"] = help("defaults");
  properties["defaults"] = defaults;
  properties["pipelines"] = names_to(pipeline(kinds), help("pipelines"));
  made["$defs"] = Json{{"reference", reference()}, {"text", text()}};
  return made;
}

}  // namespace sluice
