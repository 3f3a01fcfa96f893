#include "core/schema.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace sluice {
namespace {
constexpr std::array<std::string_view, 11> names{"boolean", "int64", "float64",   "decimal", "text", "json",
                                                 "date",    "time",  "timestamp", "bytes",   "uuid"};
}

std::string to_string(DataType type) {
  const auto name = names[static_cast<std::size_t>(type.type)];
  if (type.type == Type::decimal && type.precision > 0)
    return fmt::format("{}({},{})", name, type.precision, type.scale);
  return std::string(name);
}

std::optional<DataType> parse_type(std::string_view text) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == text) return DataType(static_cast<Type>(i));
  if (!text.starts_with("decimal(") || !text.ends_with(")")) return {};
  text.remove_prefix(8);
  text.remove_suffix(1);
  std::uint8_t precision = 0, scale = 0;
  const auto* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, precision);
  if (error != std::errc() || precision == 0) return {};
  if (at != end && *at == ',') {
    ++at;
    while (at != end && *at == ' ') ++at;
    const auto [last, bad] = std::from_chars(at, end, scale);
    if (bad != std::errc()) return {};
    at = last;
  }
  if (at != end || scale > precision) return {};
  return DataType(Type::decimal, precision, scale);
}

std::optional<std::string> column_name(std::string_view path) {
  constexpr std::size_t longest = 63;  // PostgreSQL's
  std::string name;
  bool small_before = false;
  for (const char c : path) {
    const bool small = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool large = c >= 'A' && c <= 'Z';
    const bool apart = large ? small_before : !small;
    if (apart && !name.empty() && name.back() != '_') name += '_';
    if (large) name += static_cast<char>(c - 'A' + 'a');
    if (small) name += c;
    small_before = small;
  }
  if (name.ends_with('_')) name.pop_back();
  if (!name.empty() && name.front() <= '9') name.insert(0, "_");
  if (name.empty() || name.size() > longest) return {};
  return name;
}

}  // namespace sluice
