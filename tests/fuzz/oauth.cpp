#include "net/oauth.hpp"

#include <boost/asio/co_spawn.hpp>

#include "core/error.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/still_clock.hpp"

// Whatever a token endpoint answers, and whatever a key file holds: a token, or what to do about it.

using namespace sluice;
using fuzz::require;

namespace {

constexpr const char* canary = "c4n4ry-refresh-token";

struct OneAnswer final : HttpClient {
  HttpResponse answer;
  task<HttpResponse> send(HttpRequest) override { co_return answer; }
  task<void> stream(HttpRequest, BodyReader&) override { co_return; }
};

void check_answer(int status, std::string_view body) {
  asio::io_context loop;
  fuzz::StillClock clock;
  OneAnswer http;
  http.answer = HttpResponse(status, {}, std::string(body));
  OAuthToken token(http, clock, [](Instant) {
    return OAuthToken::Ask("https://oauth.test/token", {{"refresh_token", canary}});
  });
  std::exception_ptr failure;
  asio::co_spawn(loop, token.renew(), [&](std::exception_ptr error) { failure = error; });
  loop.run();
  if (!failure) {
    require(status == 200 && !token.get().empty(), "a token is one");
    token.due();
    return;
  }
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    require(error.remedy() == Remedy::retry || error.remedy() == Remedy::give_up, "a refusal passes or stays");
    require(token.due(), "after a refusal there is no token");
  }
}

void check_key(std::string_view text) {
  try {
    const auto account = ServiceAccount::parse(Secret(std::string(text)));
    require(!account.email.empty() && !account.key.empty(), "an account has an address and a key");
    const auto form = assertion_form(account, "scope", "https://oauth.test/token", Instant());
    require(form.size() == 2, "an assertion is a grant");
  } catch (const Error& error) {
    require(error.remedy() == Remedy::give_up, "a key file that is none stays so");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr int statuses[] = {200, 400, 401, 429, 500};
  fuzz::Input input(data, size);
  const auto status = statuses[input.pick(5)];
  check_answer(status, input.rest());
  check_key(input.rest());
  return 0;
}
