#include "daemon/remote.hpp"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "daemon/app.hpp"
#include "daemon/http_access.hpp"
#include "net/connection.hpp"

namespace sluice {
namespace {

Secret token_from_environment() {
  const char* token = std::getenv("SLUICE_TOKEN");
  return Secret(token ? token : "");
}

std::string url_of(const ServerSettings& server) {
  const bool tls = server.settings.has("tls");
  auto host = server.address;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  if (host.find(':') != std::string::npos) host = '[' + host + ']';
  return fmt::format("http{}://{}:{}", tls ? "s" : "", host, server.port);
}

void warn_of_clear_text(const std::string& url, const Secret& token) {
  if (token.empty()) return;
  const auto target = parse_url(url);
  if (target.tls || target.host == "localhost" || is_loopback(target.host)) return;
  print_err(
      fmt::format("sluice: warning: the token in SLUICE_TOKEN crosses the network to {} in the clear: give "
                  "--server an https:// address\n",
                  target.name()));
}

std::string absolute(const std::string& file) {
  std::error_code ignored;
  const auto path = std::filesystem::weakly_canonical(file, ignored);
  return ignored ? file : path.string();
}

}  // namespace

Remote::Remote(asio::any_io_executor executor, Clock& clock, const Arguments& arguments,
               const Configuration* configuration)
    : asked_for_(!arguments.server.empty()) {
  HttpOptions options;
  options.connect_timeout = std::chrono::seconds(3);
  options.ca_setting = configuration ? "server.tls.certificate" : "the environment variable SSL_CERT_FILE";
  if (configuration) {
    file_ = absolute(configuration->file);
    // A daemon's own certificate is seldom signed by the system's authorities.
    if (configuration->server.settings.has("tls"))
      options.ca_file = configuration->server.settings.table("tls").text("certificate");
  }
  http_ = make_http_client(std::move(executor), clock, options);
  auto token = token_from_environment();
  if (asked_for_) warn_of_clear_text(arguments.server, token);
  client_ = std::make_unique<DaemonClient>(*http_, asked_for_ ? arguments.server : url_of(configuration->server),
                                           std::move(token));
}

Remote::~Remote() = default;

task<bool> Remote::answers() {
  try {
    const auto version = co_await client_->get("/api/v1/version");
    co_return asked_for_ || version.value("configuration", "") == file_;
  } catch (const HttpError& error) {
    // Where TLS fails somebody is there, most likely our daemon: under the name that its certificate is for.
    if (asked_for_ || (error.code() == "tls" && error.passing())) throw;
    if (error.code() == "tls")
      throw Error(error.remedy(),
                  fmt::format("{}; where it is for another name, give --server https://NAME:{}, and a private "
                              "authority in the environment variable SSL_CERT_FILE",
                              error.what(), parse_url(client_->url()).port));
  } catch (const Error&) {
    if (asked_for_) throw;  // something else listens there
  } catch (const Refusal& refusal) {
    if (asked_for_ || refusal.status() == 401 || refusal.status() == 403) throw;
  }
  co_return false;
}

}  // namespace sluice
