#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/slice.hpp"

namespace sluice::google {

// A query in the Google Ads Query Language, taken apart into its clauses.
struct Query {
  std::vector<std::string> fields;                    // of SELECT, as written, without customer.id
  std::string from, where, order, limit, parameters;  // what stands behind the keywords; empty: no such clause

  // Why it is none, in `why`, or the query.
  static std::optional<Query> parse(std::string_view text, std::string& why);

  bool selects(std::string_view field) const;
  // Whether WHERE has a condition on the field.
  bool filters(std::string_view field) const;
  // The query, customer.id in front of its fields, with more conditions.
  std::string text(const std::string& condition = {}) const;
};

// "segments.date BETWEEN '2026-03-01' AND '2026-03-07'"
std::string within(const DayWindow& days);

// "metrics.cost_micros" → "metrics_cost_micros"
std::string column_of(std::string_view field);
// "ad_group_ad.ad.final_urls" → "adGroupAd/ad/finalUrls": where the API's JSON has it.
std::string json_path(std::string_view field);

}  // namespace sluice::google
