#include "daemon/client.hpp"

#include <nlohmann/json.hpp>

namespace sluice {

task<Json> DaemonClient::get(std::string path) {
  HttpRequest request("GET", url_ + path);
  co_return co_await exchange(std::move(request));
}

task<Json> DaemonClient::post(std::string path, std::string body) {
  HttpRequest request("POST", url_ + path);
  request.body = std::move(body);
  if (!request.body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  co_return co_await exchange(std::move(request));
}

// The daemon's own words, or what a proxy before it may mean.
std::string DaemonClient::refusal(const HttpResponse& response, const std::string& own_words) const {
  const int status = response.status;
  if (status == 401 && token_.empty())
    return fmt::format("{} asks for a token: set SLUICE_TOKEN (of the role viewer to look, of operator to act)", url_);
  if (status == 401)
    return fmt::format("{} does not know the token in SLUICE_TOKEN: compare it with its server.tokens", url_);
  if (!own_words.empty()) return own_words;
  if (const auto elsewhere = response.header("location"); status / 100 == 3 && elsewhere)
    return fmt::format("{} points to {}: give --server the address that sluice itself has", url_,
                       without_secrets(*elsewhere));
  if (status == 404) return fmt::format("there is no sluice at {} (status 404): look at the path", url_);
  if (status == 502 || status == 503 || status == 504)
    return fmt::format("the proxy at {} does not reach sluice (status {})", url_, status);
  return fmt::format("{} answered with status {}, which is not sluice's own: look at the proxy there", url_, status);
}

task<Json> DaemonClient::exchange(HttpRequest request) {
  request.timeout = std::chrono::seconds(10);
  request.headers.emplace_back("Accept", "application/json");
  if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_.reveal());
  const auto response = co_await http_.send(std::move(request));
  auto json = Json::parse(response.body, nullptr, false);
  if (response.status == 200 && !json.is_discarded()) co_return json;
  if (response.status == 200) throw Error(Remedy::give_up, fmt::format("what answers at {} is not sluice", url_));
  std::string own_words;
  if (json.is_object() && json.contains("detail") && json["detail"].is_string())
    own_words = json["detail"].get<std::string>();
  throw Refusal(response.status, refusal(response, own_words));
}

}  // namespace sluice
