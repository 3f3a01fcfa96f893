#pragma once
#include <map>
#include <string>
#include <vector>

#include "sandbox/prepared.hpp"
#include "sandbox/reports.hpp"

namespace sluice::sandbox {

// One call of the Graph API, alone or out of a batch.
struct Call {
  std::string method;
  std::string version;
  std::vector<std::string> path;  // behind the version
  Params params;
  std::string subject;  // "GET /v26.0/me?fields=id", what faults are matched with; no token
  std::string base;     // "http://127.0.0.1:8080"
};

// Whose quota a call uses.
struct Concern {
  const Account* account = nullptr;
  bool insights = false;
};

// The endpoints: from a call to the text of a JSON answer. Refusals are thrown as GraphError.
class Graph {
 public:
  Graph(const World& world, Reports& reports, Faults& faults, bool prepared)
      : world_(world), reports_(reports), faults_(faults), prepared_(world), use_prepared_(prepared) {}

  std::string answer(const Call& call, Instant now, Concern& concern);
  std::int64_t rows_served() const { return rows_served_; }
  void forget_rows_served() { rows_served_ = 0; }

 private:
  struct Page;
  std::string me(const Call& call, Instant now);
  std::string many(const Call& call, Instant now);
  std::string account_node(const Call& call, Instant now, Concern& concern);
  std::string numbered_node(const Call& call, Instant now, Concern& concern);
  std::string objects(const Call& call, const Account& account, Kind kind, Instant now);
  std::string submit(const Call& call, const Account& account, const Object* scope, Instant now);
  std::string insights_now(const Call& call, const Account& account, const Object* scope, Instant now);
  std::string report_node(const Call& call, Report& report, Concern& concern);
  std::string insight_page(const Call& call, const InsightsQuery& query, const std::vector<InsightRow>& rows,
                           Instant as_of);
  std::string prepared_page(const Call& call, const InsightsQuery& query);
  const Account& require_account(std::string_view id, const Call& call, Concern& concern);
  void permit(const Account& account, const Call& call);
  void refuse_large_page(const Call& call);
  void refuse_many_rows(const Call& call, const InsightsQuery& query, Instant now);

  // From the total, `limit` and `after`: what the page holds.
  Page lay_out(const Call& call, std::size_t total,
               const std::function<std::optional<std::size_t>(std::string_view)>& find);
  std::string paging(const Call& call, const Page& page);
  std::string render(const Call& call, const Page& page, std::vector<std::string> rows,
                     std::optional<std::size_t> total);

  const World& world_;
  Reports& reports_;
  Faults& faults_;
  PreparedReports prepared_;
  bool use_prepared_;
  std::int64_t rows_served_ = 0;
  std::map<std::string, std::string> last_after_;  // by path: the cursor of the request before
};

}  // namespace sluice::sandbox
