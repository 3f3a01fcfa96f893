#include "core/read_json.hpp"

#include <nlohmann/json.hpp>

namespace sluice {

nlohmann::json read_json(std::string_view text) {
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace sluice
