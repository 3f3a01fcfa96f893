#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <string>

#include "net/connection.hpp"
#include "tests/fuzz/fuzz.hpp"

// Whatever another side sends on a connection: an answer, or one error; the same however it is cut, and never without
// end.

using namespace sluice;
using fuzz::require;

namespace {

struct Heard {
  bool failed = false;
  int status = 0;
  Headers headers;
  std::string body;
};

task<void> hear(Connection& connection, Heard& heard) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  const HttpRequest request("GET", "http://a.example/");
  const auto target = parse_url(request.url);
  try {
    co_await connection.write(request, target, deadline);
    const auto head = co_await connection.read_head(deadline);
    heard.status = head.status;
    heard.headers = head.headers;
    for (bool more = true; more;) more = co_await connection.read_some(heard.body, deadline);
  } catch (const HttpError&) {
    heard.failed = true;
  }
}

void send(int end, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(end, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) return;  // nobody listens any more
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

Heard answer(std::string_view first, std::string_view second) {
  std::array<int, 2> ends{};
  require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0, "there are sockets");
  asio::io_context loop;
  asio::ip::tcp::socket socket(loop);
  socket.assign(asio::ip::tcp::v4(), ends[0]);
  auto connection = http_over(ByteStream(std::move(socket)), "a.example:80");
  Heard heard;
  std::exception_ptr failure;
  asio::co_spawn(loop, hear(*connection, heard), [&](const std::exception_ptr& error) { failure = error; });
  send(ends[1], first);
  loop.poll();
  send(ends[1], second);
  ::shutdown(ends[1], SHUT_WR);
  loop.run();
  connection.reset();
  ::close(ends[1]);
  if (failure) std::rethrow_exception(failure);
  return heard;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  auto cut = input.pick(256);
  const auto bytes = input.rest();
  cut = std::min(cut, bytes.size());
  const auto whole = answer(bytes, {});
  require(whole.body.size() <= bytes.size(), "a body is no more than what was sent");
  require(whole.failed || (whole.status >= 200 && whole.status <= 999), "an answer has a status");
  for (const auto& [name, value] : whole.headers)
    require(std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }) &&
                value.find_first_of("\r\n") == value.npos,
            "headers are single lines, with names in lower case");
  const auto pieces = answer(bytes.substr(0, cut), bytes.substr(cut));
  require(pieces.failed == whole.failed && pieces.status == whole.status && pieces.headers == whole.headers &&
              pieces.body == whole.body,
          "an answer is the same however it arrives");
  return 0;
}
