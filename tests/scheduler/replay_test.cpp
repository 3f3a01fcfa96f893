#include "scheduler/replay.hpp"

#include "tests/scheduler/run_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using Catch::Contains;
using test::MemorySink;
using test::ScriptedConnector;

// What replays quarantined rows; what a sink does with them is for each sink (tests/sinks/conformance_replay_test.cpp).

namespace {

struct ReplayFixture : test::RunFixture {
  StreamPlan& stream = pipeline.streams.front();
  ReplayOptions replaying;

  void quarantine(const std::string& slice, const std::vector<std::string>& raws, const std::string& rule = "type") {
    for (const auto& raw : raws) sink.quarantine["days " + slice].push_back(Reject{{}, "did not fit", rule, raw});
  }
  std::vector<std::string> left(const std::string& slice) {
    std::vector<std::string> raws;
    for (const auto& reject : sink.quarantine["days " + slice]) raws.push_back(reject.raw + ": " + reject.reason);
    return raws;
  }
  ReplayResult replay() {
    auto result = world.run(replay_quarantine(pipeline, stream, replaying, context));
    CHECK(sink.open_loads == 0);
    return result;
  }
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("quarantined rows are mapped as today, slice by slice, with their partition; what fits is loaded") {
  ReplayFixture f;
  f.quarantine("a/2026-03-01", {"7", "x", "8"});
  f.quarantine("b/2026-03-01", {"9"});
  const auto result = f.replay();
  CHECK(result.loaded == 3);
  CHECK(result.refused == 1);
  CHECK(result.failures.empty());
  REQUIRE(f.sink.rows["days"].size() == 3);
  CHECK(f.sink.rows["days"][0]["n"] == "7");
  CHECK(f.sink.rows["days"][2]["account"] == "b");
  CHECK(f.left("a/2026-03-01") == Texts{"x: found x, expected a number"});
  CHECK(f.sink.replayed == Texts{"replay r a/2026-03-01", "replay r b/2026-03-01"});
  CHECK(f.sink.progresses.empty());
  const auto sizes = f.events.of<QuarantineSize>();
  REQUIRE(sizes.size() == 1);
  CHECK(sizes[0].rows == 1);
  CHECK(f.replay().refused == 1);  // again: nothing more to load
  CHECK(f.sink.rows["days"].size() == 3);
}

TEST_CASE("a raw text that is no row, or not one, is refused with its reason") {
  ReplayFixture f;
  f.quarantine("a/2026-03-01", {"broken", "{}"});
  CHECK(f.replay().refused == 2);
  CHECK(f.left("a/2026-03-01") == Texts{"broken: no reply at all", "{}: found 0 rows, expected one of the stream"});
}

TEST_CASE("an answer that nobody could read is no row: it waits for its slice and is not mapped") {
  ReplayFixture f;
  f.quarantine("a/2026-03-01", {"1"}, "structure");
  f.quarantine("a/2026-03-01", {"2"});
  const auto result = f.replay();
  CHECK(result.waiting == 1);
  CHECK(result.loaded == 1);
  CHECK(result.refused == 0);
  CHECK(f.connector.parsed == Texts{"2"});
  CHECK(f.left("a/2026-03-01") == Texts{"1: did not fit"});
}

TEST_CASE("what the source refused to give is kept by its ids only, which are no row") {
  ReplayFixture f;
  f.quarantine("a/2026-03-01", {"1"}, std::string(unread_rule));
  const auto result = f.replay();
  CHECK(result.loaded == 0);
  CHECK(result.waiting == 1);
  CHECK(f.sink.rows["days"].empty());
  CHECK(f.left("a/2026-03-01").size() == 1);
}

TEST_CASE("a dry run maps and writes nothing") {
  ReplayFixture f;
  f.replaying.dry_run = true;
  f.quarantine("a/2026-03-01", {"1", "x"});
  const auto result = f.replay();
  CHECK(result.loaded == 1);
  CHECK(result.refused == 1);
  CHECK(f.sink.columns.empty());  // the table was not made
  CHECK(f.sink.rows["days"].empty());
  CHECK(f.left("a/2026-03-01").size() == 2);
  CHECK(f.events.of<QuarantineSize>().empty());
}

TEST_CASE("a slice whose replay fails leaves the others alone") {
  ReplayFixture f;
  f.quarantine("a/2026-03-01", {"1"});
  f.quarantine("b/2026-03-01", {"2"});
  f.quarantine("who knows", {"3"});
  f.sink.fail_replays.emplace_back(Remedy::retry, "the server is away");
  const auto result = f.replay();
  CHECK(result.loaded == 1);
  REQUIRE(result.failures.size() == 2);
  CHECK_THAT(result.failures[0].message, Contains("days a/2026-03-01") && Contains("the server is away"));
  CHECK(result.failures[0].passing);
  CHECK_FALSE(result.failures[1].passing);
  CHECK(f.left("a/2026-03-01").size() == 1);
  CHECK(f.replay().loaded == 1);
}

TEST_CASE("fields that turn up in quarantined rows become columns, as in a run") {
  ReplayFixture f;
  f.stream.spec.new_fields = NewFields::add;
  f.connector.unknown_when_parsed["geo/city"] = Type::text;
  f.quarantine("a/2026-03-01", {"1"});
  CHECK(f.replay().loaded == 1);
  CHECK(f.sink.columns["days"].back() == "geo_city");
}

TEST_CASE("where nothing is in quarantine nothing is touched") {
  ReplayFixture f;
  CHECK(f.replay().loaded == 0);
  CHECK(f.sink.columns.empty());
}
