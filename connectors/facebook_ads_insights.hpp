#pragma once
#include <set>
#include <string>

#include "connectors/facebook_ads_reports.hpp"

namespace sluice::facebook {

// Reads windows of insights, and cuts what is too large for one report: by days, then by ids, then by fields.
class InsightsReader {
 public:
  InsightsReader(GraphApi& api, Reports& reports) : api_(api), reports_(reports) {}
  task<void> read(const StreamSpec& stream, const Slice& slice, Output& out);

 private:
  struct Job;
  struct Children;
  task<void> read_part(Job& job, ReportAsk ask);
  task<bool> deliver(Job& job, const ReportAsk& ask);
  task<void> hand_on(Job& job, Batch batch);
  task<void> split(Job& job, ReportAsk ask);
  task<void> split_by_days(Job& job, ReportAsk ask);
  task<void> split_by_ids(Job& job, ReportAsk ask);
  task<void> split_by_children(Job& job, ReportAsk ask);
  task<void> split_by_fields(Job& job, ReportAsk ask);
  static Reject unreadable(const Job& job, const ReportAsk& ask, const std::string& why);
  task<std::optional<Children>> children_of(Job& job, const ReportAsk& ask);
  task<Batch> gather(Job& job, ReportAsk ask, bool just_failed);
  task<std::optional<Batch>> rows_of(Job& job, const InsightsQuery& query, const ReportAsk& ask, RowMapper& mapper);

  GraphApi& api_;
  Reports& reports_;
  // What turned out to be too large after some of its rows had been handed on: next time it is cut at once.
  std::set<std::string> too_large_;
};

}  // namespace sluice::facebook
