#include "sandbox/server.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace sluice::sandbox {
namespace {

namespace http = boost::beast::http;
using asio::use_awaitable;
using asio::ip::tcp;

Request from_beast(http::request<http::string_body>& message) {
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message) {
    std::string name(field.name_string());
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    request.headers.emplace_back(std::move(name), std::string(field.value()));
  }
  request.body = std::move(message.body());
  return request;
}

std::string head_of(const Reply& reply, bool keep_alive) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(reply.status));
  auto head = fmt::format("HTTP/1.1 {} {}\r\n", reply.status, std::string_view(reason.data(), reason.size()));
  for (const auto& [name, value] : reply.headers) head += fmt::format("{}: {}\r\n", name, value);
  head += reply.more ? "transfer-encoding: chunked" : fmt::format("content-length: {}", reply.body.size());
  head += fmt::format("\r\nconnection: {}\r\n\r\n", keep_alive ? "keep-alive" : "close");
  return head;
}

task<void> write_chunks(tcp::socket& socket, std::string head, const Reply& reply) {
  std::string bytes = std::move(head), piece = reply.body;
  do {
    bytes += fmt::format("{:x}\r\n", piece.size());
    bytes += piece;
    bytes += "\r\n";
    co_await asio::async_write(socket, asio::buffer(bytes), use_awaitable);
    bytes.clear();
    piece.clear();
  } while (reply.more(piece));
  bytes = "0\r\n\r\n";
  co_await asio::async_write(socket, asio::buffer(bytes), use_awaitable);
}

task<void> write_slowly(tcp::socket& socket, Clock& clock, std::string_view body, Duration in_all) {
  constexpr std::size_t kPieces = 10;
  for (std::size_t i = 0; i < kPieces; ++i) {
    co_await clock.sleep_for(in_all / kPieces);
    const auto from = body.size() * i / kPieces;
    const auto to = body.size() * (i + 1) / kPieces;
    co_await asio::async_write(socket, asio::buffer(body.substr(from, to - from)), use_awaitable);
  }
}

// Returns when the peer has gone.
task<void> wait_for_close(tcp::socket& socket) {
  char byte = 0;
  error_code gone;
  while (!gone) co_await socket.async_read_some(asio::buffer(&byte, 1), asio::redirect_error(use_awaitable, gone));
}

// True when the connection may be used again.
task<bool> write_reply(tcp::socket& socket, Clock& clock, const Reply& reply, bool keep_alive) {
  if (reply.ending == Reply::Ending::reset) {
    socket.set_option(asio::socket_base::linger(true, 0));
    co_return false;
  }
  if (reply.ending == Reply::Ending::hang) {
    co_await wait_for_close(socket);
    co_return false;
  }
  auto head = head_of(reply, keep_alive);
  if (reply.more) {
    co_await write_chunks(socket, std::move(head), reply);
    co_return keep_alive;
  }
  if (reply.ending == Reply::Ending::slow) {
    co_await asio::async_write(socket, asio::buffer(head), use_awaitable);
    co_await write_slowly(socket, clock, reply.body, reply.slowly);
    co_return keep_alive;
  }
  const auto size = reply.ending == Reply::Ending::truncated ? reply.body.size() / 2 : reply.body.size();
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(head), asio::buffer(reply.body.data(), size)};
  co_await asio::async_write(socket, buffers, use_awaitable);
  co_return keep_alive&& reply.ending == Reply::Ending::whole;
}

}  // namespace

Server::Server(asio::io_context& io, const Options& options)
    : io_(io),
      clock_(io.get_executor()),
      sandbox_(options, clock_),
      latency_(options.latency),
      acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), options.port)),
      port_(acceptor_.local_endpoint().port()) {}

std::string Server::url() const {
  return fmt::format("http://127.0.0.1:{}", port_);
}

task<void> Server::run() {
  TaskGroup group(io_.get_executor());
  running_ = &group;
  group.spawn(accept(group));
  co_await group.join();
  running_ = nullptr;
}

void Server::stop() {
  if (running_ != nullptr) running_->cancel();
}

task<void> Server::accept(TaskGroup& group) {
  for (;;) {
    error_code failed;
    auto socket = co_await acceptor_.async_accept(asio::redirect_error(use_awaitable, failed));
    if (failed == asio::error::operation_aborted) co_return;
    if (failed) {
      co_await clock_.sleep_for(std::chrono::milliseconds(50));
      continue;
    }
    socket.set_option(tcp::no_delay(true));
    group.spawn(session(std::move(socket)));
  }
}

// A client that goes away is none of the server's failures.
task<void> Server::session(tcp::socket socket) {
  boost::beast::flat_buffer buffer;
  bool open = true;
  while (open) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(64u << 20);
    parser.header_limit(1u << 20);  // lists of ids stand in the query
    error_code failed;
    co_await http::async_read(socket, buffer, parser, asio::redirect_error(use_awaitable, failed));
    if (failed) co_return;
    const bool keep_alive = parser.get().keep_alive();
    const auto request = from_beast(parser.get());
    if (latency_ > Duration::zero()) co_await clock_.sleep_for(latency_);
    const auto reply = sandbox_.handle(request);
    try {
      open = co_await write_reply(socket, clock_, reply, keep_alive);
    } catch (const boost::system::system_error&) {
      open = false;
    }
  }
  error_code ignored;
  if (socket.is_open()) socket.close(ignored);
}

ServerThread::ServerThread(const Options& options) : server_(io_, options) {
  asio::co_spawn(io_, server_.run(), [](const std::exception_ptr&) {});
  thread_ = std::thread([this] { io_.run(); });
}

ServerThread::~ServerThread() {
  asio::post(io_, [this] { server_.stop(); });
  thread_.join();
}

}  // namespace sluice::sandbox
