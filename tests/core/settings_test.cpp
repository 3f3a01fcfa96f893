#include "core/settings.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/error.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

std::string failure(const TextRef& reference) {
  try {
    reference.resolve();
  } catch (const Error& error) {
    CHECK(error.remedy() == Remedy::give_up);
    return error.what();
  }
  return "resolved";
}

void write(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

TEST_CASE("scalars are checked by what they mean") {
  struct Case {
    Value kind;
    const char* text;
    bool good;
  };
  const Case cases[] = {
      {Value::integer, "12", true},
      {Value::integer, "-3", true},
      {Value::integer, "010", false},
      {Value::integer, "1e3", false},
      {Value::integer, "", false},
      {Value::integer, "+-3", false},
      {Value::integer, "9223372036854775808", false},
      {Value::boolean, "true", true},
      {Value::boolean, "yes", false},
      {Value::boolean, "True", false},
      {Value::duration, "30s", true},
      {Value::duration, "30", false},
      {Value::size, "32MiB", true},
      {Value::size, "32MB", false},
      {Value::percent, "75%", true},
      {Value::percent, "0.5%", true},
      {Value::percent, "101%", false},
      {Value::percent, "0.75", false},
      {Value::percent, "-1%", false},
      {Value::rate, "10/s", true},
      {Value::rate, "2.5/m", true},
      {Value::rate, "10", false},
      {Value::rate, "0/s", false},
      {Value::rate, "10/w", false},
      {Value::range, "1s..5m", true},
      {Value::range, "5m..1s", false},
      {Value::range, "1s-5m", false},
      {Value::day, "2025-02-28", true},
      {Value::day, "2025-02-30", false},
      {Value::zone, "Europe/London", true},
      {Value::zone, "Europe/Lundon", false},
      {Value::zone, "", false},
      {Value::type, "decimal(18,4)", true},
      {Value::type, "money", false},
      {Value::text, "anything at all", true},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    CHECK(scalar_fault(Option{"", c.kind, ""}, c.text).has_value() != c.good);
  }
  const std::string_view words[] = {"skip", "queue", "replace"};
  const Option overlap{.name = "overlap", .value = Value::choice, .help = "", .choices = words};
  CHECK_FALSE(scalar_fault(overlap, "queue"));
  CHECK(scalar_fault(overlap, "queu") == "expected one of: skip, queue, replace; did you mean \"queue\"?");
  CHECK(scalar_fault(Option{"", Value::duration, ""}, "5") ==
        "expected a duration with its unit, like 30s, 5m, 2h or 28d");
}

TEST_CASE("a value beyond its option's bounds is told the bounds") {
  const Option runs{.name = "", .value = Value::integer, .help = "", .least = "1", .most = "100"};
  CHECK_FALSE(scalar_fault(runs, "1"));
  CHECK_FALSE(scalar_fault(runs, "100"));
  CHECK(scalar_fault(runs, "0") == "expected 1 to 100");
  CHECK(scalar_fault(runs, "101") == "expected 1 to 100");
  const Option every{.name = "", .value = Value::duration, .help = "", .least = "1s"};
  CHECK_FALSE(scalar_fault(every, "1000ms"));
  CHECK(scalar_fault(every, "999ms") == "expected at least 1s");
  const Option memory{.name = "", .value = Value::size, .help = "", .most = "1GiB"};
  CHECK(scalar_fault(memory, "1025MiB") == "expected at most 1GiB");
  const Option target{.name = "", .value = Value::percent, .help = "", .least = "1%"};
  CHECK(scalar_fault(target, "0.5%") == "expected at least 1%");
}

TEST_CASE("a mistyped time zone is told the nearest, and a city its whole name") {
  const Option zone{"", Value::zone, ""};
  const std::string expected = "expected the IANA name of a time zone, like Europe/London";
  CHECK(scalar_fault(zone, "Europe/Lundon") == expected + "; did you mean \"Europe/London\"?");
  CHECK(scalar_fault(zone, "Asia/Calcuta") == expected + "; did you mean \"Asia/Calcutta\"?");
  CHECK(scalar_fault(zone, "kolkata") == expected + "; did you mean \"Asia/Kolkata\"?");
  CHECK(scalar_fault(zone, "the office") == expected);
}

TEST_CASE("scalars are read exactly") {
  CHECK(parse_rate("600/m")->per_second == Approx(10));
  CHECK(parse_percent("75%") == 0.75);
  CHECK(parse_range("1s..5m")->least == 1s);
  CHECK(parse_range("1s..5m")->most == 5min);
}

TEST_CASE("the nearest name is found for a slip, not for another word") {
  const std::vector<std::string> known{"access_token", "accounts", "app_secret", "rate_limit"};
  CHECK(nearest_name("acess_token", known) == "access_token");
  CHECK(nearest_name("account", known) == "accounts");
  CHECK(nearest_name("rate_limti", known) == "rate_limit");
  CHECK(nearest_name("Accounts", known) == "accounts");
  CHECK_FALSE(nearest_name("passcode", known));
  CHECK_FALSE(nearest_name("x", known));
  CHECK_FALSE(nearest_name(std::string(100'000, 'a'), known));
}

TEST_CASE("a reference is read when it is asked for") {
  const test::Folder folder;
  using From = TextRef::From;

  SECTION("from the environment") {
    ::setenv("SLUICE_TEST_TOKEN", "canary", 1);
    CHECK(TextRef(From::env, "SLUICE_TEST_TOKEN").resolve().equals("canary"));
    ::setenv("SLUICE_TEST_TOKEN", "", 1);
    CHECK(failure(TextRef(From::env, "SLUICE_TEST_TOKEN")) ==
          "env SLUICE_TEST_TOKEN: the environment variable is empty");
    ::unsetenv("SLUICE_TEST_TOKEN");
    CHECK(failure(TextRef(From::env, "SLUICE_TEST_TOKEN")) ==
          "env SLUICE_TEST_TOKEN: the environment variable is not set");
  }
  SECTION("from a file, without its trailing newline") {
    const auto path = (folder.path() / "token").string();
    CHECK(failure(TextRef(From::file, path)) == "file " + path + ": cannot be opened: No such file or directory");
    write(path, "two\nlines\n");
    CHECK(TextRef(From::file, path).resolve().equals("two\nlines"));
    write(path, "windows\r\n");
    CHECK(TextRef(From::file, path).resolve().equals("windows"));
    write(path, "\n");
    CHECK(failure(TextRef(From::file, path)) == "file " + path + ": the file is empty");
    CHECK(failure(TextRef(From::file, folder.path().string())) ==
          "file " + folder.path().string() + ": is not a regular file");
    std::filesystem::resize_file(path, (1 << 20) + 1);
    CHECK(failure(TextRef(From::file, path)) == "file " + path + ": is larger than 1 MiB");
  }
  SECTION("a pipe would block: it is refused at once") {
    const auto path = (folder.path() / "pipe").string();
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK(failure(TextRef(From::file, path)) == "file " + path + ": is not a regular file");
  }
  SECTION("from systemd's credentials") {
    ::unsetenv("CREDENTIALS_DIRECTORY");
    CHECK(failure(TextRef(From::credential, "token")) ==
          "credential token: there is no $CREDENTIALS_DIRECTORY: systemd gives what a unit's LoadCredential= names to "
          "that service alone; for a command by hand see \"Commands by hand\" in docs/operations.md");
    ::setenv("CREDENTIALS_DIRECTORY", folder.path().c_str(), 1);
    write(folder.path() / "token", "canary\n");
    CHECK(TextRef(From::credential, "token").resolve().equals("canary"));
    ::unsetenv("CREDENTIALS_DIRECTORY");
  }
  SECTION("a file that everybody may read is doubtful") {
    const auto path = (folder.path() / "token").string();
    write(path, "canary");
    ::chmod(path.c_str(), 0644);
    CHECK(TextRef(From::file, path).doubt() ==
          "file " + path + " can be read by every user of this machine (mode 0644): chmod o-rwx " + path);
    ::chmod(path.c_str(), 0640);
    CHECK_FALSE(TextRef(From::file, path).doubt());
  }
}

TEST_CASE("a reference is described without its value") {
  CHECK(TextRef(TextRef::From::env, "TOKEN").describe() == "env TOKEN");
  CHECK(TextRef(TextRef::From::literal, "canary").describe() == "a text in the file");
}
