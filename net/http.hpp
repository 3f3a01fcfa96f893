#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/task.hpp"

namespace sluice {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // absolute: http(s)://host[:port]/path?query
  Headers headers;
  std::string body;
  Duration timeout = std::chrono::seconds(120);  // of the whole exchange
  std::string scope;                             // what it is about (an ad account), for Dialect::judge; never sent

  HttpRequest() = default;
  HttpRequest(std::string m, std::string u) : method(std::move(m)), url(std::move(u)) {}
};

struct HttpResponse {
  int status = 0;
  Headers headers;   // names in lower case
  std::string body;  // decoded (gzip), whole

  HttpResponse() = default;
  HttpResponse(int s, Headers h, std::string b) : status(s), headers(std::move(h)), body(std::move(b)) {}
  // The first header of that (lower-case) name.
  std::optional<std::string> header(std::string_view name) const;
};

// No usable answer came. `code` is short and stable, for metrics: "connect", "resolve", "tls", "timeout", "reset",
// "too_large" (of a body: Remedy::shrink), "bad_http". The message names the host, never the query.
class HttpError : public Error {
 public:
  HttpError(Remedy remedy, std::string code, const std::string& what) : Error(remedy, what), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// Gets a body piece by piece, decoded. Awaiting it is back-pressure. Throwing ends the exchange.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // Called once, before the first piece.
  virtual void begin(const HttpResponse& head) = 0;
  virtual task<void> piece(std::string_view bytes) = 0;
};

// Speaks HTTP/1.1 to the outside. Redirects are not followed, proxies of the environment are not used, cookies are not
// kept. Connections are kept alive and reused.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual task<HttpResponse> send(HttpRequest request) = 0;
  // For answers too large to hold. The deadline is for progress: it starts anew with each piece.
  // A body that ends before it should is an HttpError("reset"), never a short answer.
  virtual task<void> stream(HttpRequest request, BodyReader& reader) = 0;
};

struct HttpOptions {
  std::string ca_file;                 // empty: the system's, or those in $SSL_CERT_FILE
  std::string ca_setting = "ca_file";  // where users name a private authority's certificate, for messages
  std::size_t max_body = 256u << 20;   // decoded bytes of one answer to `send`
  Duration connect_timeout = std::chrono::seconds(10);
  Duration idle = std::chrono::seconds(50);   // how long an unused connection is kept
  Duration stall = std::chrono::seconds(30);  // a body that brings less than `least_per_stall` in this time is given up
  std::size_t least_per_stall = 4096;         // bytes; `stream` measures it over the request's timeout
  std::string user_agent;                     // empty: "sluice/" and the version
};

// The real one: Beast, TLS 1.2 and newer verified against `ca_file` or the system's authorities, gzip.
std::unique_ptr<HttpClient> make_http_client(asio::any_io_executor executor, Clock& clock, HttpOptions options);

// When the server answered, by its own clock (`Date`); whole seconds.
std::optional<Instant> date_of(const HttpResponse& response);
// The first bytes of a body that is not what it should be, in quotes, for a message.
std::string beginning_of(const std::string& body);

// How long the Retry-After header asks to wait: seconds, or a date, which counts from the answer's own Date, so that
// the clocks need not agree. Nothing where there is none that can be read.
std::optional<Duration> retry_after(const HttpResponse& response);

// What of a URL, however malformed, may be shown: scheme, host and path, but neither user and password nor the query.
std::string without_secrets(std::string_view url);

// Percent-encodes everything but unreserved characters.
std::string url_encode(std::string_view text);
// "a=1&b=x%20y" from pairs, in their order.
std::string form_encode(const Headers& parameters);

}  // namespace sluice
