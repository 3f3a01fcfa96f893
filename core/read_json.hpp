#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace sluice {

// A small JSON text as a value: is_discarded() where it is not JSON. A byte that is not UTF-8 does not make it useless.
// Parsed in one place because the parser is a template that takes a second to compile each time. Rows go another way
// (core/row_mapper.hpp).
nlohmann::json read_json(std::string_view text);

}  // namespace sluice
