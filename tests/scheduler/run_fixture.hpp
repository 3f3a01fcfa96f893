#pragma once
#include <catch2/catch.hpp>

#include "scheduler/run.hpp"
#include "tests/support/events.hpp"
#include "tests/support/memory_sink.hpp"
#include "tests/support/scripted_connector.hpp"
#include "tests/support/world.hpp"

namespace sluice::test {

using namespace std::chrono_literals;

// One pipeline with one stream of days 2026-03-01, 03-02 and today, 03-03.
struct RunFixture {
  World world{*parse_instant("2026-03-03T12:00:00Z")};
  RecordedEvents events;
  Rng rng{1};
  MemorySink sink;
  ScriptedConnector connector{world.clock()};
  SharedSource source{connector, world.executor()};
  SharedSink shared_sink{sink, world.executor(), 2};
  Semaphore memory{world.executor(), 1 << 20};
  Remembered remembered;
  RunContext context{world.executor(), source, shared_sink, memory, world.clock(), events, rng, remembered};
  Pipeline pipeline;
  RunOptions options;

  RunFixture() {
    pipeline.name = "p";
    StreamPlan stream;
    stream.name = "days";
    stream.spec = ScriptedConnector::days();
    stream.start = Day(2026, 3, 1);
    stream.lookback = 24h;
    stream.table.name = "days";
    stream.table.cursor = Cursor::date;
    Faults faults;
    stream.transform = Transform::make(stream.spec, {}, stream.table, faults);
    REQUIRE(faults.empty());
    pipeline.streams.push_back(stream);
    for (const auto* day : {"a/2026-03-01", "a/2026-03-02", "a/2026-03-03"}) connector.answers[day].reads = {{1, 2}};
  }

  RunEnded run() {
    RunRecord record;
    record.id = "run";
    record.pipeline = pipeline.name;
    record.trigger = "manual";
    record.started = record.planned = world.clock().now();
    auto ended = world.run(run_pipeline(pipeline, record, options, context));
    CHECK(sink.open_loads == 0);
    CHECK(connector.now_reading == 0);
    CHECK(source.places.available() == connector.parallel_slices());
    CHECK(shared_sink.permits.available() == 2);
    CHECK(memory.available() == 1 << 20);
    return ended;
  }

  Progress progress(const char* partition = "a", const char* lane = "live") {
    return sink.progresses[LaneId("p", "days", partition, lane)];
  }
};

}  // namespace sluice::test
