#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "sandbox/faults.hpp"

namespace sluice::sandbox {

struct Options {
  std::uint16_t port = 0;  // 0: any
  std::uint64_t seed = 1;
  int accounts = 5;
  int ads = 40;              // of each account
  std::optional<Day> today;  // time stands still at noon UTC of that day, until POST /sandbox/clock moves it
  int rows_per_day = 0;      // that many ads deliver and events of each kind happen on every day, nothing comes late
  Duration report_delay = std::chrono::seconds(2);
  Duration latency{};  // of every answer
  std::string token = "sandbox-token";
  std::string app_secret;  // when set, every call needs its appsecret_proof
  std::int64_t quota = 0;  // calls an account may make in five minutes; 0: Meta's 9,000, or no limit with rows_per_day
  bool enforce_quota = false;  // refuse calls above the quota, rather than only showing it in the headers
  std::vector<Fault> faults;
};

}  // namespace sluice::sandbox
