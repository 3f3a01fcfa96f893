#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/net/http_fixture.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

TEST_CASE("an answer arrives with its status, its headers in lower case and its body") {
  std::string seen;
  HttpServer server([&](Wire& wire) {
    seen = wire.read_request();
    wire.reply(404, "nothing here", "X-Usage: 5\r\nX-Usage: 6\r\n");
  });
  RealLoop loop;
  HttpRequest request("POST", server.url("/v1/items?page=2"));
  request.headers.emplace_back("X-Token", "t");
  request.body = "a=1";
  const auto response = loop.send(request);
  CHECK(response.status == 404);
  CHECK(response.header("x-usage") == "5");
  CHECK(response.headers.size() == 3);
  CHECK(response.body == "nothing here");
  CHECK_THAT(seen, Catch::StartsWith("POST /v1/items?page=2 HTTP/1.1\r\nHost: 127.0.0.1:"));
  CHECK_THAT(seen, Catch::Contains("X-Token: t\r\n"));
  CHECK_THAT(seen, Catch::Contains("User-Agent: sluice/"));
  CHECK_THAT(seen, Catch::Contains("Accept-Encoding: gzip\r\n"));
  CHECK_THAT(seen, Catch::EndsWith("Content-Length: 3\r\n\r\na=1"));
}

TEST_CASE("a connection is used again") {
  HttpServer server(always(200, "ok"));
  RealLoop loop;
  for (int i = 0; i < 5; ++i) CHECK(loop.get(server.url("/")).body == "ok");
  CHECK(server.accepted() == 1);
}

TEST_CASE("a connection that the server wants closed, or that was idle too long, is not used again") {
  HttpOptions options;
  std::string headers;
  SECTION("Connection: close") {
    headers = "Connection: close\r\n";
  }
  SECTION("idle too long") {
    options.idle = 0s;
  }
  HttpServer server(always(200, "ok", headers));
  RealLoop loop(options);
  for (int i = 0; i < 2; ++i) CHECK(loop.get(server.url("/")).body == "ok");
  CHECK(server.accepted() == 2);
}

TEST_CASE("a kept connection that was closed meanwhile is replaced without anybody noticing") {
  HttpServer server([](Wire& wire) {
    wire.read_request();
    wire.reply(200, "ok");
    wire.close();
  });
  RealLoop loop;
  for (int i = 0; i < 3; ++i) {
    const auto method = GENERATE(as<std::string>(), "GET", "POST");
    CHECK(loop.send(HttpRequest(method, server.url("/"))).body == "ok");
    CHECK(all_closed(server));
  }
}

TEST_CASE("a kept connection that dies on the next request: a GET is sent again, a POST is not") {
  HttpServer server([](Wire& wire) {
    if (wire.number == 1) {
      wire.read_request();
      wire.reply(200, "first");
      wire.read_request();
      wire.reset();
    } else {
      while (!wire.read_request().empty()) wire.reply(200, "second");
    }
  });
  RealLoop loop;
  CHECK(loop.get(server.url("/")).body == "first");
  SECTION("GET") {
    CHECK(loop.get(server.url("/")).body == "second");
  }
  SECTION("POST") {
    HttpRequest post("POST", server.url("/"));
    post.body = "x";
    CHECK(loop.failure_of(post).code() == "reset");
    CHECK(server.accepted() == 1);
  }
}

TEST_CASE("a new connection that is closed without an answer is a failure at once") {
  HttpServer server([](Wire& wire) { wire.read_request(); });
  RealLoop loop;
  const auto error = loop.failure_of(server.url("/"));
  CHECK(error.code() == "reset");
  CHECK(error.remedy() == Remedy::retry);
  CHECK(server.accepted() == 1);
}

TEST_CASE("bodies of every framing are read whole") {
  const std::string text = digits(300'000);
  std::string answer;
  SECTION("Content-Length") {
    answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
  }
  SECTION("chunked") {
    answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::size_t at = 0; at < text.size(); at += 1000) answer += "3e8\r\n" + text.substr(at, 1000) + "\r\n";
    answer += "0\r\n\r\n";
  }
  SECTION("until the connection ends") {
    answer = "HTTP/1.1 200 OK\r\n\r\n" + text;
  }
  SECTION("after early hints") {
    answer = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: " +
             std::to_string(text.size()) + "\r\n\r\n" + text;
  }
  HttpServer server(once(answer));
  RealLoop loop;
  CHECK(loop.get(server.url("/")).body == text);
  Pieces pieces;
  loop.run(loop.client().stream(HttpRequest("GET", server.url("/")), pieces));
  CHECK(pieces.body == text);
  CHECK(pieces.status == 200);
}

TEST_CASE("an answer without a body is complete") {
  HttpServer server(once("HTTP/1.1 204 No Content\r\n\r\n"));
  RealLoop loop;
  CHECK(loop.get(server.url("/")).status == 204);
}

TEST_CASE("a body that ends before it should is never a short answer") {
  const auto packed = gzip(digits(50'000));
  const auto [answer, code] = GENERATE_COPY(table<std::string, std::string>({
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "reset"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n", "reset"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n", "reset"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nwhole\r\n0\r\n\r\n", "bad_http"},
      {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + packed.substr(0, packed.size() - 5), "reset"},
      {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nthis is not gzip at all", "bad_http"},
      {"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nwhatever", "bad_http"},
      {"HTTP/1.1 200", "reset"},
      {"SSH-2.0-OpenSSH_9.2\r\n", "bad_http"},
  }));
  CAPTURE(answer.substr(0, 100));
  HttpServer server(once(answer));
  RealLoop loop;
  const auto error = loop.failure_of(server.url("/"));
  CHECK(error.code() == code);
  CHECK(error.remedy() == Remedy::retry);
  Pieces pieces;
  CHECK_THROWS_AS(loop.run(loop.client().stream(HttpRequest("GET", server.url("/")), pieces)), HttpError);
}

TEST_CASE("a connection that is reset in the middle of a body is an error") {
  HttpServer server([](Wire& wire) {
    wire.read_request();
    wire.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + digits(5000));
    wire.reset();
  });
  RealLoop loop;
  CHECK(loop.failure_of(server.url("/")).code() == "reset");
}

TEST_CASE("gzip is decoded, in one member or several") {
  const std::string text = digits(2'000'000);
  auto packed = gzip(text);
  SECTION("one member") {}
  SECTION("two members") {
    packed = gzip(text.substr(0, 1000)) + gzip(text.substr(1000));
  }
  HttpServer server(always(200, packed, "Content-Encoding: gzip\r\n"));
  RealLoop loop;
  CHECK(loop.get(server.url("/")).body == text);
  Pieces pieces;
  loop.run(loop.client().stream(HttpRequest("GET", server.url("/")), pieces));
  CHECK(pieces.total == text.size());
  CHECK(server.accepted() == 1);
}

TEST_CASE("a gzip bomb cannot become a large memory") {
  const auto bomb = gzip(std::string(64 << 20, 'x'));
  REQUIRE(bomb.size() < 100'000);
  HttpServer server(always(200, bomb, "Content-Encoding: gzip\r\n"));
  HttpOptions options;
  options.max_body = 1 << 20;
  RealLoop loop(options);
  const auto error = loop.failure_of(server.url("/"));
  CHECK(error.code() == "too_large");
  CHECK(error.remedy() == Remedy::shrink);
  Pieces pieces;
  loop.run(loop.client().stream(HttpRequest("GET", server.url("/")), pieces));
  CHECK(pieces.total == 64 << 20);
  CHECK(pieces.largest <= 256 << 10);
}

TEST_CASE("an answer larger than the limit is refused before it is held") {
  HttpOptions options;
  options.max_body = 1000;
  const auto answer = GENERATE(as<std::string>(), "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                               "HTTP/1.1 200 OK\r\n\r\n" + digits(1001));
  HttpServer server(once(answer));
  RealLoop loop(options);
  CHECK(loop.failure_of(server.url("/")).code() == "too_large");
}

TEST_CASE("headers are limited") {
  HttpServer server(once("HTTP/1.1 200 OK\r\nX-Long: " + digits(20'000) + "\r\nContent-Length: 0\r\n\r\n"));
  RealLoop loop;
  CHECK(loop.failure_of(server.url("/")).code() == "too_large");
}

TEST_CASE("redirects are not followed") {
  HttpServer elsewhere(always(200, "should not be asked"));
  HttpServer server(always(302, "", "Location: " + elsewhere.url("/") + "\r\n"));
  RealLoop loop;
  const auto response = loop.get(server.url("/"));
  CHECK(response.status == 302);
  CHECK(response.header("location") == elsewhere.url("/"));
  CHECK(elsewhere.accepted() == 0);
}

TEST_CASE("proxies of the environment are not used") {
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("all_proxy", "http://127.0.0.1:1", 1);
  HttpServer server(always(200, "direct"));
  RealLoop loop;
  CHECK(loop.get(server.url("/")).body == "direct");
  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
}

TEST_CASE("a server that says nothing is given up at the deadline") {
  HttpServer server([](Wire& wire) {
    while (!wire.read_request().empty()) {
    }
  });
  RealLoop loop;
  HttpRequest request("GET", server.url("/slow?access_token=hush"));
  request.timeout = 100ms;
  const auto error = loop.failure_of(request);
  CHECK(error.code() == "timeout");
  CHECK(error.what() == "timed out while waiting for the answer of 127.0.0.1:" + std::to_string(server.port()));
  CHECK(all_closed(server));
}

TEST_CASE("a body that drips is given up, though each byte comes in time") {
  std::atomic<bool> stop = false;
  HttpServer server([&](Wire& wire) {
    wire.read_request();
    wire.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (!stop) {
      wire.write("x");
      std::this_thread::sleep_for(5ms);
    }
  });
  HttpOptions options;
  options.stall = 100ms;
  RealLoop loop(options);
  HttpRequest request("GET", server.url("/"));
  SECTION("a whole answer: long before the deadline of the exchange") {
    request.timeout = 100s;
    CHECK(loop.failure_of(request).code() == "timeout");
  }
  SECTION("a streamed answer") {
    request.timeout = 100ms;
    Pieces pieces;
    CHECK_THROWS_AS(loop.run(loop.client().stream(request, pieces)), HttpError);
  }
  stop = true;
}

TEST_CASE(
    "a long body that keeps coming is streamed beyond the deadline, and a slow reader is not the sender's fault") {
  HttpServer server([](Wire& wire) {
    wire.read_request();
    wire.write("HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n");
    for (int i = 0; i < 10; ++i) {
      wire.write(digits(5000));
      std::this_thread::sleep_for(30ms);
    }
  });
  RealLoop loop;
  HttpRequest request("GET", server.url("/"));
  request.timeout = 150ms;
  Pieces pieces;
  pieces.clock = &loop.clock();
  SECTION("quick reader") {}
  SECTION("slow reader") {
    pieces.slow = 200ms;
  }
  loop.run(loop.client().stream(request, pieces));
  CHECK(pieces.total == 50000);
}

TEST_CASE("a reader that throws ends the exchange") {
  HttpServer server(always(200, digits(100'000)));
  RealLoop loop;
  Pieces pieces;
  pieces.fail = true;
  CHECK_THROWS_WITH(loop.run(loop.client().stream(HttpRequest("GET", server.url("/")), pieces)), "the reader is full");
  CHECK(all_closed(server));
}

TEST_CASE("a cancelled exchange leaves nothing open") {
  const bool tls = GENERATE(false, true);
  CAPTURE(tls);
  const std::string head = GENERATE(as<std::string>(), "", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome");
  const Folder folder;
  Authority authority(folder.path());
  std::optional<HttpServer::Tls> settings;
  if (tls) settings.emplace(authority.issue("server", "IP:127.0.0.1"));
  HttpServer server(
      [&](Wire& wire) {
        wire.read_request();
        wire.write(head);
        wire.read_request();  // until the client closes
      },
      settings);
  HttpOptions options;
  options.ca_file = authority.ca_file();
  RealLoop loop(options);
  auto request = loop.client().send(HttpRequest("GET", server.url("/")));
  CHECK_FALSE(loop.run(with_timeout(loop.clock(), 100ms, std::move(request))));
  CHECK(server.accepted() == 1);
  CHECK(all_closed(server));
}

TEST_CASE("requests run side by side, each on a connection of its own") {
  HttpServer server([](Wire& wire) {
    while (!wire.read_request().empty()) {
      std::this_thread::sleep_for(20ms);
      wire.reply(200, "ok");
    }
  });
  RealLoop loop;
  int answered = 0;
  const auto one = [&]() -> task<void> {
    co_await loop.client().send(HttpRequest("GET", server.url("/")));
    ++answered;
  };
  const auto all = [&]() -> task<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    for (int i = 0; i < 20; ++i) group.spawn(one());
    co_await group.join();
  };
  loop.run(all());
  CHECK(answered == 20);
  CHECK(server.accepted() == 20);
  loop.run(all());
  CHECK(server.accepted() == 32);  // eight had been kept
}
