#pragma once
#include <string>

#include "sandbox/insights.hpp"

namespace sluice::sandbox {

// True for the fields that may be asked for; a breakdown is none of them.
bool is_insight_field(std::string_view name);

// Writes insight rows as Meta does: numbers as strings, what is zero within lists and what has no denominator left out.
class RowWriter {
 public:
  RowWriter(const World& world, const InsightsQuery& query, Instant now);
  void write(const InsightRow& row, std::string& out) const;

  struct View;
  using FieldWriter = bool (*)(const View&, std::string&);

 private:
  struct Column {
    std::string key;  // "impressions":
    FieldWriter writer;
  };
  const World& world_;
  const InsightsQuery& query_;
  std::vector<Column> columns_;
  std::vector<std::string> breakdown_keys_;
};

}  // namespace sluice::sandbox
