#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "daemon/http_server.hpp"

namespace sluice {

// Fills path and query from "/api/v1/runs?limit=20". False: not an absolute path, a broken escape, a control character
// or a dot segment.
bool parse_target(std::string_view target, ServerRequest& request);

// A whole decimal number that fits; nothing for anything else.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace sluice
