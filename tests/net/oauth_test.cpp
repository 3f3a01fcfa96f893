#include "net/oauth.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <catch2/catch.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/support/base64.hpp"
#include "tests/support/scripted_http.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;
using nlohmann::json;

namespace {

struct Endpoint {
  World world;
  ScriptedHttp http{world.clock()};
  OAuthToken token{http, world.clock(), [](Instant) {
                     return OAuthToken::Ask("https://auth.test/token",
                                            {{"grant_type", "refresh_token"}, {"refresh_token", "canary"}});
                   }};

  Error failure() {
    try {
      world.run(token.renew());
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("canary") == std::string::npos);
      return error;
    }
    FAIL("it did not fail");
    throw std::logic_error("");
  }
};

std::string pem_of(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

}  // namespace

TEST_CASE("a token is due until there is one, and again a minute before it ends") {
  Endpoint endpoint;
  CHECK(endpoint.token.due());
  endpoint.http.expect("POST /token")
      .with("refresh_token", "canary")
      .reply(200, R"({"access_token":"one","expires_in":3599,"token_type":"Bearer"})");
  endpoint.world.run(endpoint.token.renew());
  CHECK(endpoint.token.get().equals("one"));
  CHECK_FALSE(endpoint.token.due());
  endpoint.world.run(endpoint.world.clock().sleep_for(3538s));
  CHECK_FALSE(endpoint.token.due());
  endpoint.world.run(endpoint.world.clock().sleep_for(2s));
  CHECK(endpoint.token.due());
}

TEST_CASE("a token's life is believed up to a day") {
  for (const auto* life : {"9223372036854775807", "18446744073709551615", "-1", "\"soon\"", "1e300"}) {
    CAPTURE(life);
    Endpoint endpoint;
    endpoint.http.expect("POST /token").reply(200, fmt::format(R"({{"access_token":"one","expires_in":{}}})", life));
    endpoint.world.run(endpoint.token.renew());
    CHECK_FALSE(endpoint.token.due());
    endpoint.world.run(endpoint.world.clock().sleep_for(24h));
    CHECK(endpoint.token.due());
  }
}

TEST_CASE("a refusal for good says what to do, trouble of the endpoint passes") {
  Endpoint endpoint;
  endpoint.http.expect("POST /token")
      .reply(400, R"({"error":"invalid_grant","error_description":"Token has been expired or revoked."})");
  const auto revoked = endpoint.failure();
  CHECK(revoked.remedy() == Remedy::give_up);
  CHECK_THAT(revoked.what(), Catch::Contains("expired or revoked") && Catch::Contains("seven days"));
  endpoint.http.expect("POST /token").reply(401, R"({"error":"invalid_client"})");
  CHECK_THAT(endpoint.failure().what(), Catch::Contains("client_secret"));
  endpoint.http.expect("POST /token").reply(503, "canary");
  CHECK(endpoint.failure().remedy() == Remedy::retry);
  endpoint.http.expect("POST /token").reply(400, R"({"error":"temporarily_unavailable"})");
  CHECK(endpoint.failure().remedy() == Remedy::retry);
  endpoint.http.expect("POST /token").reply(200, "<html>canary</html>");
  CHECK(endpoint.failure().remedy() == Remedy::retry);
}

TEST_CASE("a service account signs who it is with its key") {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_RSA_gen(2048), &EVP_PKEY_free);
  const json file{{"client_email", "etl@project.test"},
                  {"private_key", pem_of(key.get())},
                  {"private_key_id", "k1"},
                  {"token_uri", "https://auth.test/token"}};
  const auto account = ServiceAccount::parse(Secret(file.dump()));
  const auto form = assertion_form(account, "scope-a", account.token_url, *parse_instant("2026-03-02T12:00:00Z"));
  REQUIRE(form.size() == 2);
  CHECK(form[0].second == "urn:ietf:params:oauth:grant-type:jwt-bearer");
  const auto& jwt = form[1].second;
  const auto first = jwt.find('.'), last = jwt.rfind('.');
  CHECK(json::parse(from_base64url(jwt.substr(0, first))) == json({{"alg", "RS256"}, {"typ", "JWT"}, {"kid", "k1"}}));
  CHECK(json::parse(from_base64url(jwt.substr(first + 1, last - first - 1))) ==
        json({{"iss", "etl@project.test"},
              {"scope", "scope-a"},
              {"aud", "https://auth.test/token"},
              {"iat", 1772452800},
              {"exp", 1772456400}}));
  const auto signature = from_base64url(jwt.substr(last + 1));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get());
  CHECK(EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                         reinterpret_cast<const unsigned char*>(jwt.data()), last) == 1);
}

TEST_CASE("a key file that is none is told without showing it") {
  const auto fault = [](const std::string& text) {
    try {
      const auto account = ServiceAccount::parse(Secret(text));
      assertion_form(account, "s", "a", Instant());
    } catch (const Error& error) {
      CHECK(error.remedy() == Remedy::give_up);
      CHECK(std::string(error.what()).find("canary") == std::string::npos);
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(fault("canary"), Catch::Contains("client_email"));
  CHECK_THAT(fault(R"({"client_email":"a"})"), Catch::Contains("private_key"));
  CHECK_THAT(fault(R"({"client_email":"a","private_key":"canary"})"), Catch::Contains("PEM"));
}
