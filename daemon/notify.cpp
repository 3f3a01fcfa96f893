#include "daemon/notify.hpp"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

namespace sluice {

void notify_ready(const std::string& status) {
  sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notify_status(const std::string& status) {
  sd_notify(0, ("STATUS=" + status).c_str());
}

void notify_reloading() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  sd_notify(0,
            fmt::format("RELOADING=1\nMONOTONIC_USEC={}", std::chrono::duration_cast<Duration>(now).count()).c_str());
}

void notify_stopping(Duration at_most) {
  sd_notify(0, fmt::format("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={}", at_most.count()).c_str());
}

void notify_longer(Duration at_most) {
  sd_notify(0, fmt::format("EXTEND_TIMEOUT_USEC={}", at_most.count()).c_str());
}

void notify_watchdog() {
  sd_notify(0, "WATCHDOG=1");
}

std::optional<Duration> watchdog_interval() {
  std::uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0) return {};
  return Duration(static_cast<std::int64_t>(usec));
}

}  // namespace sluice
