#include "core/check.hpp"

#include <fmt/format.h>
#include <openssl/x509.h>

namespace sluice {
namespace {

constexpr Duration tolerated_skew = std::chrono::minutes(1);
constexpr Duration renewed_before = std::chrono::hours(30 * 24);

}  // namespace

std::optional<Finding> clock_finding(Instant ours, Instant theirs, const std::string& whose) {
  const auto skew = ours > theirs ? ours - theirs : theirs - ours;
  if (skew <= tolerated_skew) return {};
  return Finding(
      Finding::Level::warning,
      fmt::format("this machine's clock is {} {} {}: set both by NTP, or rows are missed at the edges of days",
                  format_duration(std::chrono::floor<std::chrono::seconds>(skew)),
                  ours > theirs ? "ahead of" : "behind", whose));
}

std::optional<Instant> end_of(const X509& certificate) {
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &end) != 1) return {};
  return Instant(std::chrono::seconds(::timegm(&end)));
}

std::optional<Finding> certificate_finding(Instant end, Instant now, const std::string& whose) {
  if (end - now >= renewed_before) return {};
  if (end <= now)
    return Finding(Finding::Level::error,
                   fmt::format("{} certificate ended on {}: have it renewed, connections are refused", whose,
                               format_day(day_of(end, utc()))));
  return Finding(
      Finding::Level::warning,
      fmt::format("{} certificate ends on {}, in {} days: have it renewed, or connections are refused then", whose,
                  format_day(day_of(end, utc())), std::chrono::floor<std::chrono::days>(end - now).count()));
}

}  // namespace sluice
