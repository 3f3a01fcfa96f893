#include <algorithm>

#include "connectors/google_ads_query.hpp"
#include "tests/fuzz/fuzz.hpp"

// A query of the Google Ads Query Language is understood again as it is sent.

using namespace sluice;
using fuzz::require;
using google::Query;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::Input(data, size).rest();
  std::string why;
  const auto query = Query::parse(text, why);
  require(query.has_value() == why.empty(), "a query is one, or it is said why not");
  if (!query) return 0;
  const auto sent = query->text();
  const auto again = Query::parse(sent, why);
  require(again.has_value(), "what is sent is a query");
  require(again->fields == query->fields && again->from == query->from && again->where == query->where &&
              again->order == query->order && again->limit == query->limit,
          "what is sent asks for the same");
  require(again->text() == sent, "a query that was sent stays as it is");
  for (const auto& field : query->fields) {
    require(query->selects(field), "a query selects its fields");
    require(google::column_of(field).find('.') == std::string::npos, "a column's name has no dots");
    const auto path = google::json_path(field);
    require(path.find_first_of("._") == std::string::npos && !path.empty(), "JSON has its names in its own way");
  }
  const auto narrowed = Query::parse(query->text("segments.date >= '2026-03-01'"), why);
  require(narrowed && narrowed->filters("segments.date"), "a condition is added");
  return 0;
}
