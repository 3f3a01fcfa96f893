#include "daemon/lock.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <thread>

#include "core/error.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using test::Folder;

TEST_CASE("one process at a time runs a pipeline, and the second learns who does") {
  const Folder folder;
  const auto dir = folder / "locks";
  std::string holder;
  auto first = try_lock_pipeline(dir, "facebook", "sluice serve", holder);
  REQUIRE(first);
  CHECK(holder.empty());
  CHECK_FALSE(try_lock_pipeline(dir, "facebook", "sluice run", holder));
  CHECK_THAT(holder, Catch::StartsWith("sluice serve, pid " + std::to_string(getpid()) + " on ") &&
                         Catch::Contains(", since 2"));
  // Being refused must not wipe the holder's line.
  CHECK_FALSE(try_lock_pipeline(dir, "facebook", "sluice run", holder));
  CHECK_THAT(holder, Catch::StartsWith("sluice serve, pid "));
  CHECK(try_lock_pipeline(dir, "google", "sluice run", holder));
  first->release();
  CHECK(try_lock_pipeline(dir, "facebook", "sluice run", holder));
}

TEST_CASE("a lock that was moved is held once and released once") {
  const Folder folder;
  std::string holder;
  auto lock = try_lock_pipeline(folder / "locks", "p", "sluice run", holder);
  REQUIRE(lock);
  {
    const PipelineLock moved = std::move(*lock);
    lock.reset();
    CHECK_FALSE(try_lock_pipeline(folder / "locks", "p", "sluice run", holder));
  }
  CHECK(try_lock_pipeline(folder / "locks", "p", "sluice run", holder));
}

TEST_CASE("a killed process leaves no lock behind") {
  const Folder folder;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::string ignored;
    const auto lock = try_lock_pipeline(folder / "locks", "p", "sluice serve", ignored);
    if (write(ready[1], lock ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = 0;
  REQUIRE(read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  std::string holder;
  CHECK_FALSE(try_lock_pipeline(folder / "locks", "p", "sluice run", holder));
  CHECK_THAT(holder, Catch::Contains("pid " + std::to_string(child)));
  kill(child, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(try_lock_pipeline(folder / "locks", "p", "sluice run", holder));
  close(ready[0]);
  close(ready[1]);
}

TEST_CASE("whether a pipeline is held can be seen without taking its lock, and leaves no trace") {
  const Folder folder;
  const auto dir = folder / "locks";
  CHECK_FALSE(lock_is_held(dir, "p"));
  CHECK_FALSE(any_backfill_is_held(dir, "p"));
  CHECK_FALSE(std::filesystem::exists(dir));
  std::string holder;
  auto lock = try_lock_pipeline(dir, "p", "sluice run", holder);
  CHECK(lock_is_held(dir, "p"));
  CHECK_FALSE(any_backfill_is_held(dir, "p"));
  auto backfill = try_lock_pipeline(dir, backfill_lock("p", "2026"), "sluice backfill", holder);
  CHECK(any_backfill_is_held(dir, "p"));
  CHECK_FALSE(any_backfill_is_held(dir, "other"));
  lock->release();
  backfill->release();
  CHECK_FALSE(lock_is_held(dir, "p"));
  CHECK_FALSE(any_backfill_is_held(dir, "p"));
}

TEST_CASE("names of pipelines cannot leave the folder, and only sluice's user may look into it") {
  const Folder folder;
  std::string holder;
  const auto lock = try_lock_pipeline(folder / "locks", "../évil pipeline", "sluice run", holder);
  REQUIRE(lock);
  CHECK(std::filesystem::exists(folder / "locks/%2e%2e%2f%c3%a9vil%20pipeline.lock"));
  struct stat info {};
  REQUIRE(stat((folder / "locks").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("a folder that cannot be used is named") {
  const Folder folder;
  std::ofstream(folder / "file") << "x";
  std::string holder;
  CHECK_THROWS_WITH(
      try_lock_pipeline(folder / "file/locks", "p", "sluice run", holder),
      Catch::Contains("file/locks") && Catch::EndsWith("the folder of the state (`state.url`) must exist"));
}

TEST_CASE("the locks lie beside the state") {
  CHECK(lock_folder("/var/lib/sluice/state.db") == "/var/lib/sluice/locks");
}

TEST_CASE("who looks whether a pipeline is held is in nobody's way") {
  const Folder folder;
  const auto dir = folder / "locks";
  std::string holder;
  REQUIRE(try_lock_pipeline(dir, "p", "sluice run", holder));
  std::atomic<bool> ended = false;
  std::int64_t looks = 0;
  std::thread looker([&] {
    for (; !ended; ++looks) lock_is_held(dir, "p");
  });
  int taken = 0;
  while (taken < 2000 && try_lock_pipeline(dir, "p", "sluice run", holder)) ++taken;
  ended = true;
  looker.join();
  CHECK(taken == 2000);
  CHECK(looks > 0);
}
