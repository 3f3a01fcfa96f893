#include "daemon/http_access.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <boost/asio/ip/address.hpp>

namespace sluice {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

bool host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == ':';
}

bool is_address(const std::string& text) {
  error_code fault;
  asio::ip::make_address(text, fault);
  return !fault;
}

std::array<unsigned char, SHA256_DIGEST_LENGTH> digest(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> out{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return out;
}

}  // namespace

std::optional<std::string> host_name(std::string_view header) {
  std::string_view name = header, port;
  if (name.starts_with('[')) {
    const auto close = name.find(']');
    if (close == std::string_view::npos) return {};
    port = name.substr(close + 1);
    name = name.substr(1, close - 1);
    if (!is_address(std::string(name))) return {};
  } else if (const auto colon = name.find(':'); colon != std::string_view::npos) {
    port = name.substr(colon);
    name = name.substr(0, colon);
  }
  if (!port.empty() && (port[0] != ':' || port.size() > 6)) return {};
  for (const char c : port.substr(std::min<std::size_t>(port.size(), 1)))
    if (c < '0' || c > '9') return {};
  if (name.ends_with('.')) name.remove_suffix(1);
  auto text = lower(name);
  if (text.empty() || text.size() > 253 || !std::all_of(text.begin(), text.end(), host_char)) return {};
  return text;
}

bool host_allowed(std::string_view header, bool loopback_without_tokens) {
  const auto name = host_name(header);
  if (!name) return false;
  return !loopback_without_tokens || *name == "localhost" || name->ends_with(".localhost") || is_address(*name);
}

bool same_site(std::string_view host, std::string_view origin, std::string_view fetch_site) {
  if (!fetch_site.empty() && fetch_site != "same-origin" && fetch_site != "none") return false;
  if (origin.empty()) return true;
  const auto scheme = origin.find("://");
  return scheme != std::string_view::npos && lower(origin.substr(scheme + 3)) == lower(host);
}

const ServerToken* find_token(const std::vector<ServerToken>& tokens, std::string_view authorization) {
  if (authorization.size() < 7 || lower(authorization.substr(0, 7)) != "bearer ") return nullptr;
  const auto given = digest(authorization.substr(7));
  const ServerToken* found = nullptr;
  // All are compared, so that the time does not tell which one was near.
  for (const auto& token : tokens) {
    const auto known = digest(token.token.reveal());
    if (CRYPTO_memcmp(given.data(), known.data(), known.size()) == 0 && !token.token.empty()) found = &token;
  }
  return found;
}

bool says_forwarded(std::string_view header_name) {
  const auto name = lower(header_name);
  return name == "forwarded" || name == "via" || name == "x-real-ip" || name.starts_with("x-forwarded-");
}

bool is_loopback(std::string_view address) {
  error_code fault;
  const auto ip = asio::ip::make_address(std::string(address), fault);
  return !fault && ip.is_loopback();
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::none:
      return "none";
    case Role::viewer:
      return "viewer";
    case Role::operate:
      return "operator";
    case Role::admin:
      return "admin";
  }
  return {};
}

std::optional<Role> parse_role(std::string_view text) {
  if (text == "viewer") return Role::viewer;
  if (text == "operator") return Role::operate;
  if (text == "admin") return Role::admin;
  return {};
}

}  // namespace sluice
