#pragma once
#include <string>
#include <unordered_map>

#include "sandbox/insights.hpp"
#include "sandbox/prepared_rows.hpp"

namespace sluice::sandbox {

// Reports at ad level with one row per ad and day, as prepared rows of each weekday.
class PreparedReports {
 public:
  explicit PreparedReports(const World& world) : world_(world) {}

  // False where the query needs rows of its own.
  static bool fits(const InsightsQuery& query);
  std::size_t size(const InsightsQuery& query) const;
  void append(const InsightsQuery& query, std::size_t first, std::size_t last, std::string& out);

 private:
  const PreparedRows& rows(const InsightsQuery& query, Day day);

  const World& world_;
  std::unordered_map<std::string, PreparedRows> rows_;  // by query and weekday
  std::size_t bytes_ = 0;
};

}  // namespace sluice::sandbox
