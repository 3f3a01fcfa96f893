#include "core/read_json.hpp"

#include <nlohmann/json.hpp>

#include "core/json_text.hpp"

namespace sluice {

nlohmann::json read_json(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  // check_json bounds the depth: what copies, compares or prints a value calls itself for each level.
  std::string clean;
  auto state = check_json(text);
  if (state != JsonState::clean) {
    std::int64_t repaired = 0;
    text = clean = clean_json(text, repaired);
    state = check_json(text);
  }
  if (state == JsonState::broken) return nlohmann::json(nlohmann::json::value_t::discarded);
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace sluice
