#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "connectors/google_ads_api.hpp"

namespace sluice::google {

struct Customer {
  std::string id, name, zone, status;
  bool manager = false, test = false;
  std::string given;             // the JSON object that says so
  std::optional<Error> refused;  // why nothing is known of it
};

// The customers of a source: those it names, or all below its manager. Asked for at most once an hour: zones and names
// change rarely, and each question is an operation.
class Customers {
 public:
  explicit Customers(GoogleApi& api);

  // One for each customer that is no manager; with a reason for those that are left out. Throws when none can be read:
  // Error(postpone) where that is for a quota that comes back in hours.
  task<std::vector<Partition>> partitions();
  // The API refused to read the customer: it is left out until the customers are asked for again. False when no other
  // is left to be read: then the refusal is a failure.
  bool leave_out(const std::string& id, const std::string& why);
  // Why the customer is left out, as far as is known; empty: it is not.
  std::string left_out(const std::string& id) const;
  // The stream `customers`.
  task<void> read(const StreamSpec& stream, Output& out);

 private:
  // All, asked for anew.
  task<std::vector<Customer>> fetch();
  task<std::vector<Customer>> fetch_below_login();
  task<std::vector<Customer>> fetch_named();
  task<std::vector<Customer>> fetch_accessible();
  // The customers that a query gives.
  task<std::vector<Customer>> ask(std::string customer, std::string resource);
  // The same; where the customer refuses for itself alone, it is the only one, and its `refused` says why.
  task<std::vector<Customer>> ask_or_leave_out(std::string customer, std::string resource);

  // Says it once.
  void tell_missing(const Customer& customer);

  GoogleApi& api_;
  Semaphore asking_;
  std::optional<Duration> asked_;
  std::vector<Partition> known_;
  std::set<std::string> told_missing_;
};

}  // namespace sluice::google
