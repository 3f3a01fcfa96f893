#include "net/byte_stream.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl.hpp>

// The only file that instantiates Asio's and Beast's stream operations: they are what takes longest to compile.

namespace sluice {

namespace beast = boost::beast;
using asio::ip::tcp;

namespace {

auto into(error_code& ec) {
  return asio::redirect_error(asio::use_awaitable, ec);
}

}  // namespace

struct ByteStream::Impl {
  beast::tcp_stream tcp;
  std::optional<asio::ssl::stream<beast::tcp_stream&>> tls;

  explicit Impl(const asio::any_io_executor& executor) : tcp(executor) {}
  explicit Impl(tcp::socket&& connected) : tcp(std::move(connected)) {}
};

ByteStream::ByteStream(const asio::any_io_executor& executor) : impl_(std::make_unique<Impl>(executor)) {}
ByteStream::ByteStream(tcp::socket connected) : impl_(std::make_unique<Impl>(std::move(connected))) {}
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;
ByteStream::~ByteStream() = default;

task<void> ByteStream::connect(tcp::endpoint address, Deadline deadline, error_code& ec) {
  impl_->tcp.expires_at(deadline);
  co_await impl_->tcp.async_connect(address, into(ec));
}

SSL* ByteStream::start_tls(asio::ssl::context& context) {
  return impl_->tls.emplace(impl_->tcp, context).native_handle();
}

task<void> ByteStream::handshake(Side side, Deadline deadline, error_code& ec) {
  impl_->tcp.expires_at(deadline);
  const auto as = side == Side::client ? asio::ssl::stream_base::client : asio::ssl::stream_base::server;
  co_await impl_->tls->async_handshake(as, into(ec));
}

task<std::size_t> ByteStream::read_some(asio::mutable_buffer room, Deadline deadline, error_code& ec) {
  impl_->tcp.expires_at(deadline);
  std::size_t size = 0;
  if (impl_->tls)
    size = co_await impl_->tls->async_read_some(room, into(ec));
  else
    size = co_await impl_->tcp.async_read_some(room, into(ec));
  co_return size;
}

task<std::size_t> ByteStream::write(asio::const_buffer bytes, Deadline deadline, error_code& ec) {
  impl_->tcp.expires_at(deadline);
  std::size_t size = 0;
  if (impl_->tls)
    size = co_await asio::async_write(*impl_->tls, bytes, into(ec));
  else
    size = co_await asio::async_write(impl_->tcp, bytes, into(ec));
  co_return size;
}

tcp::socket& ByteStream::socket() {
  return impl_->tcp.socket();
}

void ByteStream::close() {
  impl_->tcp.close();
}

}  // namespace sluice
