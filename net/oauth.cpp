#include "net/oauth.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/read_json.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr Duration renew_before = 1min;
constexpr Duration usual_life = 1h;

std::string text_of(const json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::string base64url(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  while (text.ends_with('=')) text.pop_back();
  for (auto& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

std::string sign_rs256(const Secret& pem, const std::string& message) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.reveal().size())), &BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const auto* bytes = reinterpret_cast<const unsigned char*>(message.data());
  std::size_t size = 0;
  std::string signature;
  bool good = key && EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA &&
              EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
              EVP_DigestSign(context.get(), nullptr, &size, bytes, message.size()) == 1;
  if (good) {
    signature.resize(size);
    good = EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                          message.size()) == 1;
    signature.resize(size);
  }
  if (!good)
    throw Error(Remedy::give_up, "the service account's private_key is no RSA key in PEM; download its key file again");
  return signature;
}

// Of a token, by its `expires_in`: 24 hours at most, whatever is said.
Duration life_of(const json& expires_in) {
  if (!expires_in.is_number_unsigned()) return usual_life;
  return std::chrono::seconds(std::min<std::uint64_t>(expires_in.get<std::uint64_t>(), 86'400));
}

// What a person has to do about a refusal that no repetition mends.
std::string_view advice(const std::string& error) {
  if (error == "invalid_grant")
    return "the refresh token or the key is no longer good (revoked, unused for six months, or made while the consent "
           "screen was in testing, where tokens end after seven days; or this machine's clock is wrong): log in again "
           "and store the new refresh token";
  if (error == "invalid_client" || error == "unauthorized_client")
    return "client_id and client_secret are not those of an OAuth client that may do this; check both";
  return "check the source's credentials and token_url";
}

bool passes(int status, const std::string& error) {
  return status >= 500 || status == 429 || error == "temporarily_unavailable" || error == "server_error" ||
         error == "internal_failure";
}

}  // namespace

OAuthToken::OAuthToken(HttpClient& http, Clock& clock, Grant grant)
    : http_(http), clock_(clock), grant_(std::move(grant)) {}

bool OAuthToken::due() const {
  return token_.empty() || clock_.uptime() >= ends_ - renew_before;
}

task<void> OAuthToken::renew() {
  const auto ask = grant_(clock_.now());
  HttpRequest request("POST", ask.url);
  request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.headers.emplace_back("Accept", "application/json");
  request.body = form_encode(ask.form);
  request.timeout = 60s;
  const auto asked = clock_.uptime();
  const auto answer = co_await http_.send(std::move(request));
  keep(answer, asked);
}

void OAuthToken::keep(const HttpResponse& answer, Duration asked) {
  const auto said = read_json(answer.body);
  auto token = said.is_object() ? text_of(said, "access_token") : std::string();
  if (answer.status == 200 && !token.empty()) {
    token_ = Secret(std::move(token));
    ends_ = asked + life_of(said.value("expires_in", json()));
    return;
  }
  // Nothing of the body but these two is shown: it may hold what we sent.
  const auto error = said.is_object() ? text_of(said, "error") : std::string();
  const auto description = said.is_object() ? text_of(said, "error_description") : std::string();
  auto what = fmt::format("no access token: the token endpoint answered HTTP {}", answer.status);
  if (!error.empty()) what += fmt::format(" with {}{}{}", error, description.empty() ? "" : ": ", description);
  if (answer.status == 200 || passes(answer.status, error)) throw Error(Remedy::retry, what, retry_after(answer));
  throw Error(Remedy::give_up, fmt::format("{}; {}", what, advice(error)));
}

ServiceAccount ServiceAccount::parse(const Secret& text) {
  const auto file = read_json(text.reveal());
  const auto member = [&](const char* name) {
    auto value = file.is_object() ? text_of(file, name) : std::string();
    if (value.empty())
      throw Error(Remedy::give_up,
                  fmt::format("service_account: the key file has no \"{}\"; expected the JSON file that "
                              "Google's console gives out for a service account's key",
                              name));
    return value;
  };
  ServiceAccount account;
  account.email = member("client_email");
  account.key = Secret(member("private_key"));
  account.key_id = text_of(file, "private_key_id");
  account.token_url = text_of(file, "token_uri");
  return account;
}

Headers assertion_form(const ServiceAccount& account, const std::string& scope, const std::string& audience,
                       Instant now) {
  const auto issued = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  json header{{"alg", "RS256"}, {"typ", "JWT"}};
  if (!account.key_id.empty()) header["kid"] = account.key_id;
  json claims{{"iss", account.email}, {"scope", scope}, {"aud", audience}, {"iat", issued}, {"exp", issued + 3600}};
  if (!account.subject.empty()) claims["sub"] = account.subject;
  const auto message = base64url(header.dump()) + "." + base64url(claims.dump());
  Headers form;
  form.emplace_back("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
  form.emplace_back("assertion", message + "." + base64url(sign_rs256(account.key, message)));
  return form;
}

}  // namespace sluice
