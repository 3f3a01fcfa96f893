#include "daemon/retention.hpp"

#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "tests/support/events.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  World world;
  RecordedEvents events;
  Retention retention{world.clock(), events, [this] { return memories; }};
  std::vector<Duration> state_forgot, sink_forgot;  // when
  int sound = 0, failing = 0;                       // tries that fail
  std::vector<Memory> memories{{"the state", [this] { return forget(state_forgot, sound); }},
                               {"sink warehouse", [this] { return forget(sink_forgot, failing); }}};

  task<std::int64_t> forget(std::vector<Duration>& when, int& failures) {
    when.push_back(world.clock().uptime());
    if (failures-- > 0) throw Error(Remedy::retry, "no connection");
    co_return 1;
  }
  void run_for(Duration time) { world.run_until(world.clock().now() + time, retention.run()); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "each memory forgets soon after the start and then once a day") {
  run_for(72h);
  CHECK(state_forgot.size() == 3);
  CHECK(sink_forgot.size() == 3);
  CHECK(state_forgot[0] < 1min);
  CHECK(state_forgot[1] - state_forgot[0] >= 24h);
  CHECK(events.all.empty());
}

TEST_CASE_METHOD(Fixture,
                 "what fails is one warning, is tried again each hour, and keeps nobody else from forgetting") {
  failing = 3;
  run_for(20h);
  CHECK(state_forgot.size() == 1);
  REQUIRE(sink_forgot.size() == 4);
  CHECK(sink_forgot[1] - sink_forgot[0] >= 1h);
  CHECK(sink_forgot[3] - sink_forgot[0] < 4h);
  const auto notices = events.of<Notice>();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].level == Level::warning);
  CHECK(notices[0].message ==
        "sink warehouse: what is older than retention cannot be removed: no connection; it is tried again each hour");
}

TEST_CASE_METHOD(Fixture, "a sink that a reload brings has its turn within minutes") {
  auto late = std::move(memories.back());
  memories.pop_back();
  const auto bring = [&]() -> task<void> {
    co_await world.clock().sleep_for(3h);
    memories.push_back(late);
  };
  const auto both = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(bring());
    group.spawn(retention.run());
    co_await group.join();
  };
  world.run_until(world.clock().now() + 4h, both());
  REQUIRE(sink_forgot.size() == 1);
  CHECK(sink_forgot[0] - 3h <= 2min);
}
