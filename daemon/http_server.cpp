#include "daemon/http_server.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <list>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "daemon/http_access.hpp"
#include "daemon/http_target.hpp"
#include "net/byte_stream.hpp"

namespace sluice {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr Duration refusal_delay = std::chrono::milliseconds(200);  // of a wrong token: slows guessing down

// OWASP secure headers; nothing that is served is for a browser to show.
constexpr std::pair<std::string_view, std::string_view> security_headers[] = {
    {"Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-store"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"}};

auto into(error_code& fault) {
  return asio::redirect_error(asio::use_awaitable, fault);
}

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

Deadline in(Duration d) {
  return std::chrono::steady_clock::now() + d;
}

// Status line and headers; the body's size or that it comes in chunks among them.
std::string head_of(const ServerReply& reply, unsigned version, bool keep) {
  const auto reason = view(http::obsolete_reason(static_cast<http::status>(reply.status)));
  auto head = fmt::format("HTTP/1.{} {} {}\r\nServer: sluice\r\n", version % 10, reply.status, reason);
  const auto add = [&](std::string_view name, std::string_view value) {
    head += fmt::format("{}: {}\r\n", name, value);
  };
  add("Content-Type", reply.content_type);
  for (const auto& [name, value] : security_headers) add(name, value);
  if (!reply.allow.empty()) add("Allow", reply.allow);
  if (reply.status == 401) add("WWW-Authenticate", "Bearer");
  if (reply.status == 503) add("Retry-After", "1");
  if (keep != (version >= 11)) add("Connection", keep ? "keep-alive" : "close");
  if (reply.follow)
    add("Transfer-Encoding", "chunked");
  else
    add("Content-Length", std::to_string(reply.body.size()));
  return head + "\r\n";
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

}  // namespace

struct HttpServer::Impl {
  asio::any_io_executor executor;
  Clock& clock;
  ServerOptions options;
  Handler& handler;
  tcp::acceptor acceptor;
  std::optional<asio::ssl::context> tls;
  struct Open {
    ByteStream* stream;
    asio::ip::address client;
  };
  std::list<Open> open;
  int followers = 0;

  Impl(asio::any_io_executor e, Clock& c, ServerOptions o, Handler& h)
      : executor(e), clock(c), options(std::move(o)), handler(h), acceptor(e) {}

  void load_tls();
  task<void> accept(TaskGroup& sessions);
  bool crowded_by(const asio::ip::address& client, std::size_t sessions) const;
  task<void> session(tcp::socket socket, asio::ip::address client);
};

namespace {

// One connection: requests one after another.
class Session final : public Following {
 public:
  Session(ByteStream& stream, const ServerOptions& options, Handler& handler, Clock& clock, int& followers)
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
    const auto chunk = fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
    error_code fault;
    co_await stream_.write(asio::buffer(chunk), in(limits_.write_deadline), fault);
    if (fault) throw boost::system::system_error(fault);
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  task<bool> wait_for_request(bool first) {
    if (buffer_.size() > 0) co_return true;
    const auto deadline = in(first ? limits_.header_deadline : limits_.idle);
    const auto fault = co_await receive(deadline);
    co_return !fault;
  }

  task<error_code> receive(Deadline deadline) {
    error_code fault;
    const auto room = buffer_.prepare(2048);
    const auto size = co_await stream_.read_some(room, deadline, fault);
    buffer_.commit(size);
    co_return fault;
  }

  // Until the parser's header, or all of it, is there.
  task<error_code> read(Parser& parser, bool only_header, Deadline deadline) {
    error_code fault;
    while (!fault && !(only_header ? parser.is_header_done() : parser.is_done())) {
      fault = http::error::need_more;
      if (buffer_.size() > 0) buffer_.consume(parser.put(buffer_.data(), fault));
      if (fault != http::error::need_more) continue;
      fault = co_await receive(deadline);
      if (fault == asio::error::eof) fault = http::error::end_of_stream;
    }
    co_return fault;
  }

  // False: the connection ends.
  task<bool> exchange(bool last) {
    Parser parser;
    parser.header_limit(limits_.header_bytes);
    parser.body_limit(limits_.body_bytes);
    auto fault = co_await read(parser, true, in(limits_.header_deadline));
    parser.eager(true);
    if (!fault) fault = co_await read(parser, false, in(limits_.body_deadline));
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
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    const auto deadline = in(std::chrono::seconds(1));
    for (std::size_t discarded = 0; discarded < (1u << 20);) {
      buffer_.clear();
      if (co_await receive(deadline)) break;
      discarded += buffer_.size();
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
      // What a proxy passes on comes from anywhere.
      const auto passed_on = [](const auto& field) { return says_forwarded(view(field.name_string())); };
      if (needed != Role::none && std::any_of(message.begin(), message.end(), passed_on))
        return problem(403,
                       "this came through a proxy, whose clients would all be admin here while there are no tokens: "
                       "add server.tokens to sluice.yaml, or ask without the proxy");
      request.role = Role::admin;
      return {};
    }
    if (const auto* token = find_token(options_.tokens, view(message[http::field::authorization]))) {
      request.role = token->role;
      request.who = token->name;
    }
    if (request.role >= needed) return {};
    if (request.role == Role::none) return problem(401, "a token is needed: Authorization: Bearer …");
    return problem(403, fmt::format("the token {} has the role {}, and this needs {}", request.who,
                                    to_string(request.role), to_string(needed)));
  }

  task<void> send(const ServerReply& reply, unsigned version, bool keep, bool head) {
    auto text = head_of(reply, version, keep);
    if (!head && !reply.follow) text += reply.body;
    error_code ignored;  // the next read notices a peer that is gone
    co_await stream_.write(asio::buffer(text), in(limits_.write_deadline), ignored);
  }

  task<void> follow(const ServerRequest& request) {
    struct Counted {
      int& count;
      explicit Counted(int& c) : count(c) { ++count; }
      ~Counted() { --count; }
    };
    const Counted counted(followers_);
    co_await handler_.follow(request, *this);
  }

  ByteStream& stream_;
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
  // Not every operation on a stream hears a task's cancellation; a closed socket they do.
  struct CloseAll {
    std::list<Open>& open;
    ~CloseAll() {
      for (const auto& one : open) one.stream->close();
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
    const auto client = socket.remote_endpoint(fault).address();
    if (fault) continue;  // it has left already
    if (crowded_by(client, sessions.running() - 1)) {
      const auto reply = problem(503, "too many connections are open");
      error_code ignored;
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(head_of(reply, 11, false) + reply.body), ignored);
      continue;
    }
    sessions.spawn(session(std::move(socket), client));
  }
}

bool HttpServer::Impl::crowded_by(const asio::ip::address& client, std::size_t sessions) const {
  const auto of_client = std::count_if(open.begin(), open.end(), [&](const Open& one) { return one.client == client; });
  return static_cast<int>(sessions) >= options.limits.connections || of_client >= options.limits.connections_per_client;
}

task<void> HttpServer::Impl::session(tcp::socket socket, asio::ip::address client) {
  ByteStream stream(std::move(socket));
  struct Listed {
    std::list<Open>& list;
    std::list<Open>::iterator at;
    Listed(std::list<Open>& l, Open one) : list(l), at(l.insert(l.end(), std::move(one))) {}
    ~Listed() { list.erase(at); }
  };
  const Listed listed(open, {&stream, std::move(client)});
  try {
    error_code refused;
    if (tls) {
      stream.start_tls(*tls);
      co_await stream.handshake(ByteStream::Side::server, in(options.limits.header_deadline), refused);
    }
    Session session(stream, options, handler, clock, followers);
    if (!refused) co_await session.converse();
  } catch (...) {
    // A peer that went away, or a stop: neither is anybody's failure. What a handler throws is answered in reply_to.
  }
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
