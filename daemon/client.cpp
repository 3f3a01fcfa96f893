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

task<Json> DaemonClient::exchange(HttpRequest request) {
  request.timeout = std::chrono::seconds(10);
  request.headers.emplace_back("Accept", "application/json");
  if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_.reveal());
  const auto response = co_await http_.send(std::move(request));
  auto json = Json::parse(response.body, nullptr, false);
  if (response.status == 200 && !json.is_discarded()) co_return json;
  if (response.status == 200) throw Error(Remedy::give_up, fmt::format("what answers at {} is not sluice", url_));
  std::string detail = fmt::format("{} answered with status {}", url_, response.status);
  if (json.is_object() && json.contains("detail") && json["detail"].is_string())
    detail = json["detail"].get<std::string>();
  if (response.status == 401) detail += " (set SLUICE_TOKEN)";
  throw Refusal(response.status, detail);
}

}  // namespace sluice
