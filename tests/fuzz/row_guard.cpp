#include "core/row_guard.hpp"

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "tests/fuzz/fuzz.hpp"

// What must not be stored is gone from a page of rows, and all else is as it was.

using namespace sluice;
using fuzz::require;
using nlohmann::json;

namespace {

const json hidden = std::string(redacted);

json masked(const json& value) {
  if (value.is_null()) return value;
  if (!value.is_structured()) return hidden;
  auto made = value;
  for (auto& inner : made) inner = masked(inner);
  return made;
}

// Of what stands under "a": without its "b", wherever a list leads to it.
json without_b(const json& value) {
  if (value.is_null()) return value;
  if (!value.is_structured()) return hidden;
  auto made = value;
  if (made.is_object()) {
    made.erase("b");
    return made;
  }
  for (auto& item : made) item = without_b(item);
  return made;
}

// What is left of a row where "secret" is masked and "a.b" is dropped.
json guarded(const json& row) {
  if (row.is_null()) return row;
  if (!row.is_structured()) return hidden;
  auto made = row;
  if (made.is_array()) {
    for (auto& item : made) item = guarded(item);
    return made;
  }
  for (const auto* name : {"a.b", "a/b"}) made.erase(name);
  if (made.contains("secret")) made["secret"] = masked(made["secret"]);
  if (made.contains("a")) made["a"] = without_b(made["a"]);
  return made;
}

bool deep(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '{'; }) > 500;
}

const RowGuard& guard() {
  using Rule = RowGuard::Rule;
  static const RowGuard made({Rule{Rule::What::mask, "secret", std::make_shared<Mask>(Mask::Method::redact)},
                              Rule{Rule::What::drop, "a.b", nullptr}},
                             {}, true);
  return made;
}

// What a text says; nothing, where that cannot be compared.
json parse(std::string_view text) {
  return fuzz::comparable(text) ? json::parse(text, nullptr, false) : json(json::value_t::discarded);
}

void check_page(std::string_view text) {
  auto expected = parse(text);
  std::string out;
  try {
    std::int64_t repaired = 0;
    out = guard().page(std::string(text), "data", false, repaired);
  } catch (const Error& error) {
    require(expected.is_discarded() && error.remedy() == Remedy::retry, "a page that is JSON is guarded");
    return;
  }
  if (!expected.is_object()) return;
  if (auto rows = expected.find("data"); rows != expected.end() && rows->is_array())
    for (auto& row : *rows) row = guarded(row);
  require(json::parse(out, nullptr, false) == expected, "what is hidden is gone, and nothing else");
}

void check_value(std::string_view text) {
  const auto expected = parse(text);
  const auto out = json::parse(guard().value(std::string(text)), nullptr, false);
  require(!out.is_discarded(), "a guarded value is JSON");
  if (!expected.is_discarded()) require(out == guarded(expected), "what is hidden is gone from a value");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::Input(data, size).rest();
  if (deep(text)) return 0;
  check_page(text);
  check_value(text);
  require(!json::parse(outline(text), nullptr, false).is_discarded(), "an outline is JSON");
  return 0;
}
