#pragma once
#include <string_view>

#include "daemon/http_server.hpp"

// Who may ask: pure decisions, apart from the server so that each can be tested as a table.

namespace sluice {

// "127.0.0.1:8321" → "127.0.0.1", "[::1]:80" → "::1", "LocalHost" → "localhost"; nothing when it is no host.
std::optional<std::string> host_name(std::string_view host_header);

// On loopback only names that always mean loopback, and IP addresses: a page elsewhere can make its own name point here
// (DNS rebinding), but not those. With tokens every name is good, since a page has no token to send.
bool host_allowed(std::string_view host_header, bool loopback_without_tokens);

// A browser says where a request comes from; curl and Prometheus say nothing. `origin` and `fetch_site` are the headers
// Origin and Sec-Fetch-Site, empty where missing.
bool same_site(std::string_view host_header, std::string_view origin, std::string_view fetch_site);

// The token that "Bearer …" carries, compared in constant time.
const ServerToken* find_token(const std::vector<ServerToken>& tokens, std::string_view authorization);

// Whether a request that has this header was passed on by a proxy.
bool says_forwarded(std::string_view header_name);

bool is_loopback(std::string_view address);

}  // namespace sluice
