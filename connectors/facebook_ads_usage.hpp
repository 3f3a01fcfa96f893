#pragma once
#include <optional>
#include <string>
#include <vector>

#include "net/api.hpp"

namespace sluice {

// What the four usage headers of one reply say together.
struct FacebookUsage {
  std::vector<Usage> buckets;
  Duration wait{};                // after a refusal: the longest that any header asks for
  bool development_tier = false;  // "Limited" access: blocked five times as long
};

// `bucket` is the one of the ad account that was asked about; empty: the app's.
FacebookUsage read_facebook_usage(const HttpResponse& response, const std::string& bucket);

}  // namespace sluice
