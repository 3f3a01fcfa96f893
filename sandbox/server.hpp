#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <thread>

#include "sandbox/sandbox.hpp"

namespace sluice::sandbox {

// The sandbox on a loopback port, in somebody's event loop.
class Server {
 public:
  // Binds at once; the port is known before `run`.
  Server(asio::io_context& io, const Options& options);
  std::uint16_t port() const { return port_; }
  std::string url() const;
  Sandbox& sandbox() { return sandbox_; }

  // Serves until cancelled or stopped.
  task<void> run();
  void stop();

 private:
  task<void> session(asio::ip::tcp::socket socket);
  task<void> accept(TaskGroup& group);

  asio::io_context& io_;
  RealClock clock_;
  Sandbox sandbox_;
  Duration latency_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_;
  TaskGroup* running_ = nullptr;
};

// The sandbox on a thread of its own, for tests and benchmarks that block.
class ServerThread {
 public:
  explicit ServerThread(const Options& options);
  ~ServerThread();
  ServerThread(const ServerThread&) = delete;
  ServerThread& operator=(const ServerThread&) = delete;
  std::uint16_t port() const { return server_.port(); }
  std::string url() const { return server_.url(); }

 private:
  asio::io_context io_;
  Server server_;
  std::thread thread_;
};

}  // namespace sluice::sandbox
