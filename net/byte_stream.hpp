#pragma once
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>

#include "core/task.hpp"

// Forward, so that nobody else compiles TLS.
namespace boost::asio::ssl {
class context;
}
typedef struct ssl_st SSL;

namespace sluice {

using Deadline = std::chrono::steady_clock::time_point;

// A TCP connection, and TLS on top of it once `start_tls` was called. Each operation has its own deadline, and puts
// what went wrong into `ec`: boost::beast::error::timeout, asio::error::eof (TLS: also ssl::error::stream_truncated),
// asio::error::operation_aborted, or what the system says. After a failure the stream can only be closed.
class ByteStream {
 public:
  explicit ByteStream(const asio::any_io_executor& executor);
  explicit ByteStream(asio::ip::tcp::socket connected);
  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;
  ~ByteStream();

  task<void> connect(asio::ip::tcp::endpoint address, Deadline deadline, error_code& ec);

  // What follows is TLS. `context` outlives the stream. The handle takes the settings of this one connection.
  SSL* start_tls(asio::ssl::context& context);
  enum class Side { client, server };
  task<void> handshake(Side side, Deadline deadline, error_code& ec);

  // At least one byte, or `ec` is set.
  task<std::size_t> read_some(asio::mutable_buffer room, Deadline deadline, error_code& ec);
  // All of it, or `ec` is set; how much was handed over.
  task<std::size_t> write(asio::const_buffer bytes, Deadline deadline, error_code& ec);

  asio::ip::tcp::socket& socket();
  // Operations under way end with operation_aborted.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
