#pragma once
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "tests/support/certificates.hpp"

namespace sluice::test {

// The server's end of one connection, blocking. A peer that has gone away is not an error: reads are empty and writes
// go nowhere.
class Wire {
 public:
  virtual ~Wire() = default;
  // Head and body of the next request; empty when the client has closed.
  std::string read_request();
  void write(std::string_view bytes);
  // A whole answer with Content-Length; `headers` as lines, each ended by CRLF.
  void reply(int status, std::string_view body, std::string_view headers = {});
  // Ends the connection in an orderly way.
  virtual void close() = 0;
  // Ends it with a TCP reset.
  virtual void reset() = 0;
  // Which connection of the server this is, from 1.
  int number = 0;

 protected:
  virtual std::size_t read_bytes(char* to, std::size_t size) = 0;  // 0: closed
  virtual std::size_t write_bytes(const char* from, std::size_t size) = 0;

 private:
  std::string received_;
};

// A real server on the loopback interface that does to each connection what a function says. Each connection has a
// thread.
class HttpServer {
 public:
  using Handler = std::function<void(Wire&)>;
  struct Tls {
    std::string certificate, key;
    bool only_tls_1_0 = false;
    explicit Tls(const Authority::Issued& issued) : certificate(issued.certificate), key(issued.key) {}
  };

  explicit HttpServer(Handler handler, std::optional<Tls> tls = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const { return port_; }
  // "http://127.0.0.1:PORT/path", or https.
  std::string url(const std::string& path, const std::string& host = "127.0.0.1") const;
  int accepted() const { return accepted_; }
  // Connections that the handler has not finished with.
  int open() const { return open_; }

 private:
  void accept_all();
  void serve(int socket, int number);

  Handler handler_;
  std::shared_ptr<void> tls_;
  int listener_ = -1, port_ = 0;
  std::atomic<int> accepted_ = 0, open_ = 0;
  std::mutex mutex_;
  std::list<int> sockets_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace sluice::test
