#include "net/connection.hpp"

#include <fmt/format.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cerrno>
#include <charconv>

#include "core/check.hpp"
#include "core/look_up.hpp"

namespace sluice {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using tcp = asio::ip::tcp;

constexpr std::size_t read_buffer = 128 * 1024;
constexpr std::uint32_t longest_head = 16 * 1024;

// A body that goes where the reader of the moment says.
struct LandingBody {
  struct value_type {
    std::string* landing = nullptr;
  };
  class reader {
   public:
    template <bool isRequest, class Fields>
    reader(http::header<isRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>&, error_code& ec) { ec = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, error_code& ec) {
      ec = {};
      std::size_t size = 0;
      for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at) {
        const asio::const_buffer piece = *at;
        body_.landing->append(static_cast<const char*>(piece.data()), piece.size());
        size += piece.size();
      }
      return size;
    }
    void finish(error_code& ec) { ec = {}; }

   private:
    value_type& body_;
  };
};
using Parser = http::response_parser<LandingBody>;

[[noreturn]] void fail(const error_code& ec, const std::string& doing, const std::string& name) {
  const auto error = [&](Remedy remedy, const char* code, const std::string& what) {
    return HttpError(remedy, code, fmt::format("{} while {} {}", what, doing, name));
  };
  if (ec == asio::error::operation_aborted) throw_cancelled();
  if (ec == beast::error::timeout) throw error(Remedy::retry, "timeout", "timed out");
  if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
    throw error(Remedy::retry, "too_large", fmt::format("got more than {} of headers", format_size(longest_head)));
  if (ec == http::error::end_of_stream || ec == http::error::partial_message || ec == asio::error::eof ||
      ec == ssl::error::stream_truncated)
    throw error(Remedy::retry, "reset", "the connection was closed too early");
  if (ec.category() == http::make_error_code(http::error::bad_version).category())
    throw error(Remedy::retry, "bad_http", fmt::format("got an answer that is not HTTP ({})", ec.message()));
  if (ec.category() == asio::error::get_ssl_category()) throw error(Remedy::retry, "tls", ec.message());
  throw error(Remedy::retry, "reset", ec.message());
}

// The request as it goes over the wire.
std::string to_wire(const HttpRequest& request, const HttpTarget& target) {
  auto out = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, target.path, target.host_header);
  for (const auto& [name, value] : request.headers) {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::any_of(value.begin(), value.end(), is_control))
      throw HttpError(Remedy::give_up, "bad_http",
                      fmt::format("the header {} for {} holds a line break or control character; look at the "
                                  "credential or setting that it comes from",
                                  name, target.name()));
    out += fmt::format("{}: {}\r\n", name, value);
  }
  if (!request.body.empty() || (request.method != "GET" && request.method != "HEAD"))
    out += fmt::format("Content-Length: {}\r\n", request.body.size());
  return out + "\r\n" + request.body;
}

class HttpConnection final : public Connection {
 public:
  HttpConnection(ByteStream stream, std::string name, std::optional<Instant> certificate_end)
      : stream_(std::move(stream)), name_(std::move(name)), certificate_end_(certificate_end) {
    buffer_.reserve(read_buffer);
  }

  task<void> write(const HttpRequest& request, const HttpTarget& target, Deadline deadline) override {
    const auto message = to_wire(request, target);
    head_only_ = request.method == "HEAD";
    idempotent_ = request.method == "GET" || request.method == "HEAD";
    silent_ = true;
    whole_ = false;
    written_ = 0;
    error_code ec;
    written_ = co_await stream_.write(asio::buffer(message), deadline, ec);
    if (ec) fail(ec, "sending a request to", name_);
  }

  task<HttpResponse> read_head(Deadline deadline) override {
    do {
      parser_.emplace();
      parser_->body_limit(boost::none);
      parser_->header_limit(longest_head);
      parser_->skip(head_only_);
      while (!parser_->is_header_done()) {
        const auto ec = co_await parse_more(deadline);
        if (ec) fail(ec, "waiting for the answer of", name_);
      }
    } while (parser_->get().result_int() < 200);  // "100 Continue", "103 Early Hints": the answer is still to come
    parser_->eager(true);
    HttpResponse head;
    head.status = static_cast<int>(parser_->get().result_int());
    for (const auto& field : parser_->get()) {
      std::string name(field.name_string());
      for (auto& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
      head.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    co_return head;
  }

  task<bool> read_some(std::string& body, Deadline deadline) override {
    if (!parser_->is_done()) {
      parser_->get().body().landing = &body;
      const auto ec = co_await parse_more(deadline);
      if (ec) fail(ec, "reading the answer of", name_);
    }
    whole_ = parser_->is_done();
    co_return !whole_;
  }

  std::optional<Instant> certificate_end() const override { return certificate_end_; }
  bool untouched() const override { return silent_ && (idempotent_ || written_ == 0); }
  bool reusable() const override { return whole_ && parser_->keep_alive() && buffer_.size() == 0; }

  bool still_idle() override {
    char byte = 0;
    const auto got = ::recv(stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

 private:
  // Gives the parser what is there; where that tells it nothing new, what comes next.
  task<error_code> parse_more(Deadline deadline) {
    error_code ec = http::error::need_more;
    if (buffer_.size() > 0) ec = parse();
    if (ec != http::error::need_more) co_return ec;
    ec = {};
    const auto room = buffer_.prepare(read_buffer / 2);
    const auto size = co_await stream_.read_some(room, deadline, ec);
    buffer_.commit(size);
    if (ec == asio::error::eof && parser_->got_some())
      parser_->put_eof(ec);
    else if (!ec)
      ec = parse();
    if (ec == http::error::need_more) ec = {};
    co_return ec;
  }

  error_code parse() {
    error_code ec;
    silent_ = false;
    buffer_.consume(parser_->put(buffer_.data(), ec));
    return ec;
  }

  ByteStream stream_;
  std::string name_;
  std::optional<Instant> certificate_end_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::size_t written_ = 0;
  bool head_only_ = false, idempotent_ = false, silent_ = true, whole_ = false;
};

task<std::vector<tcp::endpoint>> endpoints_of(const HttpTarget& target, Deadline deadline) {
  error_code failure;
  const auto addresses = co_await look_up(target.host, deadline, failure);
  if (failure == asio::error::timed_out)
    throw HttpError(Remedy::retry, "timeout",
                    fmt::format("looking up the address of {} took too long; look at this machine's DNS", target.host));
  if (failure)
    throw HttpError(Remedy::retry, "resolve",
                    fmt::format("cannot find the address of {} ({}); look at the name and at this machine's DNS",
                                target.host, failure.message()));
  const auto port = static_cast<unsigned short>(std::stoi(target.port));
  std::vector<tcp::endpoint> endpoints;
  for (const auto& address : addresses) endpoints.emplace_back(address, port);
  co_return endpoints;
}

ssl::context make_tls(const std::string& ca_file) {
  ssl::context tls(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
  tls.set_verify_mode(ssl::verify_peer);
  error_code ec;
  if (ca_file.empty())
    tls.set_default_verify_paths(ec);
  else
    tls.load_verify_file(ca_file, ec);
  // What the file holds is trusted, be it an authority in the middle or the server's own certificate.
  if (!ca_file.empty()) X509_STORE_set_flags(SSL_CTX_get_cert_store(tls.native_handle()), X509_V_FLAG_PARTIAL_CHAIN);
  if (ec)
    throw Error(Remedy::give_up, fmt::format("cannot read the certificates of ca_file {} ({}); it has to be a PEM file "
                                             "that this user may read",
                                             ca_file, ec.message()));
  return tls;
}

class TcpDialer final : public Dialer {
 public:
  TcpDialer(asio::any_io_executor executor, const HttpOptions& options)
      : executor_(std::move(executor)),
        connect_timeout_(options.connect_timeout),
        tls_(make_tls(options.ca_file)),
        ca_setting_(options.ca_setting) {}

  task<std::unique_ptr<Connection>> dial(const HttpTarget& target, Deadline deadline) override {
    ByteStream stream = co_await connect(target, deadline);
    error_code ignored;
    stream.socket().set_option(tcp::no_delay(true), ignored);
    std::optional<Instant> certificate_end;
    if (target.tls) certificate_end = co_await secure(stream, target, deadline);
    co_return http_over(std::move(stream), target.name(), certificate_end);
  }

 private:
  Deadline step(Deadline deadline) const {
    return std::min(deadline, std::chrono::steady_clock::now() + connect_timeout_);
  }

  // Each address has its own time, so that one that swallows packets (a broken IPv6 route) does not use up all of it.
  task<ByteStream> connect(const HttpTarget& target, Deadline deadline) {
    const auto addresses = co_await endpoints_of(target, step(deadline));
    error_code ec = asio::error::host_not_found;
    for (const auto& address : addresses) {
      if (std::chrono::steady_clock::now() >= deadline) break;
      ByteStream stream(executor_);
      co_await stream.connect(address, step(deadline), ec);
      if (!ec) co_return stream;
      if (ec == asio::error::operation_aborted) throw_cancelled();
    }
    const bool timed_out = ec == beast::error::timeout;
    throw HttpError(Remedy::retry, timed_out ? "timeout" : "connect",
                    fmt::format("cannot connect to {} ({}{}); look at the network and firewall between here and there",
                                target.name(), timed_out ? "timed out" : ec.message(),
                                addresses.size() > 1 ? fmt::format(", {} addresses tried", addresses.size()) : ""));
  }

  // Gives when the other side's certificate ends.
  task<std::optional<Instant>> secure(ByteStream& stream, const HttpTarget& target, Deadline deadline) {
    SSL* const tls = stream.start_tls(tls_);
    expect_name(tls, target.host);
    error_code ec;
    co_await stream.handshake(ByteStream::Side::client, step(deadline), ec);
    if (ec) {
      const auto verified = SSL_get_verify_result(tls);
      if (verified != X509_V_OK)
        throw HttpError(Remedy::give_up, "tls",
                        fmt::format("the certificate of {} is refused: {}. Where it was issued by a private authority, "
                                    "name that in {}",
                                    target.name(), X509_verify_cert_error_string(verified), ca_setting_));
      if (ec != beast::error::timeout && ec != asio::error::operation_aborted)
        throw HttpError(Remedy::retry, "tls", fmt::format("no TLS connection to {}: {}", target.name(), ec.message()));
      fail(ec, "agreeing on TLS with", target.name());
    }
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(tls), &X509_free);
    co_return certificate ? end_of(*certificate) : std::nullopt;
  }

  // The certificate must be for this name or address, and the server is told which one is meant.
  static void expect_name(SSL* tls, const std::string& host) {
    error_code ec;
    asio::ip::make_address(host, ec);
    if (!ec) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host.c_str());
      return;
    }
    SSL_set_tlsext_host_name(tls, host.c_str());
    SSL_set1_host(tls, host.c_str());
  }

  asio::any_io_executor executor_;
  Duration connect_timeout_;
  ssl::context tls_;
  std::string ca_setting_;
};

}  // namespace

namespace {

bool is_port(const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port > 0;
}

}  // namespace

HttpTarget parse_url(const std::string& url) {
  const auto refuse = [&](const char* why) -> HttpError {
    return HttpError(Remedy::give_up, "bad_http", fmt::format("{} is not a usable URL: {}", without_secrets(url), why));
  };
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed) throw refuse("expected http(s)://host[:port]/path with everything else percent-encoded");
  HttpTarget target;
  target.tls = parsed->scheme() == "https";
  if (!target.tls && parsed->scheme() != "http") throw refuse("expected http or https");
  if (parsed->has_userinfo()) throw refuse("a user name does not belong there");
  target.host = parsed->host_address();
  if (target.host.empty()) throw refuse("the host is missing");
  target.port = parsed->has_port() ? std::string(parsed->port()) : target.tls ? "443" : "80";
  if (!is_port(target.port)) throw refuse("the port is not a number from 1 to 65535");
  target.host_header = std::string(parsed->encoded_host_and_port());
  target.path = std::string(parsed->encoded_path());
  if (target.path.empty()) target.path = "/";
  // Boost.URL 1.81 takes what follows the digits of a port, or an IPv6 address, for a path.
  if (!target.path.starts_with('/')) throw refuse("after host and port, only a path that begins with / can stand");
  if (parsed->has_query()) target.path += "?" + std::string(parsed->encoded_query());
  return target;
}

std::unique_ptr<Connection> http_over(ByteStream stream, std::string name, std::optional<Instant> certificate_end) {
  return std::make_unique<HttpConnection>(std::move(stream), std::move(name), certificate_end);
}

std::unique_ptr<Dialer> make_dialer(asio::any_io_executor executor, const HttpOptions& options) {
  return std::make_unique<TcpDialer>(std::move(executor), options);
}

}  // namespace sluice
