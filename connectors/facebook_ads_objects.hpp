#pragma once
#include <set>
#include <vector>

#include "connectors/facebook_ads_api.hpp"
#include "core/connector.hpp"

namespace sluice::facebook {

// The ad accounts that a source reads: those that the file names, or all that the token can see.
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
// Reads the rows of an object stream.
RowMapper object_mapper(const StreamSpec& stream);
// Many ads share a creative, and some have none: of a page of ads one row for each, none for none. Leaves other streams
// as they are.
void keep_each_creative_once(Batch& batch, const StreamSpec& stream);
// campaigns, adsets, ads and creatives: what changed in the slice's range of time.
task<void> read_objects(GraphApi& api, const StreamSpec& stream, const Slice& slice, Output& out);
// Ids, each once, of the objects of a level below an object (or in the whole account), whatever their status.
task<std::vector<std::string>> list_ids(GraphApi& api, Level level, Level above, std::vector<std::string> parents,
                                        Caller caller);

}  // namespace sluice::facebook
