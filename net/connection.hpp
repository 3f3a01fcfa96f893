#pragma once
#include <memory>
#include <string>

#include "net/byte_stream.hpp"
#include "net/http.hpp"

// One TCP or TLS connection that speaks HTTP/1.1. What goes wrong is an HttpError; which connection to use, decoding
// and deadlines' arithmetic are the client's (http_client.cpp).

namespace sluice {

// A URL taken apart.
struct HttpTarget {
  bool tls = false;
  std::string host;  // without brackets
  std::string port;
  std::string host_header;
  std::string path;  // and query
  // Connections to the same place can stand in for one another.
  std::string place() const { return (tls ? "https://" : "http://") + host + ":" + port; }
  // For messages.
  std::string name() const { return host + ":" + port; }
};
// Throws HttpError(give_up, "bad_http"); the message never repeats the URL's query.
HttpTarget parse_url(const std::string& url);

class Connection {
 public:
  virtual ~Connection() = default;
  virtual task<void> write(const HttpRequest& request, const HttpTarget& target, Deadline deadline) = 0;
  // Status and headers of the answer.
  virtual task<HttpResponse> read_head(Deadline deadline) = 0;
  // Appends the next bytes of the body, as they were sent. False: it is whole.
  virtual task<bool> read_some(std::string& body, Deadline deadline) = 0;

  // Whether a request that failed with "reset" may be sent again: the other side cannot have acted on it.
  virtual bool untouched() const = 0;
  // When the certificate that the other side showed ends; nothing without TLS.
  virtual std::optional<Instant> certificate_end() const = 0;
  // The answer was read whole and the other side keeps the connection open.
  virtual bool reusable() const = 0;
  // An idle connection on which something arrived was closed, or worse.
  virtual bool still_idle() = 0;
};

// Speaks HTTP over a stream that is connected already. `name`: of the other side, for messages.
std::unique_ptr<Connection> http_over(ByteStream stream, std::string name,
                                      std::optional<Instant> certificate_end = std::nullopt);

// Opens connections: looks the name up, tries its addresses one after another, verifies the certificate.
class Dialer {
 public:
  virtual ~Dialer() = default;
  virtual task<std::unique_ptr<Connection>> dial(const HttpTarget& target, Deadline deadline) = 0;
};
std::unique_ptr<Dialer> make_dialer(asio::any_io_executor executor, const HttpOptions& options);

}  // namespace sluice
