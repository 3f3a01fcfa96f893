#include "net/server_look.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "net/connection.hpp"

namespace sluice {

task<std::vector<Finding>> look_at_server(asio::any_io_executor executor, Clock& clock, HttpOptions options,
                                          std::string url) {
  const auto dialer = make_dialer(std::move(executor), options);
  const auto target = parse_url(url);
  const auto deadline = std::chrono::steady_clock::now() + 2 * options.connect_timeout;
  const auto connection = co_await dialer->dial(target, deadline);
  std::vector<Finding> findings;
  if (const auto end = connection->certificate_end())
    if (const auto finding = certificate_finding(*end, clock.now(), target.host + "'s")) findings.push_back(*finding);
  const HttpRequest request("GET", url);
  const auto asked = clock.now();
  co_await connection->write(request, target, deadline);
  const auto head = co_await connection->read_head(deadline);
  if (const auto theirs = date_of(head)) {
    // It was written somewhere between question and answer, and leaves the parts of the second out.
    const auto ours = std::clamp(*theirs, asked - std::chrono::seconds(1), std::max(asked, clock.now()));
    if (const auto finding = clock_finding(ours, *theirs, "that of " + target.host)) findings.push_back(*finding);
  }
  co_return findings;
}

}  // namespace sluice
