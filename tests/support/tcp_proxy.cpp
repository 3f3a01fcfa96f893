#include "tests/support/tcp_proxy.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <list>
#include <stdexcept>
#include <vector>

namespace sluice::test {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

struct Pair {
  int client = -1, server = -1;
  bool stalled = false, swallowing = false;
  void cut() {
    ::close(client);
    ::close(server);
    client = server = -1;
  }
};

}  // namespace

TcpProxy::TcpProxy(int server_port) : server_port_(server_port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(0);
  socklen_t size = sizeof(address);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 || ::pipe2(wake_, O_CLOEXEC) != 0)
    throw std::runtime_error("the proxy cannot listen");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

TcpProxy::~TcpProxy() {
  ::close(wake_[1]);
  thread_.join();
  ::close(wake_[0]);
  ::close(listener_);
}

void TcpProxy::make(Trouble trouble, std::string word) {
  word_ = std::move(word);
  trouble_ = trouble;
}

TcpProxy::Trouble TcpProxy::trouble_for(std::string_view sent) {
  const auto trouble = trouble_.load();
  if (trouble == Trouble::none || trouble == Trouble::refuse || sent.find(word_) == std::string_view::npos)
    return Trouble::none;
  trouble_ = Trouble::none;
  ++made_;
  return trouble;
}

void TcpProxy::serve() {
  std::list<Pair> pairs;
  std::array<char, 65536> buffer;
  const auto read_some = [&](int fd) {
    const auto size = ::recv(fd, buffer.data(), buffer.size(), 0);
    return std::string_view(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  };
  const auto from_client = [&](Pair& pair) {
    const auto bytes = read_some(pair.client);
    const auto trouble = bytes.empty() ? Trouble::none : trouble_for(bytes);
    if (trouble == Trouble::stall) pair.stalled = true;
    if (trouble == Trouble::swallow_reply) pair.swallowing = true;
    if (pair.stalled) return;
    if (bytes.empty() || trouble == Trouble::swallow_request || !send_all(pair.server, bytes)) pair.cut();
  };
  const auto from_server = [&](Pair& pair) {
    const auto bytes = read_some(pair.server);
    if (bytes.empty() || pair.swallowing || !send_all(pair.client, bytes)) pair.cut();
  };
  for (;;) {
    std::vector<pollfd> waits{{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const auto& pair : pairs) {
      // A stalled client that goes away is noticed all the same: its server must not wait for it for ever.
      waits.push_back({pair.client, static_cast<short>(pair.stalled ? POLLRDHUP : POLLIN), 0});
      waits.push_back({pair.stalled ? -1 : pair.server, POLLIN, 0});
    }
    ::poll(waits.data(), waits.size(), -1);
    if (waits[0].revents) break;
    std::size_t i = 2;
    for (auto& pair : pairs) {
      const auto client_ready = waits[i].revents, server_ready = waits[i + 1].revents;
      i += 2;
      if (client_ready && pair.stalled)
        pair.cut();
      else if (client_ready)
        from_client(pair);
      if (server_ready && pair.server >= 0 && !pair.stalled) from_server(pair);
    }
    pairs.remove_if([](const Pair& pair) { return pair.client < 0; });
    if (!waits[1].revents) continue;
    Pair pair;
    pair.client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    pair.server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = loopback(server_port_);
    const bool refused = trouble_ == Trouble::refuse;
    if (refused || ::connect(pair.server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
      pair.cut();
    else
      pairs.push_back(pair);
  }
  for (auto& pair : pairs) pair.cut();
}

}  // namespace sluice::test
