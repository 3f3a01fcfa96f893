#pragma once
#include <simdjson.h>

#include <string>
#include <string_view>

#include "core/batch.hpp"

// One JSON value → one cell.

namespace sluice {

// Throws Error(retry): what came is not JSON.
[[noreturn]] void not_json(simdjson::error_code error);
inline void require(simdjson::error_code error) {
  if (error) not_json(error);
}

// A value's first token: all of a number, word or string, the bracket of an array or object. Does not step over it.
std::string_view token_of(simdjson::ondemand::value value);
// The whole text of a value, of which only the brackets were counted; steps over it.
std::string_view text_of(simdjson::ondemand::value value);
// What of a value a message may show.
std::string shown(std::string_view text);

// Reads the values of a page, which its batch has adopted, as cells of the batch: most are parts of the page.
class JsonCells {
 public:
  JsonCells(std::string_view page, Batch& batch) : page_(page), batch_(batch) {}

  // False: the value does not say one of the type. Strings may hold numbers; no number passes through a double on its
  // way to int64 or decimal.
  bool read(simdjson::ondemand::value value, DataType type, Cell& cell);
  // A cell of a part of the page.
  Cell in_page(std::string_view part) const;

 private:
  bool read_string(std::string_view token, DataType type, Cell& cell);
  bool read_text(std::string_view text, DataType type, Cell& cell);
  // The text as a cell: where it lies in the page, as it lies there.
  Cell keep(std::string_view text);

  std::string_view page_;
  Batch& batch_;
};

}  // namespace sluice
