#include "tests/support/http_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <stdexcept>

namespace sluice::test {
namespace {

class PlainWire : public Wire {
 public:
  explicit PlainWire(int socket) : socket_(socket) {}
  void close() override { ::shutdown(socket_, SHUT_RDWR); }
  void reset() override {
    const linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    reset_ = true;
  }
  std::size_t read_bytes(char* to, std::size_t size) override {
    const auto got = reset_ ? 0 : ::recv(socket_, to, size, 0);
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  std::size_t write_bytes(const char* from, std::size_t size) override {
    const auto put = ::send(socket_, from, size, MSG_NOSIGNAL);
    return put > 0 ? static_cast<std::size_t>(put) : 0;
  }

 private:
  int socket_;
  bool reset_ = false;
};

class TlsWire final : public PlainWire {
 public:
  TlsWire(int socket, SSL_CTX* context) : PlainWire(socket), tls_(SSL_new(context)) {
    SSL_set_fd(tls_, socket);
    good_ = SSL_accept(tls_) == 1;
  }
  ~TlsWire() override { SSL_free(tls_); }
  bool good() const { return good_; }
  void close() override {
    SSL_shutdown(tls_);
    PlainWire::close();
  }
  std::size_t read_bytes(char* to, std::size_t size) override {
    const int got = SSL_read(tls_, to, static_cast<int>(size));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  std::size_t write_bytes(const char* from, std::size_t size) override {
    const int put = SSL_write(tls_, from, static_cast<int>(std::min<std::size_t>(size, 1 << 20)));
    return put > 0 ? static_cast<std::size_t>(put) : 0;
  }

 private:
  SSL* tls_;
  bool good_ = false;
};

std::shared_ptr<void> make_context(const HttpServer::Tls& tls) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (tls.only_tls_1_0) {
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_VERSION);
  }
  if (SSL_CTX_use_certificate_file(context, tls.certificate.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, tls.key.c_str(), SSL_FILETYPE_PEM) != 1)
    throw std::runtime_error("cannot use " + tls.certificate);
  return {context, [](void* c) { SSL_CTX_free(static_cast<SSL_CTX*>(c)); }};
}

std::size_t content_length(std::string head) {
  std::transform(head.begin(), head.end(), head.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto at = head.find("\r\ncontent-length:");
  return at == head.npos ? 0 : std::stoul(head.substr(at + 17));
}

}  // namespace

std::string Wire::read_request() {
  char buffer[16384];
  while (true) {
    const auto end = received_.find("\r\n\r\n");
    if (end != received_.npos) {
      const auto size = end + 4 + content_length(received_.substr(0, end));
      if (received_.size() >= size) {
        const auto request = received_.substr(0, size);
        received_.erase(0, size);
        return request;
      }
    }
    const auto got = read_bytes(buffer, sizeof buffer);
    if (got == 0) return {};
    received_.append(buffer, got);
  }
}

void Wire::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto put = write_bytes(bytes.data(), bytes.size());
    if (put == 0) return;
    bytes.remove_prefix(put);
  }
}

void Wire::reply(int status, std::string_view body, std::string_view headers) {
  std::string head = "HTTP/1.1 " + std::to_string(status) +
                     " Status\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(headers) +
                     "\r\n";
  if (body.size() < 65536) {
    write(head.append(body));
    return;
  }
  write(head);
  write(body);
}

HttpServer::HttpServer(Handler handler, std::optional<Tls> tls) : handler_(std::move(handler)) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  if (tls) tls_ = make_context(*tls);
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("cannot listen on the loopback interface");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (auto& thread : threads_) thread.join();
}

std::string HttpServer::url(const std::string& path, const std::string& host) const {
  return (tls_ ? "https://" : "http://") + host + ":" + std::to_string(port_) + path;
}

void HttpServer::accept_all() {
  while (true) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    ++open_;
    threads_.emplace_back([this, socket, number = ++accepted_] { serve(socket, number); });
  }
}

void HttpServer::serve(int socket, int number) {
  if (tls_) {
    TlsWire wire(socket, static_cast<SSL_CTX*>(tls_.get()));
    wire.number = number;
    if (wire.good()) handler_(wire);
  } else {
    PlainWire wire(socket);
    wire.number = number;
    handler_(wire);
  }
  const std::lock_guard lock(mutex_);
  sockets_.remove(socket);
  ::close(socket);
  --open_;
}

}  // namespace sluice::test
