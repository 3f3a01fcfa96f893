#include "core/look_up.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <catch2/catch.hpp>

#include "tests/support/real_loop.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

// Names that hang are for tests/faults/test_dns.py, which has a DNS server of its own.

namespace {

std::vector<std::string> addresses_of(const std::string& host, error_code& failure) {
  asio::io_context io;
  std::vector<std::string> found;
  for (const auto& address : run_on(io, look_up(host, std::chrono::steady_clock::now() + 20s, failure)))
    found.push_back(address.to_string());
  return found;
}

}  // namespace

TEST_CASE("an address is its own, and nobody is asked for it") {
  error_code failure;
  CHECK(addresses_of("192.0.2.7", failure) == std::vector<std::string>{"192.0.2.7"});
  CHECK(addresses_of("2001:db8::7", failure) == std::vector<std::string>{"2001:db8::7"});
  CHECK_FALSE(failure);
}

TEST_CASE("a name is looked up, time after time") {
  for (int times = 0; times < 3; ++times) {
    error_code failure;
    const auto found = addresses_of("localhost", failure);
    CHECK_FALSE(failure);
    CHECK(std::find(found.begin(), found.end(), "127.0.0.1") != found.end());
  }
}

TEST_CASE("what no name can be has no address") {
  error_code failure;
  CHECK(addresses_of("not a name", failure).empty());
  CHECK(failure);
  CHECK(failure != asio::error::timed_out);
}

TEST_CASE("who asks for a name at the same time as others gets the same, and the loop may go first") {
  asio::io_context io;
  std::size_t answered = 0;
  const auto ask = [&]() -> task<void> {
    error_code failure;
    const auto found = co_await look_up("localhost", std::chrono::steady_clock::now() + 20s, failure);
    if (!failure && !found.empty()) ++answered;
  };
  for (int i = 0; i < 20; ++i) asio::co_spawn(io, ask(), asio::detached);
  io.run();
  CHECK(answered == 20);
  {
    asio::io_context left;
    asio::co_spawn(left, ask(), asio::detached);
    left.run_one();
  }
  CHECK(answered == 20);
}
