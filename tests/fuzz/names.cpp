#include <string>
#include <vector>

#include "core/error.hpp"
#include "sinks/table_plan.hpp"
#include "tests/fuzz/fuzz.hpp"

// Names that come from outside never leave the alphabet of identifiers, and types are read as they are written.

using namespace sluice;
using fuzz::require;

namespace {

void check_name(std::string_view text) {
  const auto name = column_name(text);
  if (name) {
    require(is_identifier(*name), "a column's name is an identifier");
    require(column_name(*name) == name, "a column's name is its own");
  }
  std::string quote;
  try {
    quote = quoted_name(text);
  } catch (const Error&) {
    require(!is_identifier(text), "an identifier can be quoted");
    return;
  }
  require(is_identifier(text) && quote == "\"" + std::string(text) + "\"", "only identifiers are quoted");
}

void check_fitted(std::string_view a, std::string_view b) {
  if (!is_identifier(a) || !is_identifier(b)) return;
  const std::vector<std::string> one{std::string(b)}, two{std::string(b), std::string(b)};
  require(is_identifier(index_name(a, one)), "the name of an index is an identifier");
  require(index_name(a, one) != index_name(a, two), "indexes on different columns have different names");
  const auto stem = std::string(a) + std::string(b);
  require(fitted_name(stem, "_stage").size() <= 63 && fitted_name(stem, "_stage").ends_with("_stage"),
          "a fitted name fits");
}

void check_types(std::string_view a, std::string_view b) {
  const auto from = parse_type(a), to = parse_type(b);
  if (from) require(parse_type(to_string(*from)) == from, "a type is read as it was written");
  if (!from || !to) return;
  const auto both = widened(*from, *to);
  if (both) require(holds(*both, *from) && holds(*both, *to), "a widened type holds what both hold");
  if (holds(*from, *to)) require(both == from, "a type that holds the other needs no widening");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto first = input.line();
  const auto second = input.rest();
  check_name(first);
  check_name(second);
  check_fitted(first, second);
  check_types(first, second);
  return 0;
}
