#include <cmath>
#include <string>

#include "connectors/facebook_ads_usage.hpp"
#include "net/gzip.hpp"
#include "net/http.hpp"
#include "tests/fuzz/fuzz.hpp"

// What another side's headers and compressed bodies make of our waiting and of our memory.

using namespace sluice;
using fuzz::require;

namespace {

void check_waits(const HttpResponse& response) {
  constexpr auto century = std::chrono::hours(24) * 36'525;
  if (const auto wait = retry_after(response))
    require(*wait >= Duration::zero() && *wait <= 100 * century, "a wait is an amount of time");
  date_of(response);
  const auto usage = read_facebook_usage(response, "act_1");
  require(usage.wait >= Duration::zero() && usage.wait <= std::chrono::hours(24), "a wait is a day at most");
  for (const auto& bucket : usage.buckets) {
    require(std::isfinite(bucket.fraction), "a share is a number");
    require(!bucket.regain || (*bucket.regain >= Duration::zero() && *bucket.regain <= std::chrono::hours(24)),
            "a quota comes back within a day");
    require(bucket.bucket == "act_1" || bucket.bucket == "app", "usage is of a bucket that is known");
  }
}

struct Unpacked {
  std::string bytes;
  bool corrupt = false, complete = false;
  bool operator==(const Unpacked&) const = default;
};

Unpacked unpack(std::string_view body, std::size_t piece, std::size_t room) {
  constexpr std::size_t most = 1 << 20;
  Gunzip gunzip;
  Unpacked unpacked;
  while (!body.empty() && !unpacked.corrupt) {
    auto in = body.substr(0, piece);
    body.remove_prefix(in.size());
    for (;;) {
      const auto before = unpacked.bytes.size(), waiting = in.size();
      const auto state = gunzip.decode(in, unpacked.bytes, room);
      require(unpacked.bytes.size() - before <= room, "no more is unpacked at once than there is room for");
      unpacked.corrupt = state == Gunzip::State::corrupt;
      if (unpacked.corrupt || unpacked.bytes.size() >= most) return unpacked;
      if (state == Gunzip::State::hungry) break;
      require(unpacked.bytes.size() > before || in.size() < waiting, "unpacking goes on");
    }
    require(in.empty(), "who asks for more has taken what was there");
  }
  unpacked.complete = gunzip.complete();
  return unpacked;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto piece = 1 + input.pick(16);
  HttpResponse response;
  for (const auto* name : {"date", "retry-after", "x-app-usage", "x-ad-account-usage", "x-business-use-case-usage",
                           "x-fb-ads-insights-throttle"})
    response.headers.emplace_back(name, std::string(input.line()));
  std::erase_if(response.headers, [](const auto& header) { return header.second.empty(); });
  check_waits(response);

  const auto whole = unpack(input.rest(), std::max<std::size_t>(input.rest().size(), 1), 64 << 10);
  if (whole.bytes.size() < 4096)
    require(whole.corrupt || unpack(input.rest(), piece, 100) == whole, "a body is unpacked alike however it comes");
  return 0;
}
