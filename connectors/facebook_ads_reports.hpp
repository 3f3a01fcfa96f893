#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "connectors/facebook_ads_api.hpp"
#include "connectors/facebook_ads_streams.hpp"
#include "core/connector.hpp"

namespace sluice::facebook {

// What one report is asked for: days (the last one inclusive), objects, fields.
struct ReportAsk {
  Day since, until;
  Level above = Level::account;  // what `ids` are; account: everything
  std::vector<std::string> ids;
  std::vector<std::string> fields;
  ReportAsk(Day s, Day u, std::vector<std::string> f) : since(s), until(u), fields(std::move(f)) {}
  std::string describe() const;
};

// Asynchronous reports: submitted, watched until they are complete, and submitted again when they come to nothing.
class Reports {
 public:
  explicit Reports(GraphApi& api);

  // The id of a report whose rows can be read. Nothing when Meta cannot make it: `failure` then says why, with
  // Remedy::shrink where Meta says that it is too large, and Remedy::retry where it only fails again and again.
  task<std::optional<std::string>> complete(const InsightsQuery& query, const ReportAsk& ask, Caller caller,
                                            std::optional<Error>& failure);

 private:
  enum class State { complete, failed, throttled, lost };  // lost: it will never be complete
  task<void> make(const InsightsQuery& query, const ReportAsk& ask, Caller caller, std::optional<std::string>& report,
                  std::optional<Error>& failure);
  task<std::string> submit(const InsightsQuery& query, const ReportAsk& ask, Caller caller);
  task<State> watch(std::string report, Caller caller, std::string& why);
  Semaphore& slots(const std::string& account);

  GraphApi& api_;
  std::map<std::string, std::unique_ptr<Semaphore>> slots_;
};

}  // namespace sluice::facebook
