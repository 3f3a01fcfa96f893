#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/secret.hpp"
#include "core/task.hpp"

namespace sluice {

enum class Role { none, viewer, operate, admin };
std::string_view to_string(Role role);
std::optional<Role> parse_role(std::string_view text);  // "viewer", "operator", "admin"

struct ServerToken {
  std::string name;
  Role role = Role::viewer;
  Secret token;
};

struct ServerLimits {
  std::uint32_t header_bytes = 8 * 1024;
  std::size_t header_fields = 64;
  std::uint64_t body_bytes = 64 * 1024;
  Duration header_deadline = std::chrono::seconds(5);  // from its first byte; on a new connection from the start
  Duration body_deadline = std::chrono::seconds(10);
  Duration idle = std::chrono::seconds(15);  // between two requests
  Duration write_deadline = std::chrono::seconds(30);
  int connections = 64;
  int connections_per_client = 32;  // by its address: one that floods leaves room for others
  int followers = 16;               // of those: connections that stay open for server-sent events
  int requests_per_connection = 100;
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // an IP address
  unsigned short port = 8321;         // 0: any
  std::string tls_certificate, tls_key;
  std::vector<ServerToken> tokens;  // none: who reaches the port is admin; only on loopback, not by a proxy
  ServerLimits limits;
};

struct ServerRequest {
  std::string method;
  std::vector<std::string> path;             // decoded segments: {"api", "v1", "pipelines"}
  std::map<std::string, std::string> query;  // decoded
  std::string body;
  std::optional<std::uint64_t> last_event_id;
  Role role = Role::none;
  std::string who;  // the token's name; empty without token
};

struct ServerReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string allow;    // of a 405
  bool follow = false;  // the body is followed by what Handler::follow writes

  ServerReply() = default;
  ServerReply(int s, std::string type, std::string b) : status(s), content_type(std::move(type)), body(std::move(b)) {}
};

// application/problem+json (RFC 9457)
ServerReply problem(int status, const std::string& detail);

// Where the pieces of an answer go that does not end by itself. `write` throws when the other side is gone.
class Following {
 public:
  virtual ~Following() = default;
  virtual task<void> write(std::string piece) = 0;
};

// What the server serves. A failure is answered with 500 and not told to the client.
class Handler {
 public:
  virtual ~Handler() = default;
  // The least role that may ask this.
  virtual Role needed(const ServerRequest& request) const = 0;
  virtual task<ServerReply> answer(const ServerRequest& request) = 0;
  // Called after an answer with `follow`; writes until it is cancelled.
  virtual task<void> follow(const ServerRequest& request, Following& out) = 0;
};

// HTTP/1.1 for operators, Prometheus and load balancers. Bounded in everything that a stranger may send; answers only
// to Host names that a browser cannot have been lured to; a state change from another site's page is refused.
class HttpServer {
 public:
  HttpServer(asio::any_io_executor executor, Clock& clock, ServerOptions options, Handler& handler);
  ~HttpServer();

  // Binds. Throws Error(give_up): the address is taken, or it is not loopback and there are no tokens.
  void listen();
  unsigned short port() const;
  // Serves until cancelled.
  task<void> serve();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
