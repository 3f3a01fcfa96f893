#include "core/json_rows.hpp"

#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.hpp"
#include "tests/fuzz/fuzz.hpp"

// An answer is taken apart alike wherever it is cut, and gives the rows that a full parser finds in it.

using namespace sluice;
using fuzz::require;
using nlohmann::json;
using PartKind = JsonRowStream::Part::Kind;

namespace {

struct Taken {
  bool whole = false;  // the stream found nothing wrong
  std::vector<std::string> rows, elements;
  bool operator==(const Taken&) const = default;
};

Taken take(std::string_view answer, std::size_t piece, std::size_t part_bytes) {
  JsonRowStream stream("results", part_bytes);
  Taken taken;
  try {
    for (std::size_t at = 0; at < answer.size(); at += piece) {
      stream.feed(answer.substr(at, piece));
      while (auto part = stream.next())
        (part->kind == PartKind::rows ? taken.rows : taken.elements).push_back(std::move(part->text));
    }
    stream.finish();
    taken.whole = true;
  } catch (const Error& error) {
    require(error.remedy() == Remedy::retry, "an answer that is none is asked for again");
  }
  return taken;
}

// A document without member names that are written in two ways, or twice.
bool plain(std::string_view text) {
  return text.find('\\') == text.npos;
}

void compare(const json& answer, const Taken& taken) {
  json expected = json::array();
  for (const auto& element : answer.is_object() ? json::array({answer}) : answer) {
    if (!element.is_object()) return;
    const auto found = element.find("results");
    if (found == element.end() || !found->is_array()) continue;
    for (const auto& row : *found) expected.push_back(row);
  }
  require(taken.whole, "an answer that is one is taken");
  json rows = json::array();
  for (const auto& part : taken.rows) {
    const auto page = json::parse(part, nullptr, false);
    require(page.is_array(), "a part of rows is a list");
    for (const auto& row : page) rows.push_back(row);
  }
  for (const auto& element : taken.elements)
    require(json::parse(element, nullptr, false).is_object(), "an element without its rows is an object");
  if (rows.size() == expected.size()) require(rows == expected, "the rows are those of the answer, in their order");
  // A member that stands twice counts once for the parser, and is read twice here.
  require(rows.size() >= expected.size(), "no row of the answer is lost");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto piece = 1 + input.pick(32);
  const auto part_bytes = 1 + input.pick(64);
  const auto text = input.rest();
  const auto whole = take(text, std::max<std::size_t>(text.size(), 1), part_bytes);
  const auto cut = take(text, piece, part_bytes);
  require(whole == cut, "an answer is taken apart alike wherever it is cut");
  const auto answer = json::parse(text, nullptr, false);
  if (answer.is_structured() && plain(text) && fuzz::comparable(text)) compare(answer, whole);
  return 0;
}
