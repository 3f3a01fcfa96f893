#include "daemon/cell_print.hpp"

#include <nlohmann/json.hpp>

#include "core/time.hpp"

namespace sluice {
namespace {

std::string print_integer(std::int64_t value, DataType type) {
  switch (type.type) {
    case Type::boolean:
      return value != 0 ? "true" : "false";
    case Type::date:
      return format_day(Day(1970, 1, 1) + value);
    case Type::timestamp:
      return format_instant(Instant(Duration(value)));
    case Type::time: {
      const auto text = format_instant(Instant(Duration(value)));  // 1970-01-01Thh:mm:ss[.ffffff]Z
      return text.substr(11, text.size() - 12);
    }
    default:
      return std::to_string(value);
  }
}

}  // namespace

std::optional<std::string> print_cell(const Batch& batch, const Cell& cell, DataType type) {
  switch (cell.kind) {
    case Kind::null:
    case Kind::absent:
      return {};
    case Kind::int64:
      return print_integer(cell.integer, type);
    case Kind::float64:
      return fmt::format("{}", cell.real);
    case Kind::text:
      return std::string(batch.text(cell));
  }
  return {};
}

std::string json_of(const std::optional<std::string>& printed, Type type) {
  using nlohmann::json;
  if (!printed) return "null";
  if (type == Type::json && json::accept(*printed)) return *printed;
  return json(*printed).dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace sluice
