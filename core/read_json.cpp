#include "core/read_json.hpp"

#include <nlohmann/json.hpp>

#include "core/clean_text.hpp"

namespace sluice {

nlohmann::json read_json(std::string_view text) {
  auto value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_discarded()) value = nlohmann::json::parse(clean_text(text), nullptr, false);
  return value;
}

}  // namespace sluice
