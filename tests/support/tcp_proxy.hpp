#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace sluice::test {

// Stands between a client and a server on loopback, in a thread of its own, and makes trouble when it is told to.
// The client must not use TLS: the proxy looks for words in the stream.
class TcpProxy {
 public:
  explicit TcpProxy(int server_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;
  int port() const { return port_; }

  enum class Trouble {
    none,
    swallow_reply,    // passes what contains `word` on to the server, waits for its answer, and cuts the client off
                      // without it
    swallow_request,  // keeps what contains `word` from the server and cuts both
    stall,            // from `word` on nothing moves in either direction, and nobody is cut off
    refuse            // new connections are closed at once
  };
  // From now on, once: the next time that the client sends `word`.
  void make(Trouble trouble, std::string word);
  // How often trouble was made.
  int made() const { return made_.load(); }

 private:
  void serve();
  Trouble trouble_for(std::string_view sent);

  int server_port_, port_ = 0, listener_ = -1, wake_[2] = {-1, -1};
  std::atomic<Trouble> trouble_{Trouble::none};
  std::string word_;
  std::atomic<int> made_{0};
  std::thread thread_;
};

}  // namespace sluice::test
