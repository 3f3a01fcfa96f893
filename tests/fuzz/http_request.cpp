#include <algorithm>
#include <string>

#include "daemon/api_requests.hpp"
#include "daemon/http_access.hpp"
#include "daemon/http_target.hpp"
#include "net/http.hpp"
#include "tests/fuzz/fuzz.hpp"

// What a stranger's request line, headers and body say to the server.

using namespace sluice;
using fuzz::require;

namespace {

bool printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

void check_target(std::string_view target) {
  ServerRequest request;
  if (!parse_target(target, request)) return;
  std::string again;
  for (const auto& segment : request.path) {
    require(!segment.empty() && segment != "." && segment != ".." && printable(segment), "a segment is a plain name");
    again += "/" + url_encode(segment);
  }
  if (again.empty()) again = "/";
  Headers query;
  for (const auto& [name, value] : request.query) {
    require(!name.empty() && printable(name) && printable(value), "a query has names and printable values");
    query.emplace_back(name, value);
  }
  ServerRequest second;
  require(parse_target(again + "?" + form_encode(query), second), "what was understood can be said again");
  require(second.path == request.path && second.query == request.query, "and means the same");
}

void check_number(std::string_view text) {
  const auto number = parse_number(text);
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  require(!number || digits, "a number is digits");
  require(number || !digits || text.size() > 19, "digits that fit are a number");
}

void check_host(std::string_view host, std::string_view origin, std::string_view site) {
  const auto name = host_name(host);
  if (name) {
    require(!name->empty() && printable(*name) && name->find('/') == name->npos && name->find('@') == name->npos,
            "a host is a name or an address");
    require(std::none_of(name->begin(), name->end(), [](char c) { return c >= 'A' && c <= 'Z'; }),
            "a host's name is in lower case");
  }
  require(!host_allowed(host, true) || (name && host_allowed(*name, true)) || (name && name->find(':') != name->npos),
          "what is allowed is so by its name");
  if (site == "cross-site") require(!same_site(host, origin, site), "another site stays another one");
}

// What is understood is within what is documented; all else is refused by name, and nothing else is thrown.
void check_body(const std::string& body) {
  try {
    const auto backfill = parse_backfill(body);
    require(backfill.from <= backfill.to && backfill.parallel >= 1 && backfill.parallel <= 64,
            "a backfill has its bounds");
    require(!backfill.lane.empty() && backfill.lane.size() <= 63 && backfill.lane != "live" && backfill.lane != "sweep",
            "a backfill has a lane of its own");
  } catch (const Refusal& refusal) {
    require(refusal.status() == 422, "a body that is wrong is refused as such");
  }
  try {
    parse_cancel(body);
  } catch (const Refusal& refusal) {
    require(refusal.status() == 422, "a body that is wrong is refused as such");
  }
  try {
    expect_no_fields("trigger", body);
  } catch (const Refusal& refusal) {
    require(refusal.status() == 422, "a body that is wrong is refused as such");
  }
}

void check_token(std::string_view authorization) {
  static const std::vector<ServerToken> tokens = [] {
    std::vector<ServerToken> made(2);
    made[0].token = Secret("first-token-0123456789");
    made[1].token = Secret("second-token-0123456789");
    return made;
  }();
  const auto* token = find_token(tokens, authorization);
  const bool carries = token && authorization.ends_with(token->token.reveal());
  require(!token || (carries && authorization.size() <= 64 + token->token.reveal().size()), "a token is sent whole");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto target = input.line();
  check_target(target);
  check_number(target);
  const auto host = input.line();
  const auto origin = input.line();
  check_host(host, origin, input.line());
  check_token(input.line());
  check_body(std::string(input.rest()));
  return 0;
}
