#pragma once
#include <map>
#include <set>
#include <string>

#include "connectors/clevertap_records.hpp"
#include "connectors/clevertap_streams.hpp"
#include "core/connector.hpp"

namespace sluice::ct {

// The events of the account.
class EventNames {
 public:
  explicit EventNames(CleverTapApi& api) : api_(api) {}
  // All that its schema lists; asked for at most once in five minutes. `afresh`: now.
  task<std::vector<std::string>> all(bool afresh = false);

 private:
  CleverTapApi& api_;
  std::vector<std::string> known_;
  std::optional<Duration> asked_;
};

// Exports of records by cursor.
class Exports {
 public:
  explicit Exports(CleverTapApi& api) : api_(api) {}

  // `events`: one event on the slice's days.
  task<void> read_events(const StreamSpec& stream, const Slice& slice, Output& out);
  // `profiles`: the people who did one of the events since the slice's beginning.
  task<void> read_profiles(const StreamSpec& stream, const Slice& slice, Output& out);
  // Why the event cannot be exported, if that is known.
  std::optional<std::string> not_offered(const std::string& event) const;

 private:
  struct Ask;
  task<std::string> begin(const Ask& ask, Output& out);
  task<HttpResponse> next(const Ask& ask, std::string path, Output& out);
  task<std::int64_t> walk(const Ask& ask, RecordReader& reader, Output& out);
  task<std::int64_t> walk_if_offered(const Ask& ask, RecordReader& reader, Output& out);
  task<std::optional<std::int64_t>> counted(const Ask& ask, std::string& why_not, Output& out);

  CleverTapApi& api_;
  std::map<std::pair<std::string, std::string>, std::int64_t> page_sizes_;  // (API, event) whose pages were too large
  std::map<std::string, std::string> not_offered_;                          // event → why
};

// How often an event happened on these days, both inclusive.
task<std::int64_t> count_events(CleverTapApi& api, const std::string& event, Day from, Day to, Output& out);
task<void> read_event_counts(CleverTapApi& api, const StreamSpec& stream, const Slice& slice, Output& out);

task<void> read_campaigns(CleverTapApi& api, const StreamSpec& stream, const Slice& slice, Output& out);
task<void> read_campaign_reports(CleverTapApi& api, const StreamSpec& stream, const Slice& slice, Output& out);

// The days, both inclusive, that a slice of a range of time asks for.
struct AskedDays {
  Day from, to;
};
AskedDays asked_days(const CleverTapApi& api, const StreamSpec& stream, const Slice& slice, int days_again);
// {"event_name":…,"from":20260801,"to":20260801}
std::string window_body(const ApiProfile& profile, const std::optional<std::string>& event, Day from, Day to);

}  // namespace sluice::ct
