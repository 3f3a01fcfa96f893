#include "transform/cast.hpp"

#include <fmt/format.h>

#include "core/cell_text.hpp"
#include "core/clean_text.hpp"

namespace sluice {
namespace {

// What of a value a message may show.
std::string shown(std::string_view text) {
  return fmt::format("'{}'", shortened(text, 40));
}

}  // namespace

std::string text_of(const Batch& batch, const Cell& cell, DataType type) {
  if (cell.kind == Kind::text) return std::string(batch.text(cell));
  if (cell.kind == Kind::float64) return fmt::format("{}", cell.real);
  switch (type.type) {
    case Type::boolean:
      return cell.integer ? "true" : "false";
    case Type::date:
      return format_day(Day(1970, 1, 1) + cell.integer);
    case Type::timestamp:
      return format_instant(Instant(Duration(cell.integer)));
    case Type::time: {
      const auto text = format_instant(Instant(Duration(cell.integer)));
      return text.substr(11, text.size() - 12);
    }
    default:
      return std::to_string(cell.integer);
  }
}

bool can_cast(DataType from, DataType to) {
  if (from.type == to.type || to.type == Type::text) return true;
  switch (from.type) {
    case Type::text:
      return to.type != Type::bytes && to.type != Type::json;
    case Type::int64:
      return to.type == Type::decimal || to.type == Type::float64 || to.type == Type::boolean;
    case Type::decimal:
      return to.type == Type::int64 || to.type == Type::float64;
    case Type::float64:
      return to.type == Type::int64;
    case Type::boolean:
      return to.type == Type::int64;
    case Type::timestamp:
      return to.type == Type::date;
    case Type::date:
      return to.type == Type::timestamp;
    default:
      return false;
  }
}

std::optional<Cell> cast_cell(Batch& batch, const Cell& cell, DataType from, DataType to, std::string& fault) {
  if (cell.is_null() || from == to) return cell;
  auto text = text_of(batch, cell, from);
  if (to.type == Type::text) return cell.kind == Kind::text ? cell : batch.add_text(text);
  if (from.type == Type::boolean) return cell;
  auto source = text;
  if (from.type == Type::timestamp && to.type == Type::date) source.resize(10);
  if (from.type == Type::date && to.type == Type::timestamp) source += "T00:00:00Z";
  CellText parsed;
  if (!parse_cell_text(source, to, parsed)) {
    fault = fmt::format("{} does not fit {}", shown(text), to_string(to));
    return {};
  }
  return parsed.text ? batch.add_text(*parsed.text) : parsed.cell;
}

}  // namespace sluice
