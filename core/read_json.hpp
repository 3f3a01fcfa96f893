#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace sluice {

// A small JSON text as a value: is_discarded() where it is not JSON, or more than 1000 levels deep. Text that databases
// would refuse does not make it useless: it is repaired as core/clean_text.hpp says.
// Parsed in one place because the parser is a template that takes a second to compile each time. Rows go another way
// (core/row_mapper.hpp).
nlohmann::json read_json(std::string_view text);

}  // namespace sluice
