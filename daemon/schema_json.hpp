#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "daemon/options.hpp"

namespace sluice {

// The JSON Schema (draft 2020-12) of sluice.yaml, for editors: made from the tables that the parser checks with.
nlohmann::ordered_json json_schema(const Kinds& kinds);

// The option tables as Markdown: the second half of docs/configuration.md.
std::string options_markdown(const Kinds& kinds);

}  // namespace sluice
