#include "daemon/cli.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using Catch::Contains;

namespace {

std::variant<Arguments, Answer> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "sluice");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

Arguments understood(std::vector<const char*> words) {
  const auto result = parse(std::move(words));
  if (const auto* answer = std::get_if<Answer>(&result)) FAIL(answer->text);
  return std::get<Arguments>(result);
}

Answer refused(std::vector<const char*> words) {
  const auto result = parse(std::move(words));
  REQUIRE(std::holds_alternative<Answer>(result));
  return std::get<Answer>(result);
}

}  // namespace

TEST_CASE("every command is known") {
  CHECK(understood({"serve"}).command == Command::serve);
  CHECK(understood({"run", "facebook", "google"}).pipelines == std::vector<std::string>{"facebook", "google"});
  CHECK(understood({"check", "--connect"}).connect);
  CHECK(understood({"plan"}).pipelines.empty());
  CHECK(understood({"discover", "meta"}).source == "meta");
  CHECK(understood({"status"}).command == Command::status);
  CHECK(understood({"runs", "facebook", "--limit", "3"}).limit == 3);
  CHECK(understood({"trigger", "facebook"}).command == Command::trigger);
  CHECK(understood({"pause", "facebook"}).command == Command::pause);
  CHECK(understood({"resume", "facebook"}).command == Command::resume);
  CHECK(understood({"cancel", "facebook"}).command == Command::cancel);
  CHECK(understood({"cancel", "facebook", "--run", "20260302T120000Z-7f3a"}).run == "20260302T120000Z-7f3a");
  CHECK(understood({"schema"}).command == Command::schema);
  CHECK(understood({"demo", "/tmp/x", "--exit"}).exit_after);
  CHECK(understood({"version"}).command == Command::version);
  CHECK(understood({"--version"}).command == Command::version);
}

TEST_CASE("rows of the quarantine are narrowed by what list shows of them") {
  const auto a = understood({"quarantine", "replay", "app/events", "--rule", "type", "--slice", "Charged/2026-03-01",
                             "--run", "r1", "--since", "2026-03-01", "--dry-run"});
  CHECK(a.command == Command::quarantine_replay);
  CHECK(a.stream == "events");
  CHECK(a.quarantined.rule == "type");
  CHECK(a.quarantined.slice == "Charged/2026-03-01");
  CHECK(a.quarantined.run == "r1");
  CHECK(a.quarantined.since == parse_instant("2026-03-01T00:00:00Z"));
  CHECK(a.dry_run);
  CHECK(understood({"quarantine", "show", "app/events", "abc"}).quarantined.id == "abc");
  CHECK(understood({"quarantine", "drop", "app/events", "--all"}).all);
  CHECK(refused({"quarantine", "replay", "app/events", "--since", "yesterday"}).exit == exit_code::usage);
}

TEST_CASE("a pipeline that is named twice runs once") {
  CHECK(understood({"run", "b", "a", "b", "b"}).pipelines == std::vector<std::string>{"b", "a"});
}

TEST_CASE("common options stand before or after the command") {
  const auto a = understood({"-c", "a.yaml", "status", "-o", "json", "--server", "http://h:1", "--log-level", "debug",
                             "--log-format", "json"});
  CHECK(a.config == "a.yaml");
  CHECK(a.json);
  CHECK(a.server == "http://h:1");
  CHECK(a.log_level == Level::debug);
  CHECK(a.log_format == LogFormat::json);
  CHECK(understood({"quarantine", "list", "a/b", "-c", "x"}).config == "x");
}

TEST_CASE("--server is a URL") {
  for (const auto* bad : {"foo", "localhost:8321", "ftp://h", "http://", "http://h:port"}) {
    INFO(bad);
    CHECK(refused({"status", "--server", bad}).exit == exit_code::usage);
    CHECK_THAT(refused({"status", "--server", bad}).text, Contains("expected a URL like http://host:8321"));
  }
}

TEST_CASE("a stream of a pipeline is written PIPELINE/STREAM") {
  const auto preview = understood({"preview", "facebook/insights", "--limit", "5"});
  CHECK(preview.pipelines == std::vector<std::string>{"facebook"});
  CHECK(preview.stream == "insights");
  CHECK(understood({"quarantine", "list", "facebook/insights"}).command == Command::quarantine_list);
  CHECK(understood({"quarantine", "show", "facebook/insights", "q1"}).quarantined.id == "q1");
  for (const auto* bad : {"facebook", "/insights", "facebook/"}) CHECK(refused({"preview", bad}).exit == 2);
}

TEST_CASE("a backfill has two days in order") {
  const auto a = understood(
      {"backfill", "facebook", "--from", "2026-01-01", "--to", "2026-01-31", "--parallel", "4", "--dry-run"});
  CHECK(a.from == Day(2026, 1, 1));
  CHECK(a.to == Day(2026, 1, 31));
  CHECK(a.parallel == 4);
  CHECK(a.dry_run);
  CHECK_THAT(refused({"backfill", "facebook", "--from", "01.01.2026", "--to", "2026-01-31"}).text,
             Contains("expected a day like 2026-03-01"));
  CHECK_THAT(refused({"backfill", "facebook", "--from", "2026-02-01", "--to", "2026-01-31"}).text,
             Contains("--to lies before --from"));
  CHECK(refused({"backfill", "facebook", "--from", "2026-02-01"}).exit == 2);
}

TEST_CASE("what is not understood is a usage error that names it; help is not an error") {
  CHECK(refused({}).exit == exit_code::usage);
  CHECK(refused({"run"}).exit == exit_code::usage);
  CHECK(refused({"serve", "extra"}).exit == exit_code::usage);
  const auto unknown = refused({"frobnicate"});
  CHECK(unknown.exit == exit_code::usage);
  CHECK_THAT(unknown.text, Contains("there is no command \"frobnicate\"") && Contains("sluice --help"));
  CHECK_THAT(refused({"-c", "x", "stats", "facebook"}).text,
             Contains("no command \"stats\"; did you mean \"status\"?"));
  CHECK_THAT(refused({"quarantine", "lst", "a/b"}).text, Contains("did you mean \"quarantine list\"?"));
  CHECK_THAT(refused({"--colour", "status"}).text, Contains("--colour"));
  CHECK_THAT(refused({"status", "-o", "xml"}).text, Contains("xml"));
  CHECK_THAT(refused({"run", "a", "--log-level", "loud"}).text, Contains("loud"));
  const auto help = refused({"--help"});
  CHECK(help.exit == exit_code::done);
  for (const auto* command : {"serve", "run", "backfill", "check", "plan", "discover", "preview", "status", "runs",
                              "trigger", "pause", "resume", "cancel", "quarantine", "schema", "demo", "version"})
    CHECK_THAT(help.text, Contains(command));
  CHECK_THAT(refused({"backfill", "--help"}).text, Contains("--dry-run"));
}
