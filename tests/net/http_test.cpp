#include "net/http.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace std::chrono_literals;

TEST_CASE("parameters are encoded so that any text arrives as it is") {
  CHECK(url_encode("AZaz09-._~") == "AZaz09-._~");
  CHECK(url_encode("a b&c=d/\xC3\xA9") == "a%20b%26c%3Dd%2F%C3%A9");
  CHECK(form_encode({{"fields", "a,b"}, {"time_range", "{\"since\":1}"}, {"empty", ""}}) ==
        "fields=a%2Cb&time_range=%7B%22since%22%3A1%7D&empty=");
}

TEST_CASE("the first header of a name counts") {
  const HttpResponse response(200, {{"x", "1"}, {"x", "2"}}, "");
  CHECK(response.header("x") == "1");
  CHECK_FALSE(response.header("y"));
}

TEST_CASE("Retry-After is read as seconds or as a date") {
  const auto asked = [](std::string value) {
    return retry_after(HttpResponse(503, {{"date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"retry-after", value}}, ""));
  };
  CHECK(asked("120") == 120s);
  CHECK(asked("0") == 0s);
  CHECK(asked("Sun, 06 Nov 1994 08:59:37 GMT") == 10min);
  CHECK(asked("Sun, 06 Nov 1994 08:00:00 GMT") == 0s);
  for (const auto* bad : {"", "soon", "-5", "1.5", "99999999999999999999", "Sun, 06 Nov"}) CHECK_FALSE(asked(bad));
  CHECK_FALSE(asked("Sun, 06 Nov 300000 08:49:37 GMT"));  // beyond what microseconds can count
  CHECK_FALSE(retry_after(HttpResponse(503, {}, "")));
  CHECK_FALSE(retry_after(HttpResponse(503, {{"retry-after", "Sun, 06 Nov 1994 08:59:37 GMT"}}, "")));
}

TEST_CASE("of a URL nothing is shown that may be a secret, however malformed it is") {
  const auto [url, shown] = GENERATE(table<std::string, std::string>({
      {"https://host:1/a?token=hush", "https://host:1/a"},
      {"host/a#hush", "host/a"},
      {"https://user:hush@host/a@b?c=d@e", "https://b"},
      {"https://user:hu/hush@host/a", "https://host/a"},
      {"https://user:hu?hush@host/a", "https://…"},
      {std::string("a@\0host", 7), " host"},
      {"", ""},
  }));
  CHECK(without_secrets(url) == shown);
}
