#pragma once
#include <memory>

#include "daemon/cli.hpp"
#include "daemon/client.hpp"
#include "daemon/configuration.hpp"

namespace sluice {

// The daemon that a command talks to: that of --server, else that of the configuration.
class Remote {
 public:
  Remote(asio::any_io_executor executor, Clock& clock, const Arguments& arguments, const Configuration* configuration);
  ~Remote();

  DaemonClient& client() { return *client_; }
  // Whether a daemon is there. With --server it must be: throws what is wrong. Without, one that serves another file
  // is not ours; one whose certificate is refused, or that speaks no TLS, throws too: it may be ours.
  task<bool> answers();

 private:
  bool asked_for_;
  std::string file_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<DaemonClient> client_;
};

}  // namespace sluice
