#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

// Members of JSON from outside, whatever it really is.

namespace sluice::google {

// Null where there is none, or `value` is no object.
const nlohmann::json& member(const nlohmann::json& value, const char* name);
// The member's text; empty where it has none.
std::string text_of(const nlohmann::json& value, const char* name);
bool flag_of(const nlohmann::json& value, const char* name);

}  // namespace sluice::google
