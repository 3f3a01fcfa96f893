#include "daemon/log.hpp"

#include <algorithm>
#include <string>

#include "core/clean_text.hpp"
#include "tests/fuzz/fuzz.hpp"

// A line of the log is one line of printable text, and never holds a credential.

using namespace sluice;
using fuzz::holds;
using fuzz::require;

namespace {

constexpr std::string_view canary = "c4n4ry-0123456789";

const Log& log() {
  static const auto made = [] {
    LogOptions options;
    options.fd = -1;
    auto log = std::make_unique<Log>(options);
    log->hide(Secret(std::string(canary)));
    return log;
  }();
  return *made;
}

void check_printable(std::string_view text) {
  for (const std::size_t limit : {std::size_t{20}, std::size_t{100'000}}) {
    const auto line = printable(text, limit);
    require(is_clean_text(line), "a line is UTF-8");
    require(std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }),
            "a line has no control characters");
    for (const auto* mark : {"\xc2\x9b", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b"})
      require(!holds(line, mark), "a line has no marks that change how it is shown");
    require(line.size() <= limit + 16, "a line is cut");
    require(line.size() > limit || printable(line, limit) == line, "a printable line stays as it is");
  }
}

// The secret stands behind a parameter's name, or as a password, in the middle of any text.
void check_credentials(const std::string& before, const std::string& after) {
  for (const auto* place : {" access_token=", "?client_secret=", "&password=", " https://user:"}) {
    const auto password = std::string_view(place).ends_with(':');
    const auto text = before + place + std::string(canary) + (password ? "@" : "&") + after;
    require(!holds(without_credentials(text), canary), "a credential is taken out");
  }
  require(!holds(log().scrub(before + std::string(canary) + after), canary), "a known secret is taken out");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::string before(input.line()), after(input.rest());
  check_printable(after);
  if (!holds(before + after, canary)) check_credentials(before, after);
  return 0;
}
