#pragma once
#include <functional>
#include <string>

#include "core/clock.hpp"
#include "core/secret.hpp"
#include "net/http.hpp"

namespace sluice {

// An OAuth 2 access token: got from a token endpoint, kept until shortly before it ends.
class OAuthToken {
 public:
  // What is posted to `url` to get one; made anew each time. May throw Error.
  struct Ask {
    std::string url;
    Headers form;
    Ask(std::string u, Headers f) : url(std::move(u)), form(std::move(f)) {}
  };
  using Grant = std::function<Ask(Instant now)>;

  OAuthToken(HttpClient& http, Clock& clock, Grant grant);

  // There is none, or it ends within a minute.
  bool due() const;
  // Gets a new one. Throws Error: `retry` when the endpoint is in trouble, `give_up` when it refuses for good.
  task<void> renew();
  const Secret& get() const { return token_; }

 private:
  void keep(const HttpResponse& answer, Duration asked);

  HttpClient& http_;
  Clock& clock_;
  Grant grant_;
  Secret token_;
  Duration ends_{};  // by Clock::uptime
};

// A service account's key, as the JSON file that Google gives out has it.
struct ServiceAccount {
  std::string email, key_id, token_url;
  Secret key;           // PEM
  std::string subject;  // the user that it acts for, where a domain lets it; empty: itself. Not in the file
  // Throws Error(give_up) that says what is missing, never what is there.
  static ServiceAccount parse(const Secret& json);
};

// The grant of RFC 7523: "I am this account", signed with its key (RS256), good for an hour.
Headers assertion_form(const ServiceAccount& account, const std::string& scope, const std::string& audience,
                       Instant now);

}  // namespace sluice
