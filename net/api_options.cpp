#include "net/api_options.hpp"

#include <fmt/format.h>

namespace sluice {
namespace {

std::int64_t at_least_one(const Settings& table, const char* name) {
  const auto value = table.integer(name);
  if (value >= 1) return value;
  throw Error(Remedy::give_up,
              fmt::format("{}: \"{}\" is {}, expected at least 1", to_string(table.where(name)), name, value));
}

double share(const Settings& table, const char* name, double least) {
  const auto value = table.fraction(name);
  if (value >= least && value <= 1) return value;
  throw Error(Remedy::give_up, fmt::format("{}: \"{}\" is {:.0f}%, expected {:.0f}% to 100%",
                                           to_string(table.where(name)), name, value * 100, least * 100));
}

}  // namespace

ApiOptions read_api_options(const Settings& source, const std::string& name) {
  ApiOptions options;
  options.source = name;
  const auto limit = source.table("rate_limit");
  options.limit.per_second = limit.rate("rate").per_second;
  options.limit.burst = static_cast<double>(at_least_one(limit, "burst"));
  options.limit.target = share(limit, "target", 0.01);
  options.limit.reserve = share(limit, "reserve", 0);
  const auto retry = source.table("retry");
  const auto backoff = retry.range("backoff");
  options.retry.attempts = static_cast<int>(std::min<std::int64_t>(at_least_one(retry, "attempts"), 1000));
  options.retry.least = backoff.least;
  options.retry.most = backoff.most;
  options.retry.within = retry.duration("within");
  return options;
}

}  // namespace sluice
