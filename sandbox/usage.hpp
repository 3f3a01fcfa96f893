#pragma once
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "sandbox/world.hpp"

namespace sluice::sandbox {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// How much of their quotas the app and the accounts have used; it decays over five minutes.
class Usage {
 public:
  Usage(Clock& clock, std::int64_t quota) : clock_(clock), quota_(static_cast<double>(quota)) {}

  // What the headers are to say, whatever was really used.
  struct Pretence {
    double percent = 0;
    int regain_minutes = 0;
  };

  void count(const Account* account);
  bool exhausted(const Account& account) { return percent(account.id) >= 100; }
  HeaderList headers(const Account* account, bool insights, const Pretence* pretence, bool as_strings);

 private:
  struct Bucket {
    double used = 0;
    Duration since{};
  };
  double percent(std::int64_t key);

  Clock& clock_;
  double quota_;
  std::unordered_map<std::int64_t, Bucket> buckets_;  // 0: the app
};

}  // namespace sluice::sandbox
