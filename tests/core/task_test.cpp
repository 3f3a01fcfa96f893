#include "core/task.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <thread>

#include "core/error.hpp"
#include "core/worker.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::World;

namespace {

task<void> sleep_then_note(Clock& clock, Duration d, std::vector<std::string>& log, std::string what) {
  try {
    co_await clock.sleep_for(d);
  } catch (...) {
    log.push_back(what + " cancelled");
    throw;
  }
  log.push_back(what);
}

task<void> fail_after(Clock& clock, Duration d) {
  co_await clock.sleep_for(d);
  throw Error(Remedy::give_up, "broken");
}

}  // namespace

TEST_CASE("a group joins all its children in virtual time") {
  World world;
  std::vector<std::string> log;
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(sleep_then_note(world.clock(), 2h, log, "slow"));
    group.spawn(sleep_then_note(world.clock(), 1s, log, "quick"));
    co_await group.join();
  };
  world.run(body());
  CHECK(log == std::vector<std::string>{"quick", "slow"});
  CHECK(world.clock().uptime() == 2h);
}

TEST_CASE("a failing child cancels the others and join throws its failure") {
  World world;
  std::vector<std::string> log;
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(sleep_then_note(world.clock(), 2h, log, "slow"));
    group.spawn(fail_after(world.clock(), 1s));
    co_await group.join();
  };
  CHECK_THROWS_WITH(world.run(body()), "broken");
  CHECK(log == std::vector<std::string>{"slow cancelled"});
}

TEST_CASE("cancelling the joining task cancels the children and waits for them") {
  World world;
  std::vector<std::string> log;
  const auto group_task = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(sleep_then_note(world.clock(), 2h, log, "child"));
    co_await group.join();
    log.push_back("not reached");
  };
  const bool in_time = world.run(with_timeout(world.clock(), 1min, group_task()));
  CHECK_FALSE(in_time);
  CHECK(log == std::vector<std::string>{"child cancelled"});
}

TEST_CASE("a child spawned into a cancelled group is cancelled at its first wait") {
  World world;
  std::vector<std::string> log;
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.cancel();
    group.spawn(sleep_then_note(world.clock(), 2h, log, "child"));
    co_await group.join();
  };
  world.run(body());
  CHECK(log.size() <= 1);
  CHECK(world.clock().uptime() == 0s);
}

TEST_CASE("with_timeout gives the result in time and nothing after it") {
  World world;
  const auto answer = [&](Duration d) -> task<int> {
    co_await world.clock().sleep_for(d);
    co_return 42;
  };
  CHECK(world.run(with_timeout(world.clock(), 1min, answer(1s))) == 42);
  CHECK(world.run(with_timeout(world.clock(), 1min, answer(2min))) == std::nullopt);
}

TEST_CASE("with_timeout gives the result of an operation that never waits") {
  World world;
  const auto answer = []() -> task<int> { co_return 42; };
  CHECK(world.run(with_timeout(world.clock(), 1min, answer())) == 42);
  const auto fail = []() -> task<int> {
    throw Error(Remedy::give_up, "broken");
    co_return 0;
  };
  CHECK_THROWS_WITH(world.run(with_timeout(world.clock(), 1min, fail())), "broken");
}

TEST_CASE("with_timeout passes on the operation's failure") {
  World world;
  CHECK_THROWS_WITH(world.run(with_timeout(world.clock(), 1min, fail_after(world.clock(), 1s))), "broken");
}

TEST_CASE("a shielded operation finishes although its parent is cancelled, and the cancellation is felt after it") {
  World world;
  std::vector<std::string> log;
  const auto body = [&]() -> task<void> {
    co_await shield(sleep_then_note(world.clock(), 1h, log, "finished"));
    log.push_back("not reached");
  };
  const bool in_time = world.run(with_timeout(world.clock(), 1s, body()));
  CHECK_FALSE(in_time);
  CHECK(log == std::vector<std::string>{"finished"});
}

TEST_CASE("a failure after the cancellation does not hide it, shielded or in a group") {
  World world;
  std::vector<std::string> log;
  const auto in_group = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(shield(fail_after(world.clock(), 1h)));
    co_await group.join();
  };
  const auto tried_twice = [&](bool grouped) -> task<void> {
    for (int i = 0; i < 2; ++i) {
      try {
        if (grouped)
          co_await in_group();
        else
          co_await shield(fail_after(world.clock(), 1h));
      } catch (const Error& error) {
        log.push_back(error.what());
      }
    }
  };
  for (const bool grouped : {false, true})
    CHECK_FALSE(world.run(with_timeout(world.clock(), 1s, tried_twice(grouped))));
  CHECK(log.empty());
}

TEST_CASE("a semaphore serves in order and grants an oversized request when it is free") {
  World world;
  std::vector<int> order;
  Semaphore semaphore(world.executor(), 2);
  const auto use = [&](int id, std::int64_t count) -> task<void> {
    auto permit = co_await semaphore.acquire(count);
    order.push_back(id);
    co_await world.clock().sleep_for(1s);
  };
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(use(1, 1));
    group.spawn(use(2, 5));
    group.spawn(use(3, 1));
    co_await group.join();
  };
  world.run(body());
  CHECK(order == std::vector<int>{1, 2, 3});
  CHECK(world.clock().uptime() == 3s);
  CHECK(semaphore.available() == 2);
}

TEST_CASE("more permits go to those that wait; of fewer nothing is taken back") {
  World world;
  Semaphore semaphore(world.executor(), 1);
  std::vector<std::string> log;
  const auto hold = [&](std::string name) -> task<void> {
    const auto permit = co_await semaphore.acquire();
    log.push_back(name + " holds");
    co_await world.clock().sleep_for(1h);
  };
  TaskGroup group(world.executor());
  for (const auto* name : {"a", "b", "c"}) group.spawn(hold(name));
  const auto change = [&]() -> task<void> {
    co_await world.clock().sleep_for(1min);
    log.emplace_back("two");
    semaphore.set_permits(2);
    co_await world.clock().sleep_for(1min);
    log.emplace_back("none");
    semaphore.set_permits(0);
    CHECK(semaphore.available() == -2);
    co_await world.clock().sleep_for(3h);
    log.emplace_back("late");
  };
  group.spawn(change());
  world.run(group.join());
  CHECK(log == std::vector<std::string>{"a holds", "two", "b holds", "none", "c holds", "late"});
}

TEST_CASE("a cancelled waiter leaves the semaphore's queue") {
  World world;
  Semaphore semaphore(world.executor(), 1);
  const auto body = [&]() -> task<void> {
    auto held = co_await semaphore.acquire();
    const auto waiting = co_await with_timeout(world.clock(), 1s, semaphore.acquire());
    CHECK_FALSE(waiting.has_value());
    held.release();
    const auto again = co_await semaphore.acquire();
    CHECK(semaphore.available() == 0);
  };
  world.run(body());
  CHECK(semaphore.available() == 1);
}

TEST_CASE("a worker runs a call off the loop and brings back its result or its exception") {
  World world;
  Worker worker;
  const auto loop_thread = std::this_thread::get_id();
  CHECK(world.run(worker.run([] { return std::this_thread::get_id(); })) != loop_thread);
  CHECK_THROWS_WITH(world.run(worker.run([] { throw Error(Remedy::retry, "disk"); })), "disk");
}

TEST_CASE("who is cancelled while it waits for its turn goes away, and the others have theirs") {
  World world;
  int turns = 0;
  const auto long_work = [&]() -> task<void> {
    co_await take_turn();
    ++turns;
  };
  const auto body = [&]() -> task<void> {
    co_await take_turn();  // the loop has not yet turned as often as it should
    TaskGroup group(world.executor());
    group.spawn(long_work());
    TaskGroup doomed(world.executor());
    doomed.spawn(long_work());
    group.spawn(long_work());
    doomed.cancel();
    co_await doomed.join();
    CHECK(turns == 0);
    co_await group.join();
  };
  world.run(body());
  CHECK(turns == 2);
}

TEST_CASE("between two long pieces of work the loop turns some times for what is small") {
  World world;
  std::string log;  // L: a long piece, a dot: a turn of something small
  int at_work = 3;
  const auto long_work = [&]() -> task<void> {
    for (int i = 0; i < 2; ++i) {
      co_await take_turn();
      log += 'L';
    }
    --at_work;
  };
  const auto small = [&]() -> task<void> {
    while (at_work > 0) {
      log += '.';
      co_await asio::post(world.executor(), asio::use_awaitable);
    }
  };
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    for (int i = 0; i < 3; ++i) group.spawn(long_work());
    group.spawn(small());
    co_await group.join();
  };
  world.run(body());
  CHECK(std::count(log.begin(), log.end(), 'L') == 6);
  for (std::size_t at = log.find('L'), next; (next = log.find('L', at + 1)) != log.npos; at = next)
    CHECK(next - at > 4);
}

TEST_CASE("that no thread can be made passes, whoever says it; other refusals of the system do not") {
  const auto of = [](const auto& failure) { return error_of(std::make_exception_ptr(failure)); };
  const auto none = std::make_error_code(std::errc::resource_unavailable_try_again);
  for (const auto& error : {of(std::system_error(none)), of(boost::system::system_error(none))}) {
    CHECK(error.remedy() == Remedy::retry);
    CHECK_THAT(error.what(), Catch::StartsWith("no thread can be made: "));
  }
  const auto broken = std::make_error_code(std::errc::broken_pipe);
  for (const auto& error : {of(std::system_error(broken)), of(boost::system::system_error(broken))})
    CHECK(error.remedy() == Remedy::give_up);
}
