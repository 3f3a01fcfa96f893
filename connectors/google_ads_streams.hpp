#pragma once
#include <span>
#include <string>
#include <vector>

#include "connectors/google_ads_query.hpp"
#include "core/schema.hpp"

// The streams of Google Ads and what their queries are.

namespace sluice::google {

std::span<const Option> stream_options();
// The stream option that makes a stream of any query.
inline constexpr std::string_view query_option = "query";

std::vector<StreamSpec> catalogue();
StreamSpec configure(const std::string& from, const Settings& options, Faults& faults);

// What is asked for; of a stream that `configure` made.
Query query_of(const StreamSpec& stream);
// Google: click_view takes one day at a time.
bool one_day_a_query(const Query& query);
// How many days back, today included, the source has the stream; 0: as long as reports are kept.
int kept_days(const StreamSpec& stream);

}  // namespace sluice::google
