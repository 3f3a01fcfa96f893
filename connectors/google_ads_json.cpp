#include "connectors/google_ads_json.hpp"

#include <nlohmann/json.hpp>

namespace sluice::google {

using nlohmann::json;

const json& member(const json& value, const char* name) {
  static const json nothing;
  if (!value.is_object()) return nothing;
  const auto at = value.find(name);
  return at == value.end() ? nothing : *at;
}

std::string text_of(const json& value, const char* name) {
  const auto& text = member(value, name);
  return text.is_string() ? text.get<std::string>() : std::string();
}

bool flag_of(const json& value, const char* name) {
  const auto& flag = member(value, name);
  return flag.is_boolean() && flag.get<bool>();
}

}  // namespace sluice::google
