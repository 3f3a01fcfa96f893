#pragma once
#include <span>
#include <string>
#include <string_view>

#include "core/settings.hpp"

namespace sluice {

// Parses YAML and checks it against a table. Every fault is found, not only the first: unknown keys (with the nearest
// known name), wrong types, missing required keys, duplicate keys, anchors, aliases and tags.
// The result is usable only when `faults` stayed empty.
Settings parse_settings(std::string_view yaml, const std::string& file, std::span<const Option> table, Faults& faults);

}  // namespace sluice
