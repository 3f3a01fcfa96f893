#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "db/postgres.hpp"

namespace sluice::pg {
namespace {

// Where Debian, Ubuntu and Alpine keep the authorities that the system trusts, then Red Hat's place.
constexpr const char* system_authorities[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (auto at = text.find(','); at != std::string::npos; at = text.find(',', from)) {
    parts.push_back(text.substr(from, at - from));
    from = at + 1;
  }
  parts.push_back(text.substr(from));
  return parts;
}

std::string get(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters)
    if (key == name) return value;
  return {};
}

bool has(const Parameters& parameters, std::string_view name) {
  return std::any_of(parameters.begin(), parameters.end(), [&](const auto& p) { return p.first == name; });
}

void add_default(Parameters& parameters, std::string_view name, std::string value) {
  if (!has(parameters, name)) parameters.emplace_back(name, std::move(value));
}

Parameters parse(const Target& target) {
  char* message = nullptr;
  const auto& url = target.url.reveal();
  const bool whole = url.find('\0') == std::string::npos;  // libpq would read up to it
  std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      whole ? PQconninfoParse(url.c_str(), &message) : nullptr, &PQconninfoFree);
  // libpq's message quotes the part that it could not read, which may be the password.
  PQfreemem(message);
  if (!options)
    throw Error(Remedy::give_up, target.who +
                                     ": its url cannot be read; it must look like "
                                     "postgresql://user@host:5432/database?sslmode=verify-full, with %-escapes for "
                                     "special characters and without zero bytes");
  Parameters parameters;
  for (const auto* option = options.get(); option->keyword; ++option)
    if (option->val && *option->val) parameters.emplace_back(option->keyword, option->val);
  return parameters;
}

void add_tls(Parameters& parameters, const Target& target) {
  add_default(parameters, "sslmode", "verify-full");
  add_default(parameters, "gssencmode", "disable");
  if (!target.ca_file.empty()) {
    std::erase_if(parameters, [](const auto& p) { return p.first == "sslrootcert"; });
    parameters.emplace_back("sslrootcert", target.ca_file);
  }
  const auto mode = get(parameters, "sslmode");
  if (has(parameters, "sslrootcert") || (mode != "verify-full" && mode != "verify-ca")) return;
  for (const auto* file : system_authorities) {
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) continue;
    parameters.emplace_back("sslrootcert", file);
    return;
  }
}

}  // namespace

Parameters connection_parameters(const Target& target) {
  auto parameters = parse(target);
  if (!target.password.empty()) {
    if (target.password.reveal().find('\0') != std::string::npos)
      throw Error(Remedy::give_up, target.who + ": its password holds a zero byte, which PostgreSQL takes for its end");
    std::erase_if(parameters, [](const auto& p) { return p.first == "password"; });
    parameters.emplace_back("password", target.password.reveal());
  }
  add_tls(parameters, target);
  if (target.read_write) add_default(parameters, "target_session_attrs", "read-write");
  add_default(parameters, "fallback_application_name", "sluice");
  add_default(parameters, "keepalives_idle", "30");
  add_default(parameters, "keepalives_interval", "10");
  add_default(parameters, "keepalives_count", "3");
  add_default(parameters, "tcp_user_timeout", "30000");
  std::erase_if(parameters, [](const auto& p) { return p.first == "client_encoding"; });
  parameters.emplace_back("client_encoding", "UTF8");
  return parameters;
}

std::vector<Endpoint> endpoints(const Parameters& parameters) {
  const auto hosts = split(get(parameters, "host"));
  const auto ports = split(get(parameters, "port"));
  const bool given_addresses = has(parameters, "hostaddr");
  if (given_addresses) return {Endpoint{}};  // libpq pairs addresses, hosts and ports itself
  std::vector<Endpoint> found;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    Endpoint endpoint;
    endpoint.host = hosts[i];
    endpoint.port = ports.size() == 1 ? ports[0] : i < ports.size() ? ports[i] : "";
    endpoint.needs_lookup = !endpoint.host.empty() && endpoint.host[0] != '/' && endpoint.host[0] != '@';
    found.push_back(std::move(endpoint));
  }
  return found;
}

}  // namespace sluice::pg
