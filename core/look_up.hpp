#pragma once
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "core/task.hpp"

namespace sluice {

// The addresses of a host, in the order in which to try them; an address is its own. Asked of the system each time, so
// that what DNS says now counts. `failure`: asio::error::timed_out at the deadline, else why there is none.
// The system's look-up cannot be interrupted and may take minutes: who asks can leave, and no other name waits for it.
task<std::vector<asio::ip::address>> look_up(const std::string& host, std::chrono::steady_clock::time_point deadline,
                                             error_code& failure);

}  // namespace sluice
