#pragma once
#include <map>
#include <string>

#include "connectors/google_ads_api.hpp"
#include "connectors/google_ads_query.hpp"
#include "core/row_mapper.hpp"

namespace sluice::google {

// Rows of the API's answers as batches of a stream.
class RowReader {
 public:
  explicit RowReader(const StreamSpec& stream);
  // A JSON array of rows, or with `member` an object with them in that member.
  MappedPage map(std::string page, std::string_view member = {});
  // A saved answer of search or searchStream, or rows by themselves.
  Batch map_saved(std::string reply);

 private:
  Batch finish(Batch batch) const;
  RowMapper mapper_;
  std::vector<std::size_t> zeros_;  // columns that are 0 where the API leaves them out
};

// Reads the slices of all streams but `customers`.
class Reports {
 public:
  explicit Reports(GoogleApi& api) : api_(api) {}
  task<void> read(const StreamSpec& stream, const Slice& slice, Output& out);

 private:
  struct Job;
  // Answers that broke off, or never began.
  struct Breaks {
    int count = 0;
    Duration last{};
  };
  task<void> read_days(Job& job, DayWindow days, bool half);
  task<void> read_changes(Job& job, const ValueRange& range);
  task<void> read_query(Job& job, std::string query);
  bool is_broken(const std::string& window, bool half);
  void note_breaks(const std::string& window, int count);
  task<void> read_pages(Job& job, const std::string& query);

  GoogleApi& api_;
  std::map<std::string, Breaks> broken_;  // by window
};

}  // namespace sluice::google
