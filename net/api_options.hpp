#pragma once
#include <string>

#include "core/settings.hpp"
#include "net/api.hpp"

namespace sluice {

// `rate_limit:` and `retry:` of a source that is an API.
inline constexpr Option rate_limit_options[] = {
    {.name = "rate", .value = Value::rate, .help = "Requests at most.", .fallback = "10/s"},
    {.name = "burst",
     .value = Value::integer,
     .help = "Requests that may be made at once after a pause.",
     .fallback = "20",
     .least = "1"},
    {.name = "target",
     .value = Value::percent,
     .help = "Share of the API's own quota to use.",
     .fallback = "75%",
     .least = "1%"},
    {.name = "reserve",
     .value = Value::percent,
     .help = "Share of rate and quota that backfills leave to scheduled runs.",
     .fallback = "30%"},
};
inline constexpr Option retry_options[] = {
    {.name = "attempts",
     .value = Value::integer,
     .help = "Tries of one request in all.",
     .fallback = "6",
     .least = "1",
     .most = "1000"},
    {.name = "backoff",
     .value = Value::range,
     .help = "Shortest and longest pause between two tries.",
     .fallback = "1s..5m"},
    {.name = "within",
     .value = Value::duration,
     .help = "How long a request is tried for; pauses that the API asks for do not count.",
     .fallback = "15m"},
};
inline constexpr Option rate_limit_option{
    .name = "rate_limit",
    .value = Value::table,
    .help = "How fast the API may be asked, by all pipelines of the source together.",
    .children = rate_limit_options};
inline constexpr Option retry_option{.name = "retry",
                                     .value = Value::table,
                                     .help = "How often a request that failed for a passing cause is tried again.",
                                     .children = retry_options};

// What `source`, whose table holds both options, says about the API.
ApiOptions read_api_options(const Settings& source, const std::string& name);

}  // namespace sluice
