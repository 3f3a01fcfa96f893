#pragma once
#include <vector>

#include "connectors/facebook_ads_api.hpp"
#include "core/connector.hpp"

namespace sluice::facebook {

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
