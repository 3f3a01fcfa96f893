// What an Api leaves of its quotas to the next process.
#include "net/api.hpp"

namespace sluice {

task<void> Api::remember() {
  const auto permit = co_await meeting_->remembering.acquire();
  if (remembered_) co_return;
  std::vector<QuotaRecord> known;
  try {
    if (options_.quotas) known = co_await options_.quotas->quotas(options_.source);
  } catch (const Error&) {
    // Then it begins as if nothing had been spent; the state's own health check says what is wrong.
  }
  remembered_ = true;
  for (const auto& quota : known) {
    if (quota.account != options_.account) continue;
    const auto now = clock_.now();
    if (options_.budgets.contains(quota.bucket))
      bucket(quota.bucket).restore(quota.tokens, quota.backfill_tokens, now - quota.told);
    if (!quota.closed_until || *quota.closed_until <= now) continue;
    // Never for longer than it was closed for, however the wall clock was set meanwhile.
    const auto left = std::min(*quota.closed_until - now, *quota.closed_until - quota.told);
    closed_.insert_or_assign(quota.bucket, Closed{clock_.uptime() + left, quota.reason, quota.message});
  }
}

QuotaRecord Api::quota_of(const std::string& name) {
  QuotaRecord quota;
  quota.source = options_.source;
  quota.bucket = name;
  quota.account = options_.account;
  quota.told = clock_.now();
  quota.tokens = bucket(name).tokens(clock_.uptime());
  quota.backfill_tokens = bucket(name).backfill_tokens(clock_.uptime());
  const auto closed = closed_.find(name);
  if (closed == closed_.end() || closed->second.until <= clock_.uptime()) return quota;
  quota.closed_until = quota.told + (closed->second.until - clock_.uptime());
  quota.reason = closed->second.reason;
  quota.message = closed->second.message;
  return quota;
}

task<void> Api::keep_quotas() {
  while (options_.quotas && !unkept_.empty()) {
    auto quota = quota_of(*unkept_.begin());
    unkept_.erase(unkept_.begin());
    try {
      co_await options_.quotas->keep_quota(std::move(quota));
    } catch (const Error&) {
      // As above.
    }
  }
}

}  // namespace sluice
