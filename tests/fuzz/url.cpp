#include <charconv>
#include <string>

#include "core/error.hpp"
#include "db/postgres.hpp"
#include "db/sqlite.hpp"
#include "net/connection.hpp"
#include "tests/fuzz/fuzz.hpp"

// URLs of APIs and of databases: what is taken for one is fit to be sent, what is not is refused without its secrets.

using namespace sluice;
using fuzz::holds;
using fuzz::require;

namespace {

constexpr std::string_view canary = "c4n4ry";

bool sendable(std::string_view text) {
  return text.find_first_of(std::string_view(" \t\r\n\0", 5)) == text.npos;
}

void check_parsed(const std::string& url) {
  try {
    const auto target = parse_url(url);
    require(!target.host.empty() && sendable(target.host_header) && !target.host_header.empty(), "a URL has a host");
    int port = 0;
    const auto [end, error] = std::from_chars(target.port.data(), target.port.data() + target.port.size(), port);
    require(error == std::errc() && *end == '\0' && port > 0 && port < 65'536, "a URL has a port");
    require(target.path.starts_with('/') && sendable(target.path), "a URL has a path that can be sent");
    require(!holds(target.host_header, "@"), "a user is nothing that a header takes");
    const auto again = parse_url((target.tls ? "https://" : "http://") + target.host_header + target.path);
    require(
        again.host == target.host && again.port == target.port && again.path == target.path && again.tls == target.tls,
        "a URL means the same when it is put together again");
  } catch (const HttpError& error) {
    require(error.remedy() == Remedy::give_up && !std::string_view(error.what()).empty(), "it is said what is wrong");
  }
}

// The secret stands where a password, or the value of a parameter does.
void check_shown(std::string_view scheme, std::string_view user, std::string_view host, std::string_view rest) {
  const auto password = std::string(scheme) + "://" + std::string(user) + ":" + std::string(canary) + "@";
  const auto parameter =
      std::string(scheme) + "://" + std::string(host) + "/?" + std::string(rest) + std::string(canary);
  require(!holds(without_secrets(password + std::string(host) + std::string(rest)), canary), "a password is not shown");
  require(!holds(without_secrets(parameter), canary), "a query is not shown");
}

pg::Parameters parameters_of(std::string_view url) {
  pg::Target target;
  target.who = "sink warehouse";
  target.url = Secret(std::string(url));
  target.password = Secret("hunter2");
  return pg::connection_parameters(target);
}

// What is said of a URL that cannot be read.
std::string refusal_of(std::string_view url) {
  try {
    parameters_of(url);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

void check_database(std::string_view text) {
  try {
    const auto parameters = parameters_of(text);
    const auto found = pg::endpoints(parameters);
    int passwords = 0;
    for (const auto& [name, value] : parameters) passwords += name == "password" && value == "hunter2";
    require(passwords == 1, "the password is the one beside the URL");
    require(!found.empty(), "a database is somewhere");
  } catch (const Error& error) {
    require(error.remedy() == Remedy::give_up, "a person has to write another URL");
    static const auto refusal = refusal_of("=");
    require(error.what() == refusal, "the URL is not shown");
  }
  try {
    const auto path = sqlite::path_of_url(std::string(text));
    require(!path.empty() && text.ends_with(path), "a file's path is the end of its URL");
  } catch (const Error& error) {
    require(error.remedy() == Remedy::give_up, "a person has to write another URL");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  check_parsed(std::string(input.rest()));
  check_database(input.rest());
  const auto scheme = input.line(), user = input.line(), host = input.line();
  const auto shown = fmt::format("{}\n{}\n{}{}", scheme, user, host, input.rest());
  if (!holds(shown, canary)) check_shown(scheme, user, host, input.rest());
  return 0;
}
