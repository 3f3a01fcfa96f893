#pragma once
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "sandbox/server.hpp"
#include "sandbox/text.hpp"

namespace sluice::test {

using Json = nlohmann::json;

struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
  Json json;
};

// A sandbox on its own thread and a client that blocks, one connection per request.
class Api {
 public:
  explicit Api(const sandbox::Options& options = calm()) : server_(options) {}

  // Time stands still, and reports are ready at once.
  static sandbox::Options calm() {
    sandbox::Options options;
    options.today = Day(2026, 3, 2);
    options.report_delay = Duration::zero();
    return options;
  }

  Answer get(const std::string& target, const std::string& token = "sandbox-token") {
    return exchange("GET", target, {}, {}, token);
  }
  Answer post(const std::string& target, const std::string& body = {},
              const std::string& type = "application/x-www-form-urlencoded") {
    return exchange("POST", target, body, type, "sandbox-token");
  }
  void fault(const std::string& name, const std::string& arg = {}, int times = -1, const std::string& path = {}) {
    const Json json = {{"name", name}, {"arg", arg}, {"times", times}, {"path", path}};
    if (post("/sandbox/fault", json.dump()).status != 200) throw std::runtime_error("no such fault: " + name);
  }
  void no_faults() { exchange("DELETE", "/sandbox/fault", {}, {}, {}); }
  void advance(const std::string& by) { post("/sandbox/clock", Json{{"advance", by}}.dump()); }

  Json accounts() {
    return get("/v26.0/me/adaccounts?limit=100&fields=name,currency,timezone_name,account_status").json["data"];
  }
  // "act_123": the first account, Berlin and EUR.
  std::string account() { return accounts()[0]["id"].get<std::string>(); }
  // Every row of an edge, page by page; the target already has a query.
  Json all(const std::string& target) {
    Json rows = Json::array();
    std::string after;
    for (int pages = 0; pages < 1000; ++pages) {
      const auto page = get(target + (after.empty() ? "" : "&after=" + after));
      if (page.status != 200) throw std::runtime_error(page.body);
      for (const auto& row : page.json["data"]) rows.push_back(row);
      if (!page.json.contains("paging") || !page.json["paging"].contains("next")) return rows;
      after = page.json["paging"]["cursors"]["after"].get<std::string>();
    }
    throw std::runtime_error("the pages never end");
  }
  std::string url() const { return server_.url(); }
  std::uint16_t port() const { return server_.port(); }

 private:
  Answer exchange(const std::string& method, const std::string& target, const std::string& body,
                  const std::string& type, const std::string& token) {
    namespace http = boost::beast::http;
    asio::io_context io;
    asio::ip::tcp::socket socket(io);
    socket.connect({asio::ip::address_v4::loopback(), server_.port()});
    http::request<http::string_body> request(http::string_to_verb(method), target, 11);
    request.set(http::field::host, "127.0.0.1:" + std::to_string(server_.port()));
    request.set(http::field::connection, "close");
    if (!token.empty()) request.set(http::field::authorization, "Bearer " + token);
    if (!type.empty()) request.set(http::field::content_type, type);
    request.body() = body;
    request.prepare_payload();
    http::write(socket, request);
    boost::beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(std::uint64_t{1} << 30);
    http::read(socket, buffer, parser);
    Answer answer;
    answer.status = parser.get().result_int();
    for (const auto& field : parser.get()) {
      std::string name(field.name_string());
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      answer.headers[name] = std::string(field.value());
    }
    answer.body = std::move(parser.get().body());
    answer.json = Json::parse(answer.body, nullptr, false);
    return answer;
  }

  sandbox::ServerThread server_;
};

inline std::string encoded(const Json& json) {
  return sandbox::percent_encode(json.dump());
}

// "time_range=…&level=…&time_increment=1" of an insights query.
inline std::string window(const std::string& since, const std::string& until, const std::string& level = "ad") {
  return "time_increment=1&level=" + level + "&time_range=" + encoded({{"since", since}, {"until", until}});
}

}  // namespace sluice::test
