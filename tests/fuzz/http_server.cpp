#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "tests/daemon/http_fixture.hpp"
#include "tests/fuzz/fuzz.hpp"

// What a stranger sends to the server on one connection, whole or in two pieces: the same answers, each with a status
// and the headers that keep browsers away, nothing of the inside; only a POST asks for anything to be done.

using namespace sluice;
using fuzz::require;

namespace {

struct Heard {
  std::string answers;
  std::vector<std::string> asked;  // of the daemon
  bool operator==(const Heard&) const = default;
};

// The daemon behind the server, for all inputs; the loop turns until nothing is left to do.
class Daemon {
 public:
  Daemon() {
    control_.metrics_asked = [] { return std::string("sluice_up 1\n"); };
    options_.port = 0;
    options_.limits.header_bytes = 512;
    options_.limits.body_bytes = 256;
    options_.limits.header_fields = 8;
    options_.limits.requests_per_connection = 4;
  }

  // One connection to a server of its own, on which no other one is left.
  Heard hear(std::string_view first, std::string_view second) {
    HttpServer server(loop_.get_executor(), clock_, options_, routes_);
    server.listen();
    asio::cancellation_signal stop;
    asio::co_spawn(loop_, server.serve(), asio::bind_cancellation_slot(stop.slot(), [](const std::exception_ptr&) {}));
    control_.asked.clear();
    Heard heard;
    {
      asio::ip::tcp::socket client(loop_);
      client.open(asio::ip::tcp::v4());
      client.set_option(asio::socket_base::linger(true, 0));  // leaves no port in TIME_WAIT
      const asio::ip::tcp::endpoint to(asio::ip::address_v4::loopback(), server.port());
      // libFuzzer's alarm interrupts calls.
      while (::connect(client.native_handle(), to.data(), static_cast<socklen_t>(to.size())) != 0 && errno != EISCONN)
        require(errno == EINTR || errno == EALREADY, "the server listens");
      send(client, first);
      turn();
      send(client, second);
      ::shutdown(client.native_handle(), SHUT_WR);
      turn();
      std::array<char, 4096> piece{};
      for (ssize_t n = 0; (n = ::recv(client.native_handle(), piece.data(), piece.size(), MSG_DONTWAIT)) > 0; turn())
        heard.answers.append(piece.data(), static_cast<std::size_t>(n));
    }
    heard.asked = control_.asked;
    stop.emit(asio::cancellation_type::terminal);
    loop_.run();
    loop_.restart();
    return heard;
  }

 private:
  static void send(asio::ip::tcp::socket& client, std::string_view bytes) {
    if (!bytes.empty()) ::send(client.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void turn() {
    for (int quiet = 0; quiet < 2;) quiet = loop_.poll() == 0 ? quiet + 1 : 0;
  }

  test::FakeControl control_;
  ServerOptions options_;
  asio::io_context loop_;
  RealClock clock_{loop_.get_executor()};
  Log log_{{Level::error, LogFormat::text, ::open("/dev/null", O_WRONLY | O_CLOEXEC)}};
  Metrics metrics_{{{{"facebook", {}, {"insights"}}}, {"meta"}, {"warehouse"}}};
  EventHub hub_{loop_.get_executor(), clock_, metrics_, log_};
  ApiRoutes routes_{control_, hub_, log_, clock_, false};
};

void check_first(std::string_view answers) {
  if (answers.empty()) return;
  require(answers.starts_with("HTTP/1.1 ") || answers.starts_with("HTTP/1.0 "), "an answer is HTTP");
  constexpr std::array known{"200", "400", "403", "404", "405", "409", "413", "415", "421", "422", "431", "500"};
  require(std::find(known.begin(), known.end(), answers.substr(9, 3)) != known.end(), "a status is one of ours");
  const auto head = answers.substr(0, answers.find("\r\n\r\n"));
  require(fuzz::holds(head, "X-Content-Type-Options: nosniff") && fuzz::holds(head, "Cache-Control: no-store"),
          "an answer is nothing for a browser");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Daemon daemon;
  fuzz::Input input(data, size);
  const auto cut = input.pick(256);
  // Of a header that never ends it depends on the pieces whether Beast sees a fault in it before the end of the stream.
  const auto sent = std::string(input.rest()) + "\r\n\r\n";
  const std::string_view bytes = sent;
  const auto whole = daemon.hear(bytes, {});
  check_first(whole.answers);
  require(!fuzz::holds(whole.answers, "internal detail"), "nothing of the inside is told");
  require(whole.asked.empty() || fuzz::holds(bytes, "POST "), "only a POST asks for anything");
  const auto at = std::min(cut, bytes.size());
  require(daemon.hear(bytes.substr(0, at), bytes.substr(at)) == whole, "answers are the same however a request comes");
  return 0;
}
