#pragma once
#include <optional>
#include <string>

#include "core/time.hpp"

namespace sluice {

// sd_notify, where systemd started us; nothing anywhere else.
void notify_ready(const std::string& status);
void notify_status(const std::string& status);
void notify_reloading();
// It may take that long. systemd kills what takes longer, or its own TimeoutStopSec where that is more.
void notify_stopping(Duration at_most);
// It takes so much longer from now on.
void notify_longer(Duration at_most);
void notify_watchdog();
// How often the watchdog wants to hear from us; nothing when it does not.
std::optional<Duration> watchdog_interval();

}  // namespace sluice
