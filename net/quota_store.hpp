#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/task.hpp"
#include "core/time.hpp"

namespace sluice {

// What one process leaves for the next of a quota of hours: how much of a budget is left, and until when nothing is
// sent.
struct QuotaRecord {
  std::string source, bucket;
  std::string account;  // whose quota it is, as far as that is known; another one's says nothing
  Instant told;
  double tokens = 0, backfill_tokens = 0;
  std::optional<Instant> closed_until;
  std::string reason, message;  // of the error that closed it
};

class QuotaStore {
 public:
  virtual ~QuotaStore() = default;
  virtual task<std::vector<QuotaRecord>> quotas(std::string source) = 0;
  virtual task<void> keep_quota(QuotaRecord quota) = 0;
};

}  // namespace sluice
