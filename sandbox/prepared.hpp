#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "sandbox/insights.hpp"

namespace sluice::sandbox {

// Reports at ad level with one row per ad and day, as prepared bytes: what a benchmark reads must cost next to nothing
// to serve. The rows of a weekday are made once; a page is a copy of them with its dates put in.
class PreparedReports {
 public:
  explicit PreparedReports(const World& world) : world_(world) {}

  // False where the query needs rows of its own.
  static bool fits(const InsightsQuery& query);
  std::size_t size(const InsightsQuery& query) const;
  void append(const InsightsQuery& query, std::size_t first, std::size_t last, std::string& out);

 private:
  struct Block {
    std::string text;                 // rows, each followed by a comma
    std::vector<std::size_t> starts;  // of each row, and the end
    std::vector<std::size_t> dates;   // two of each row
  };
  const Block& block(const InsightsQuery& query, Day day);

  const World& world_;
  std::unordered_map<std::string, std::unique_ptr<Block>> blocks_;
  std::size_t bytes_ = 0;
};

}  // namespace sluice::sandbox
