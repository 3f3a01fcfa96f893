#pragma once
#include <optional>
#include <string>
#include <vector>

#include "connectors/facebook_ads_api.hpp"
#include "core/connector.hpp"

namespace sluice::facebook {

// The ad accounts that a source reads: those that the file names, or all that the token can see. Throws where none of
// them can be read.
class Accounts {
 public:
  explicit Accounts(GraphApi& api);
  // Asked for at most once in five minutes, however many streams need them.
  task<std::vector<Partition>> partitions();
  // Asks afresh, even if it was asked a moment ago.
  task<std::vector<Partition>> fetch();

 private:
  task<std::vector<Partition>> fetch_named();
  task<std::vector<Partition>> fetch_all();
  task<Partition> fetch_one(std::string id);

  GraphApi& api_;
  Semaphore asking_;
  std::vector<Partition> known_;
  std::optional<Duration> asked_;
};

// The stream `accounts`.
task<void> read_accounts(GraphApi& api, const StreamSpec& stream, Output& out);

}  // namespace sluice::facebook
