#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "net/connection.hpp"
#include "tests/net/http_fixture.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

// A port that takes no more connections: those that come are neither accepted nor refused.
class FullPort {
 public:
  FullPort() {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address_), size);
    ::listen(listener_, 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address_), &size);
    for (int& socket : fillers_) {
      socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      ::connect(socket, reinterpret_cast<sockaddr*>(&address_), size);
    }
  }
  ~FullPort() {
    for (const int socket : fillers_) ::close(socket);
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(ntohs(address_.sin_port)) + "/"; }

 private:
  int listener_ = -1;
  int fillers_[3] = {};
  sockaddr_in address_{};
};

}  // namespace

TEST_CASE("a refused connection says so and names no query") {
  int port = 0;
  {
    HttpServer closed([](Wire&) {});
    port = closed.port();
  }
  RealLoop loop;
  const auto place = "127.0.0.1:" + std::to_string(port);
  const auto error = loop.failure_of("http://" + place + "/me?access_token=hush");
  CHECK(error.code() == "connect");
  CHECK(error.remedy() == Remedy::retry);
  CHECK(error.what() == "cannot connect to " + place +
                            " (Connection refused); look at the network and firewall between here and there");
}

TEST_CASE("an address that does not answer has its own deadline") {
  const FullPort port;
  HttpOptions options;
  options.connect_timeout = 100ms;
  RealLoop loop(options);
  const auto error = loop.failure_of(port.url());
  CHECK(error.code() == "timeout");
  CHECK_THAT(error.what(), Catch::StartsWith("cannot connect to 127.0.0.1:"));
}

TEST_CASE("all addresses of a name are tried") {
  HttpServer server(always(200, "ok"));  // only on 127.0.0.1; localhost is ::1 as well
  RealLoop loop;
  CHECK(loop.get(server.url("/", "localhost")).body == "ok");
}

TEST_CASE("a name that nobody knows is an error that names it") {
  RealLoop loop;
  const auto error = loop.failure_of("http://no-such-host.invalid/?access_token=hush");
  CHECK((error.code() == "resolve" || error.code() == "timeout"));
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("no-such-host.invalid"));
  CHECK_THAT(error.what(), !Catch::Contains("hush"));
}

TEST_CASE("TLS is verified in full") {
  const Folder folder;
  Authority authority(folder.path()), stranger(folder.path(), "another authority");
  const auto good = authority.issue("good", "DNS:localhost,IP:127.0.0.1");
  const auto wrong_host = authority.issue("wrong", "DNS:graph.example.com");
  const auto expired = authority.issue("expired", "IP:127.0.0.1", -30, -1);
  const auto not_yet = authority.issue("not_yet", "IP:127.0.0.1", 1, 30);
  HttpOptions options;
  options.ca_file = authority.ca_file();

  SECTION("a certificate for the name or the address is good") {
    HttpServer server(always(200, "ok"), HttpServer::Tls(good));
    RealLoop loop(options);
    CHECK(loop.get(server.url("/")).body == "ok");
    CHECK(loop.get(server.url("/")).body == "ok");
    CHECK(server.accepted() == 1);
    CHECK(loop.get(server.url("/", "localhost")).body == "ok");
  }
  SECTION("everything else is refused, with the reason") {
    struct Scenario {
      Authority::Issued issued;
      std::string ca_file, reason;
    };
    const Scenario scenarios[] = {
        {good, stranger.ca_file(), "unable to get local issuer certificate"},
        {good, "", "unable to get local issuer certificate"},
        {wrong_host, authority.ca_file(), "IP address mismatch"},
        {expired, authority.ca_file(), "certificate has expired"},
        {not_yet, authority.ca_file(), "certificate is not yet valid"},
    };
    for (const auto& scenario : scenarios) {
      options.ca_file = scenario.ca_file;
      HttpServer server(always(200, "ok"), HttpServer::Tls(scenario.issued));
      RealLoop loop(options);
      const auto error = loop.failure_of(server.url("/"));
      CHECK(error.code() == "tls");
      CHECK(error.remedy() == Remedy::give_up);
      CHECK(error.what() == "the certificate of 127.0.0.1:" + std::to_string(server.port()) + " is refused: " +
                                scenario.reason + ". Where it was issued by a private authority, name that in ca_file");
    }
  }
  SECTION("another name is refused") {
    HttpServer server(always(200, "ok"), HttpServer::Tls(wrong_host));
    RealLoop loop(options);
    CHECK_THAT(loop.failure_of(server.url("/", "localhost")).what(), Catch::Contains("hostname mismatch"));
  }
  SECTION("TLS 1.0 is refused") {
    HttpServer::Tls old(good);
    old.only_tls_1_0 = true;
    HttpServer server(always(200, "ok"), old);
    RealLoop loop(options);
    CHECK(loop.failure_of(server.url("/")).code() == "tls");
  }
  SECTION("a server that speaks no TLS is refused") {
    HttpServer server([](Wire& wire) { wire.reply(400, "plain text only"); });
    RealLoop loop(options);
    CHECK(loop.failure_of("https://127.0.0.1:" + std::to_string(server.port()) + "/").code() == "tls");
  }
  SECTION("a body cut off without TLS's own goodbye is not complete") {
    HttpServer server(
        [](Wire& wire) {
          wire.read_request();
          wire.write("HTTP/1.1 200 OK\r\n\r\n{\"data\": [");
        },
        HttpServer::Tls(good));
    RealLoop loop(options);
    CHECK(loop.failure_of(server.url("/")).code() == "reset");
  }
}

TEST_CASE("a ca_file that cannot be read is said at once") {
  HttpOptions options;
  options.ca_file = "/no/such/file.pem";
  CHECK_THROWS_WITH(RealLoop(options), Catch::Contains("ca_file /no/such/file.pem"));
}

TEST_CASE("a header that would break out of its line is refused and its value is not shown") {
  RealLoop loop;
  HttpServer server(always(200, "ok"));
  HttpRequest request("GET", server.url("/"));
  request.headers.emplace_back("Authorization", "Bearer hush\r\nX-Evil: 1");
  const auto error = loop.failure_of(request);
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("Authorization"));
  CHECK_THAT(error.what(), !Catch::Contains("hush"));
}

TEST_CASE("a URL is taken apart") {
  struct Scenario {
    std::string url, name, path;
    bool tls;
  };
  const auto s = GENERATE(values<Scenario>({
      {"https://graph.facebook.com/v26.0/me?fields=a%2Cb", "graph.facebook.com:443", "/v26.0/me?fields=a%2Cb", true},
      {"http://localhost", "localhost:80", "/", false},
      {"http://127.0.0.1:8080?a=1#part", "127.0.0.1:8080", "/?a=1", false},
      {"http://[::1]:8080/x", "::1:8080", "/x", false},
  }));
  const auto target = parse_url(s.url);
  CHECK(target.name() == s.name);
  CHECK(target.path == s.path);
  CHECK(target.tls == s.tls);
}

TEST_CASE("what is not a URL is refused without repeating its secrets") {
  const auto url =
      GENERATE(as<std::string>(), "", "graph.facebook.com", "ftp://x/?token=hush", "http:///path?token=hush",
               "https://user:hush@host/", "https://user:hush@ho st/", "http://host/a b?token=hush",
               "http://host/\r\nX: 1?hush", "http://host:80a", "http://[::1]a");
  CAPTURE(url);
  try {
    parse_url(url);
    FAIL("accepted");
  } catch (const HttpError& error) {
    CHECK(error.remedy() == Remedy::give_up);
    CHECK_THAT(error.what(), Catch::Contains("is not a usable URL"));
    CHECK_THAT(error.what(), !Catch::Contains("hush"));
  }
}
