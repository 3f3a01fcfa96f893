#include "net/server_look.hpp"

#include <catch2/catch.hpp>

#include "tests/support/folder.hpp"
#include "tests/support/http_server.hpp"
#include "tests/support/real_loop.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

std::string http_date(Duration from_now) {
  const auto when = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() + from_now);
  return cctz::format("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", when, cctz::utc_time_zone());
}

std::string look(const HttpServer& server, const std::string& ca_file = {}) {
  asio::io_context io;
  RealClock clock(io.get_executor());
  HttpOptions options;
  options.ca_file = ca_file;
  std::string all;
  for (const auto& finding :
       run_on(io, look_at_server(io.get_executor(), clock, std::move(options), server.url("/v1"))))
    all += finding.message + '\n';
  return all;
}

std::string look_at_date(const std::string& date) {
  HttpServer server([&](Wire& wire) {
    wire.read_request();
    wire.reply(404, "who are you?", date);
  });
  return look(server);
}

}  // namespace

TEST_CASE("a server whose clock is another is found out by its answer, whatever it answers") {
  CHECK(look_at_date(http_date(0s)).empty());
  CHECK(look_at_date(http_date(-30s)).empty());
  CHECK(look_at_date("").empty());
  CHECK(look_at_date("Date: yesterday\r\n").empty());
  CHECK_THAT(look_at_date(http_date(-2h)),
             Contains("this machine's clock is") && Contains("ahead of that of 127.0.0.1"));
  CHECK_THAT(look_at_date(http_date(2h)), Contains("behind that of 127.0.0.1"));
}

TEST_CASE("a server's certificate that is about to end is a warning") {
  Folder folder;
  Authority authority(folder.path().string());
  const auto look_at_days = [&](int days) {
    const HttpServer::Tls tls(authority.issue("server", "IP:127.0.0.1", -1, days));
    HttpServer server(
        [](Wire& wire) {
          wire.read_request();
          wire.reply(200, "{}");
        },
        tls);
    return look(server, authority.ca_file());
  };
  CHECK(look_at_days(40).empty());
  CHECK_THAT(look_at_days(10), Contains("127.0.0.1's certificate ends on 20"));
}
