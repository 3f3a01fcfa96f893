#include "net/api_options.hpp"

namespace sluice {

ApiOptions read_api_options(const Settings& source, const std::string& name) {
  ApiOptions options;
  options.source = name;
  const auto limit = source.table("rate_limit");
  options.limit.per_second = limit.rate("rate").per_second;
  options.limit.burst = static_cast<double>(limit.integer("burst"));
  options.limit.target = limit.fraction("target");
  options.limit.reserve = limit.fraction("reserve");
  const auto retry = source.table("retry");
  const auto backoff = retry.range("backoff");
  options.retry.attempts = static_cast<int>(retry.integer("attempts"));
  options.retry.least = backoff.least;
  options.retry.most = backoff.most;
  options.retry.within = retry.duration("within");
  return options;
}

}  // namespace sluice
