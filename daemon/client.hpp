#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/secret.hpp"
#include "daemon/control.hpp"
#include "net/http.hpp"

namespace sluice {

// Talks to a daemon over its HTTP API.
class DaemonClient {
 public:
  DaemonClient(HttpClient& http, std::string url, Secret token)
      : http_(http), url_(std::move(url)), token_(std::move(token)) {
    while (url_.ends_with('/')) url_.pop_back();
  }

  // The reply's JSON. Throws HttpError when nobody answers, Refusal with the daemon's own words when it refuses.
  task<Json> get(std::string path);
  task<Json> post(std::string path, std::string body);
  const std::string& url() const { return url_; }

 private:
  task<Json> exchange(HttpRequest request);
  std::string refusal(const HttpResponse& response, const std::string& own_words) const;
  HttpClient& http_;
  std::string url_;
  Secret token_;
};

}  // namespace sluice
