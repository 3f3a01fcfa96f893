#include "core/json_cell.hpp"

#include <fmt/format.h>

#include <cstring>

#include "core/cell_text.hpp"
#include "core/clean_text.hpp"
#include "core/decimal.hpp"
#include "core/error.hpp"
#include "core/json_text.hpp"

namespace sluice {
namespace {

namespace json = simdjson::ondemand;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n' || text.back() == '\r' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

// What canonical JSON of protocol buffers has for a double that is no number.
bool is_no_number(std::string_view text) {
  return text == "NaN" || text == "Infinity" || text == "-Infinity";
}

}  // namespace

void not_json(simdjson::error_code error) {
  throw Error(Remedy::retry, fmt::format("the answer is not valid JSON ({})", simdjson::error_message(error)));
}

std::string_view token_of(json::value value) {
  return trimmed(value.raw_json_token());
}

std::string_view text_of(json::value value) {
  const auto token = token_of(value);
  std::string_view text = token;
  if (token.front() == '{') {
    json::object object;
    require(value.get_object().get(object));
    require(object.raw_json().get(text));
  } else if (token.front() == '[') {
    json::array array;
    require(value.get_array().get(array));
    require(array.raw_json().get(text));
  }
  return trimmed(text);
}

std::string shown(std::string_view text) {
  return shortened(text, 60);
}

Cell JsonCells::in_page(std::string_view part) const {
  Cell cell;
  cell.kind = Kind::text;
  cell.size = static_cast<std::uint32_t>(part.size());
  cell.offset = static_cast<std::uint64_t>(part.data() - page_.data());
  return cell;
}

Cell JsonCells::keep(std::string_view text) {
  const bool inside = text.data() >= page_.data() && text.data() < page_.data() + page_.size();
  return inside ? in_page(text) : batch_.add_text(text);
}

bool JsonCells::read(json::value value, DataType type, Cell& cell) {
  cell = Cell::absent();
  const auto token = token_of(value);
  if (token == "null") {
    cell = Cell();
    return true;
  }
  if (type.type == Type::json) {
    cell = in_page(text_of(value));
    if (clean_cell(batch_, cell, Type::json)) return true;
    cell = Cell::absent();
    return false;
  }
  switch (token.front()) {
    case '"':
      return read_string(token, type, cell);
    case '{':
    case '[':
      return false;
    case 't':
    case 'f':
      return (token == "true" || token == "false") && read_text(token, type, cell);
    default:
      return json_number_size(token) == token.size() && read_text(token, type, cell);
  }
}

bool JsonCells::read_string(std::string_view token, DataType type, Cell& cell) {
  if (token.size() < 2 || token.back() != '"') return false;
  const auto inner = token.substr(1, token.size() - 2);
  if ((type.type == Type::float64 || type.type == Type::decimal) && is_no_number(inner)) {
    cell = Cell();
    return true;
  }
  if (std::memchr(inner.data(), '\\', inner.size()) == nullptr) return read_text(inner, type, cell);
  char* out = batch_.grow_text(inner.size());
  const auto size = unescape_json(inner, out, batch_.repaired);
  const auto unescaped = batch_.commit_text(size.value_or(0));
  if (!size) return false;
  if (type.type == Type::text) {
    cell = unescaped;
    return true;
  }
  const std::string text(batch_.text(unescaped));
  return read_text(text, type, cell);
}

bool JsonCells::read_text(std::string_view text, DataType type, Cell& cell) {
  const bool as_it_is = type.type == Type::text || type.type == Type::bytes ||
                        (type.type == Type::decimal && type.precision == 0 && is_canonical_decimal(text));
  if (as_it_is) {
    cell = keep(text);
    return true;
  }
  CellText parsed;
  if (!parse_cell_text(text, type, parsed)) return false;
  cell = parsed.text ? batch_.add_text(*parsed.text) : parsed.cell;
  return true;
}

}  // namespace sluice
