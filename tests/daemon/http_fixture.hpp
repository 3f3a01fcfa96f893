#pragma once
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "daemon/api_routes.hpp"

namespace sluice::test {

// A daemon that remembers what it was asked.
struct FakeControl final : Control {
  bool ready = true;
  Duration age{};
  std::vector<std::string> asked;

  Health health() override {
    Health h;
    h.checks = {{"configuration", true, "ok"}, {"state", ready, ready ? "ok" : "disk I/O error"}};
    return h;
  }
  Duration loop_age() const override { return age; }
  task<Json> pipelines() override { co_return Json::array({Json{{"name", "facebook"}}}); }
  task<Json> pipeline(std::string name) override {
    if (name != "facebook") throw Refusal(404, "there is no pipeline " + name);
    co_return Json{{"name", name}};
  }
  task<Json> runs(std::string pipeline, std::size_t limit) override {
    co_return Json{{"pipeline", pipeline}, {"limit", limit}};
  }
  task<Json> run(std::string id) override {
    if (id == "broken") throw std::runtime_error("internal detail");
    co_return Json{{"id", id}};
  }
  task<Json> logs(std::string run) override {
    if (run != "r1") throw Refusal(404, "there is no run " + run);
    co_return Json{{"lines", Json::array()}};
  }
  Json sources() override { return Json::array(); }
  Json sinks() override { return Json::array(); }
  Json limits() override { return Json::object(); }
  Json version() override { return Json{{"version", "1"}}; }
  task<std::string> metrics() override { co_return metrics_asked(); }
  std::function<std::string()> metrics_asked;
  task<std::string> trigger(std::string pipeline) override { co_return did("trigger " + pipeline); }
  task<std::string> pause(std::string pipeline, bool paused) override {
    co_return did((paused ? "pause " : "resume ") + pipeline);
  }
  task<std::string> cancel(std::string pipeline, std::string run, std::string) override {
    if (run.empty()) throw Refusal(409, pipeline + " is not running");
    co_return did(fmt::format("cancel {} {}", pipeline, run));
  }
  task<std::string> backfill(std::string pipeline, BackfillRequest r) override {
    co_return did(fmt::format("backfill {} {} {} {}", pipeline, format_day(r.from), format_day(r.to), r.lane));
  }
  task<std::string> reload() override { co_return did("reload"); }
  std::string did(std::string what) {
    asked.push_back(what);
    return what;
  }
};

// The server on a port of its own, in a thread of its own; stopped and joined at the end.
class RunningServer {
 public:
  explicit RunningServer(ServerOptions options = {}, bool protect_metrics = false) {
    options.port = 0;
    control.metrics_asked = [this] { return metrics_.text(); };
    routes_.emplace(control, hub_, log_, clock_, protect_metrics);
    server_.emplace(io_.get_executor(), clock_, std::move(options), *routes_);
    server_->listen();
    asio::co_spawn(io_, server_->serve(), asio::bind_cancellation_slot(stop_.slot(), [](const std::exception_ptr&) {}));
    thread_ = std::thread([this] { io_.run(); });
  }
  ~RunningServer() {
    asio::post(io_, [this] { stop_.emit(asio::cancellation_type::terminal); });
    thread_.join();
    ::close(devnull_);
  }
  unsigned short port() const { return server_->port(); }
  void emit(const Event& event) {
    asio::post(io_, [this, event] { hub_.emit(event); });
  }

  FakeControl control;

 private:
  asio::io_context io_;
  RealClock clock_{io_.get_executor()};
  int devnull_ = ::open("/dev/null", O_WRONLY);
  Log log_{{Level::info, LogFormat::text, devnull_}};
  Metrics metrics_{{{{"facebook", {}, {"insights"}}}, {"meta"}, {"warehouse"}}};
  EventHub hub_{io_.get_executor(), clock_, metrics_, log_};
  std::optional<ApiRoutes> routes_;
  std::optional<HttpServer> server_;
  asio::cancellation_signal stop_;
  std::thread thread_;
};

// A client that can misbehave: it sends bytes and reads what comes until the connection ends.
class RawClient {
 public:
  explicit RawClient(unsigned short port, const std::string& from = "127.0.0.1") {
    socket_.open(asio::ip::tcp::v4());
    socket_.bind({asio::ip::make_address(from), 0});
    socket_.connect({asio::ip::address_v4::loopback(), port});
    timeval patience{20, 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void send(std::string_view bytes) {
    error_code ignored;
    asio::write(socket_, asio::buffer(bytes), ignored);
  }
  // Until the server closes, or `enough` has come.
  std::string receive(std::string_view enough = {}) {
    std::string all;
    char piece[4096];
    while (enough.empty() || all.find(enough) == std::string::npos) {
      const auto n = ::recv(socket_.native_handle(), piece, sizeof piece, 0);
      if (n <= 0) break;
      all.append(piece, static_cast<std::size_t>(n));
    }
    return all;
  }

 private:
  asio::io_context io_;
  asio::ip::tcp::socket socket_{io_};
};

struct Exchange {
  int status = 0;
  std::string head, body;
};

inline Exchange parse_exchange(const std::string& text) {
  Exchange e;
  const auto end = text.find("\r\n\r\n");
  e.head = text.substr(0, end);
  if (end != std::string::npos) e.body = text.substr(end + 4);
  if (text.starts_with("HTTP/1.1 ") || text.starts_with("HTTP/1.0 ")) e.status = std::stoi(text.substr(9, 3));
  return e;
}

inline Exchange ask(const RunningServer& server, const std::string& first_line, const std::string& headers = {},
                    const std::string& body = {}) {
  RawClient client(server.port());
  const bool own_host = headers.find("Host:") != std::string::npos;
  auto text =
      first_line + " HTTP/1.1\r\n" + (own_host ? "" : "Host: localhost\r\n") + "Connection: close\r\n" + headers;
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  client.send(text + "\r\n" + body);
  return parse_exchange(client.receive());
}

}  // namespace sluice::test
