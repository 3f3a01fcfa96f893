#include "daemon/http_server.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/version.hpp>
#include <list>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "daemon/http_access.hpp"
#include "daemon/http_target.hpp"

namespace sluice {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr Duration refusal_delay = std::chrono::milliseconds(200);  // of a wrong token: slows guessing down
constexpr std::string_view crowded =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n";

// OWASP secure headers; the page's scripts and styles are its own files.
constexpr std::pair<std::string_view, std::string_view> security_headers[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
     "form-action 'self'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-store"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"}};

auto into(error_code& fault) {
  return asio::redirect_error(asio::use_awaitable, fault);
}

template <typename Fields>
void decorate(http::response<Fields>& response, const ServerReply& reply) {
  response.set(http::field::server, "sluice");
  response.set(http::field::content_type, reply.content_type);
  for (const auto& [name, value] : security_headers) response.set(name, value);
  if (!reply.allow.empty()) response.set(http::field::allow, reply.allow);
  if (reply.status == 401) response.set(http::field::www_authenticate, "Bearer");
}

// What to answer a request that could not be read; nothing when there is nobody to answer.
std::optional<ServerReply> answer_to_fault(const error_code& fault) {
  if (fault == http::error::header_limit) return problem(431, "the header is larger than the server takes");
  if (fault == http::error::body_limit) return problem(413, "the body is larger than the server takes");
  if (fault == http::error::end_of_stream || fault == http::error::partial_message) return {};
  if (fault.category() == make_error_code(http::error::bad_method).category())
    return problem(400, "this is not HTTP/1.1");
  return {};
}

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

struct HttpServer::Impl {
  asio::any_io_executor executor;
  Clock& clock;
  ServerOptions options;
  Handler& handler;
  tcp::acceptor acceptor;
  std::optional<asio::ssl::context> tls;
  std::list<beast::tcp_stream*> open;
  int followers = 0;

  Impl(asio::any_io_executor e, Clock& c, ServerOptions o, Handler& h)
      : executor(e), clock(c), options(std::move(o)), handler(h), acceptor(e) {}

  void load_tls();
  task<void> accept(TaskGroup& sessions);
  task<void> session(tcp::socket socket);
  task<void> secure_session(beast::tcp_stream& stream);
};

namespace {

// One connection: requests one after another.
template <typename Stream>
class Session final : public Following {
 public:
  Session(Stream& stream, const ServerOptions& options, Handler& handler, Clock& clock, int& followers)
      : stream_(stream),
        options_(options),
        limits_(options.limits),
        handler_(handler),
        clock_(clock),
        followers_(followers) {}

  task<void> converse() {
    for (int served = 1; served <= limits_.requests_per_connection; ++served) {
      if (!co_await wait_for_request(served == 1)) co_return;
      const bool last = served == limits_.requests_per_connection;
      if (!co_await exchange(last)) co_return;
    }
  }

  task<void> write(std::string piece) override {
    deadline(limits_.write_deadline);
    const auto chunk = http::make_chunk(asio::buffer(piece));
    co_await asio::async_write(stream_, chunk, asio::use_awaitable);
    beast::get_lowest_layer(stream_).expires_never();
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  void deadline(Duration d) { beast::get_lowest_layer(stream_).expires_after(d); }

  task<bool> wait_for_request(bool first) {
    if (buffer_.size() > 0) co_return true;
    deadline(first ? limits_.header_deadline : limits_.idle);
    error_code fault;
    const auto room = buffer_.prepare(2048);
    const auto size = co_await stream_.async_read_some(room, into(fault));
    buffer_.commit(size);
    co_return !fault && size > 0;
  }

  // False: the connection ends.
  task<bool> exchange(bool last) {
    Parser parser;
    parser.header_limit(limits_.header_bytes);
    parser.body_limit(limits_.body_bytes);
    deadline(limits_.header_deadline);
    error_code fault;
    co_await http::async_read_header(stream_, buffer_, parser, into(fault));
    if (!fault) {
      deadline(limits_.body_deadline);
      co_await http::async_read(stream_, buffer_, parser, into(fault));
    }
    if (fault) {
      if (const auto reply = answer_to_fault(fault)) {
        co_await send(*reply, 11, false, false);
        co_await linger();
      }
      co_return false;
    }
    auto message = parser.release();
    ServerRequest request;
    auto reply = co_await reply_to(message, request);
    const bool keep = !last && message.keep_alive() && !reply.follow;
    co_await send(reply, message.version(), keep, message.method() == http::verb::head);
    if (reply.follow && message.method() != http::verb::head) co_await follow(request);
    if (!keep && !reply.follow) co_await linger();
    co_return keep;
  }

  // Lets the client read the answer: closing with unread bytes would reset the connection under it.
  task<void> linger() {
    error_code ignored;
    auto& socket = beast::get_lowest_layer(stream_).socket();
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    deadline(std::chrono::seconds(1));
    for (std::size_t discarded = 0; discarded < (1u << 20) && !ignored;) {
      buffer_.clear();
      const auto room = buffer_.prepare(16 * 1024);
      discarded += co_await beast::get_lowest_layer(stream_).async_read_some(room, into(ignored));
    }
  }

  task<ServerReply> reply_to(const http::request<http::string_body>& message, ServerRequest& request) {
    if (auto refusal = understand(message, request)) co_return std::move(*refusal);
    if (auto refusal = authorize(message, request)) {
      if (refusal->status == 401) co_await clock_.sleep_for(refusal_delay);
      co_return std::move(*refusal);
    }
    std::exception_ptr failure;
    try {
      auto reply = co_await handler_.answer(request);
      if (reply.follow && followers_ >= limits_.followers)
        reply = problem(503, "too many connections follow the events already");
      co_return reply;
    } catch (...) {
      failure = std::current_exception();
    }
    if (is_cancellation(failure)) std::rethrow_exception(failure);
    co_return problem(500, "the request failed; the log says why");
  }

  std::optional<ServerReply> understand(const http::request<http::string_body>& message, ServerRequest& request) {
    const auto hosts = message.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && message.version() >= 11)) return problem(400, "exactly one Host header is needed");
    const auto host = view(message[http::field::host]);
    // Load balancers' HTTP/1.0 checks have no Host; browsers always send one.
    if (hosts == 1 && !host_allowed(host, options_.tokens.empty()))
      return problem(421, "this server does not answer to that Host; use its IP address or localhost");
    if (std::distance(message.begin(), message.end()) > static_cast<std::ptrdiff_t>(limits_.header_fields))
      return problem(431, "too many header fields");
    request.method = std::string(view(message.method_string()));
    if (!parse_target(view(message.target()), request)) return problem(400, "the request's target is not a path");
    const auto last_event = view(message["Last-Event-ID"]);
    request.last_event_id = parse_number(last_event);
    if (request.method == "GET" || request.method == "HEAD") return {};
    if (request.method != "POST") {
      auto reply = problem(405, "only GET, HEAD and POST are known");
      reply.allow = "GET, HEAD, POST";
      return reply;
    }
    if (!same_site(host, view(message[http::field::origin]), view(message["Sec-Fetch-Site"])))
      return problem(403, "a page of another site may not do this");
    if (!message.body().empty() && !view(message[http::field::content_type]).starts_with("application/json"))
      return problem(415, "the body must be application/json");
    request.body = message.body();
    return {};
  }

  std::optional<ServerReply> authorize(const http::request<http::string_body>& message, ServerRequest& request) {
    const auto needed = handler_.needed(request);
    if (options_.tokens.empty()) {
      request.role = Role::admin;
      return {};
    }
    if (const auto* token = find_token(options_.tokens, view(message[http::field::authorization]))) {
      request.role = token->role;
      request.who = token->name;
    }
    if (request.role >= needed) return {};
    if (request.role == Role::none) return problem(401, "a token is needed: Authorization: Bearer …");
    return problem(403, "the token's role does not allow this");
  }

  task<void> send(const ServerReply& reply, unsigned version, bool keep, bool head) {
    deadline(limits_.write_deadline);
    const auto status = static_cast<http::status>(reply.status);
    error_code ignored;  // the next read notices a peer that is gone
    if (head || reply.follow) {
      http::response<http::empty_body> response(status, version);
      decorate(response, reply);
      response.keep_alive(keep);
      if (reply.follow)
        response.chunked(true);
      else
        response.content_length(reply.body.size());
      http::response_serializer<http::empty_body> serializer(response);
      co_await http::async_write_header(stream_, serializer, into(ignored));
      co_return;
    }
    http::response<http::string_body> response(status, version);
    decorate(response, reply);
    response.keep_alive(keep);
    response.body() = reply.body;
    response.prepare_payload();
    co_await http::async_write(stream_, response, into(ignored));
  }

  task<void> follow(const ServerRequest& request) {
    struct Counted {
      int& count;
      explicit Counted(int& c) : count(c) { ++count; }
      ~Counted() { --count; }
    };
    const Counted counted(followers_);
    beast::get_lowest_layer(stream_).expires_never();
    co_await handler_.follow(request, *this);
  }

  Stream& stream_;
  const ServerOptions& options_;
  const ServerLimits& limits_;
  Handler& handler_;
  Clock& clock_;
  int& followers_;
  beast::flat_buffer buffer_;
};

}  // namespace

ServerReply problem(int status, const std::string& detail) {
  const auto title = view(http::obsolete_reason(static_cast<http::status>(status)));
  const nlohmann::ordered_json body{{"type", "about:blank"}, {"title", title}, {"status", status}, {"detail", detail}};
  return ServerReply(status, "application/problem+json",
                     body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::optional<Role> parse_role(std::string_view text) {
  if (text == "viewer") return Role::viewer;
  if (text == "operator") return Role::operate;
  if (text == "admin") return Role::admin;
  return {};
}

void HttpServer::Impl::load_tls() {
  if (options.tls_certificate.empty()) return;
  tls.emplace(asio::ssl::context::tls_server);
  tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                   asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  error_code fault;
  tls->use_certificate_chain_file(options.tls_certificate, fault);
  if (fault)
    throw Error(Remedy::give_up,
                fmt::format("server.tls.certificate: cannot use {}: {}", options.tls_certificate, fault.message()));
  tls->use_private_key_file(options.tls_key, asio::ssl::context::pem, fault);
  if (fault)
    throw Error(Remedy::give_up, fmt::format("server.tls.key: cannot use {}: {}", options.tls_key, fault.message()));
}

task<void> HttpServer::Impl::accept(TaskGroup& sessions) {
  // Beast's operations do not all hear a task's cancellation; a closed socket they do.
  struct CloseAll {
    std::list<beast::tcp_stream*>& open;
    ~CloseAll() {
      for (auto* stream : open) stream->close();
    }
  };
  const CloseAll at_end{open};
  for (;;) {
    error_code fault;
    auto socket = co_await acceptor.async_accept(into(fault));
    if (fault) {
      // Out of descriptors, most likely: they come back.
      co_await clock.sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    if (static_cast<int>(sessions.running()) > options.limits.connections) {
      error_code ignored;
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(crowded), ignored);
      continue;
    }
    sessions.spawn(session(std::move(socket)));
  }
}

task<void> HttpServer::Impl::session(tcp::socket socket) {
  beast::tcp_stream stream(std::move(socket));
  struct Listed {
    std::list<beast::tcp_stream*>& list;
    std::list<beast::tcp_stream*>::iterator at;
    Listed(std::list<beast::tcp_stream*>& l, beast::tcp_stream* s) : list(l), at(l.insert(l.end(), s)) {}
    ~Listed() { list.erase(at); }
  };
  const Listed listed(open, &stream);
  std::exception_ptr failure;
  try {
    if (tls) {
      co_await secure_session(stream);
    } else {
      Session<beast::tcp_stream> plain(stream, options, handler, clock, followers);
      co_await plain.converse();
    }
  } catch (...) {
    failure = std::current_exception();
  }
  // A peer that went away, or a stop: neither is anybody's failure.
}

task<void> HttpServer::Impl::secure_session(beast::tcp_stream& stream) {
  beast::ssl_stream<beast::tcp_stream&> secure(stream, *tls);
  stream.expires_after(options.limits.header_deadline);
  co_await secure.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
  Session<beast::ssl_stream<beast::tcp_stream&>> session(secure, options, handler, clock, followers);
  co_await session.converse();
}

HttpServer::HttpServer(asio::any_io_executor executor, Clock& clock, ServerOptions options, Handler& handler)
    : impl_(std::make_unique<Impl>(std::move(executor), clock, std::move(options), handler)) {}

HttpServer::~HttpServer() = default;

void HttpServer::listen() {
  const auto& options = impl_->options;
  if (!is_loopback(options.address) && options.tokens.empty())
    throw Error(Remedy::give_up,
                fmt::format("server.listen: {} can be reached from other machines, and there are no tokens; "
                            "add server.tokens, or listen on 127.0.0.1",
                            options.address));
  impl_->load_tls();
  error_code fault;
  const auto address = asio::ip::make_address(options.address, fault);
  const tcp::endpoint endpoint(address, options.port);
  auto& acceptor = impl_->acceptor;
  if (!fault) acceptor.open(endpoint.protocol(), fault);
  if (!fault) acceptor.set_option(tcp::acceptor::reuse_address(true), fault);
  if (!fault) acceptor.bind(endpoint, fault);
  if (!fault) acceptor.listen(asio::socket_base::max_listen_connections, fault);
  if (fault)
    throw Error(
        Remedy::retry,
        fmt::format("cannot listen on {}:{}: {}; is another sluice running? Set server.listen to another address",
                    options.address, options.port, fault.message()));
}

unsigned short HttpServer::port() const {
  return impl_->acceptor.local_endpoint().port();
}

task<void> HttpServer::serve() {
  TaskGroup sessions(impl_->executor);
  sessions.spawn(impl_->accept(sessions));
  co_await sessions.join();
}

}  // namespace sluice
