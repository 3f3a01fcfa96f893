#pragma once
#include <zlib.h>

#include <stdexcept>
#include <string>
#include <thread>

#include "net/http.hpp"
#include "tests/support/http_server.hpp"

namespace sluice::test {

// A real loop with a real client. `run` returns when nothing is left to do: a task, timer or read that was forgotten
// would hang the test.
class RealLoop {
 public:
  explicit RealLoop(HttpOptions options = {}) : client_(make_http_client(io_.get_executor(), clock_, options)) {}

  HttpClient& client() { return *client_; }
  RealClock& clock() { return clock_; }

  template <typename T>
  T run(task<T> t) {
    std::optional<T> result;
    run(detail::store(std::move(t), result));
    return std::move(*result);
  }
  void run(task<void> t) {
    std::exception_ptr failure;
    asio::co_spawn(io_, std::move(t), [&](const std::exception_ptr& error) { failure = error; });
    io_.restart();
    io_.run();
    if (failure) std::rethrow_exception(failure);
  }

  HttpResponse send(HttpRequest request) { return run(client().send(std::move(request))); }
  HttpResponse get(const std::string& url) { return send(HttpRequest("GET", url)); }
  HttpError failure_of(HttpRequest request) {
    try {
      send(std::move(request));
    } catch (const HttpError& error) {
      return error;
    }
    throw std::logic_error("the request succeeded");
  }
  HttpError failure_of(const std::string& url) { return failure_of(HttpRequest("GET", url)); }

 private:
  asio::io_context io_;
  RealClock clock_{io_.get_executor()};
  std::unique_ptr<HttpClient> client_;
};

inline std::string gzip(std::string_view text) {
  z_stream z{};
  deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline std::string digits(std::size_t size) {
  std::string out(size, ' ');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>('0' + i * i % 7);
  return out;
}

// Serves every request of a connection with the same answer.
inline HttpServer::Handler always(int status, std::string body, std::string headers = {}) {
  return [=](Wire& wire) {
    while (!wire.read_request().empty()) wire.reply(status, body, headers);
  };
}

// Answers one request with these bytes, then closes.
inline HttpServer::Handler once(std::string bytes) {
  return [=](Wire& wire) {
    wire.read_request();
    wire.write(bytes);
    wire.close();
  };
}

// Waits, for at most five seconds, until the server's handlers are all done.
inline bool all_closed(const HttpServer& server) {
  for (int i = 0; i < 500 && server.open() > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return server.open() == 0;
}

class Pieces final : public BodyReader {
 public:
  void begin(const HttpResponse& head) override { status = head.status; }
  task<void> piece(std::string_view bytes) override {
    total += bytes.size();
    largest = std::max(largest, bytes.size());
    if (total < 1 << 20) body += bytes;
    if (fail) throw std::runtime_error("the reader is full");
    if (clock) co_await clock->sleep_for(slow);
  }
  int status = 0;
  std::size_t total = 0, largest = 0;
  std::string body;
  bool fail = false;
  Clock* clock = nullptr;
  Duration slow{};
};

}  // namespace sluice::test
