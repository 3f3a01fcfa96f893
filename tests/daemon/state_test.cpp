#include "daemon/state.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "core/error.hpp"
#include "daemon/lock.hpp"
#include "daemon/state_file.hpp"
#include "tests/support/folder.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::Folder;
using test::World;

namespace {

const Instant stored_at = *parse_instant("2026-03-02T12:00:00Z");

RunRecord run_at(const std::string& id, Instant started, const std::string& trigger = "schedule") {
  RunRecord run;
  run.id = id;
  run.pipeline = "facebook";
  run.trigger = trigger;
  run.planned = started - 7s;
  run.started = started;
  return run;
}

RunRecord ended(RunRecord run, Outcome outcome) {
  run.ended = run.started + 90s;
  run.outcome = outcome;
  run.message = outcome == Outcome::succeeded ? "" : "no luck";
  return run;
}

struct StateFixture {
  Folder folder;
  World world;
  std::string path = folder / "state/state.db";
  std::unique_ptr<SqliteStateStore> store = reopened();

  std::unique_ptr<SqliteStateStore> reopened(sqlite::Access access = sqlite::Access::read_write) {
    return std::make_unique<SqliteStateStore>(path, world.executor(), world.clock(), access);
  }
  void start_and_end(const RunRecord& run, Outcome outcome) {
    world.run(store->run_started(run));
    world.run(store->run_ended(ended(run, outcome)));
  }
  PipelineState state() { return world.run(store->pipeline("facebook")); }
};

}  // namespace

TEST_CASE_METHOD(StateFixture, "a pipeline that was never seen has an empty state") {
  const auto fresh = state();
  CHECK_FALSE(fresh.last_planned);
  CHECK_FALSE(fresh.last_started);
  CHECK_FALSE(fresh.last_succeeded);
  CHECK(fresh.consecutive_failures == 0);
  CHECK_FALSE(fresh.paused);
  CHECK(world.run(store->runs("", 10)).empty());
  CHECK_FALSE(world.run(store->run("no-such-run")));
}

TEST_CASE_METHOD(StateFixture, "what is known of a pipeline survives the process") {
  world.run(store->set_paused("facebook", true));
  world.run(store->set_last_planned("facebook", stored_at));
  start_and_end(run_at("a", stored_at + 1s), Outcome::succeeded);
  store = reopened();
  CHECK(state().paused);
  CHECK(state().last_planned == stored_at);
  CHECK(state().last_started == stored_at + 1s);
  CHECK(state().last_succeeded == stored_at + 1s);
  world.run(store->set_paused("facebook", false));
  CHECK_FALSE(state().paused);
}

TEST_CASE_METHOD(StateFixture, "watermarks survive the process, each as it was last told") {
  auto run = run_at("a", stored_at);
  run.watermarks = {{"insights", stored_at}, {"campaigns", stored_at + 1s}};
  start_and_end(run, Outcome::succeeded);
  run = run_at("b", stored_at + 1h);
  run.watermarks = {{"insights", stored_at + 1h}};
  start_and_end(run, Outcome::partial);
  start_and_end(run_at("c", stored_at + 2h), Outcome::failed);
  store = reopened();
  CHECK(state().watermarks ==
        std::map<std::string, Instant>{{"insights", stored_at + 1h}, {"campaigns", stored_at + 1s}});
  CHECK(world.run(store->pipeline("google")).watermarks.empty());
}

TEST_CASE_METHOD(StateFixture, "the state of an older sluice is brought up to date, and what it knew is kept") {
  start_and_end(run_at("a", stored_at), Outcome::succeeded);
  store.reset();
  {
    sqlite::Database old(path);
    old.exec("DROP TABLE watermarks; DROP TABLE run_logs; DROP TABLE quotas; PRAGMA user_version = 1");
  }
  auto reader = reopened(sqlite::Access::read_only);
  CHECK_THROWS_WITH(world.run(reader->pipeline("facebook")), Catch::Contains("is of an older sluice"));
  store = reopened();
  CHECK(state().last_succeeded == stored_at);
  CHECK(state().watermarks.empty());
  CHECK(world.run(store->runs("", 10)).size() == 1);
}

TEST_CASE_METHOD(StateFixture, "what a source has spent of its quotas survives the process, as it was last told") {
  QuotaRecord quota;
  quota.source = "google";
  quota.bucket = "operations";
  quota.account = "id.apps.test";
  quota.told = stored_at;
  quota.tokens = 17.5;
  quota.backfill_tokens = -3;
  world.run(store->keep_quota(quota));
  quota.told = stored_at + 1h;
  quota.tokens = 12.25;
  quota.closed_until = stored_at + 11h;
  quota.reason = "project_quota";
  quota.message = "used up";
  world.run(store->keep_quota(quota));
  store = reopened();
  const auto all = world.run(store->quotas("google"));
  REQUIRE(all.size() == 1);
  CHECK(all[0].bucket == "operations");
  CHECK(all[0].account == "id.apps.test");
  CHECK(all[0].told == stored_at + 1h);
  CHECK(all[0].tokens == 12.25);
  CHECK(all[0].backfill_tokens == -3);
  CHECK(all[0].closed_until == stored_at + 11h);
  CHECK(all[0].reason == "project_quota");
  CHECK(all[0].message == "used up");
  CHECK(world.run(store->quotas("facebook")).empty());
}

TEST_CASE_METHOD(StateFixture, "a settled fire stays settled, whatever is told later") {
  world.run(store->set_last_planned("facebook", stored_at));
  world.run(store->set_last_planned("facebook", stored_at - 1h));
  CHECK(state().last_planned == stored_at);
}

TEST_CASE_METHOD(StateFixture, "failures are counted until a success, and a partial run is a failure") {
  start_and_end(run_at("a", stored_at), Outcome::failed);
  start_and_end(run_at("b", stored_at + 1h), Outcome::partial);
  CHECK(state().consecutive_failures == 2);
  start_and_end(run_at("c", stored_at + 2h), Outcome::cancelled);
  CHECK(state().consecutive_failures == 2);
  CHECK_FALSE(state().last_succeeded);
  start_and_end(run_at("d", stored_at + 3h), Outcome::succeeded);
  CHECK(state().consecutive_failures == 0);
  CHECK(state().last_succeeded == stored_at + 3h);
}

TEST_CASE_METHOD(StateFixture, "the end of a run counts once although it is told twice") {
  const auto run = run_at("a", stored_at);
  start_and_end(run, Outcome::failed);
  world.run(store->run_ended(ended(run, Outcome::failed)));
  CHECK(state().consecutive_failures == 1);
}

TEST_CASE_METHOD(StateFixture, "a backfill leaves the pipeline's own record alone") {
  start_and_end(run_at("a", stored_at, "backfill"), Outcome::failed);
  start_and_end(run_at("b", stored_at, "backfill"), Outcome::succeeded);
  CHECK_FALSE(state().last_started);
  CHECK_FALSE(state().last_succeeded);
  CHECK(state().consecutive_failures == 0);
  CHECK(world.run(store->runs("facebook", 10)).size() == 2);
}

TEST_CASE_METHOD(StateFixture, "a run is remembered with all that it did") {
  auto run = ended(run_at("a", stored_at + 1us), Outcome::partial);
  run.counts = {.read = 36,
                .inserted = 1,
                .updated = 2,
                .unchanged = 3,
                .duplicate = 4,
                .quarantined = 5,
                .filtered = 21,
                .deleted = 7};
  run.slices_published = 8;
  run.slices_failed = 9;
  run.attempt = 2;
  run.passing = true;
  world.run(store->run_ended(run));
  const auto read = world.run(store->run("a"));
  REQUIRE(read);
  CHECK(read->pipeline == "facebook");
  CHECK(read->trigger == "schedule");
  CHECK(read->planned == run.planned);
  CHECK(read->started == stored_at + 1us);
  CHECK(read->ended == run.ended);
  CHECK(read->outcome == Outcome::partial);
  CHECK(read->message == "no luck");
  CHECK(read->counts.balanced());
  CHECK(read->counts.filtered == 21);
  CHECK(read->counts.deleted == 7);
  CHECK(read->slices_published == 8);
  CHECK(read->slices_failed == 9);
  CHECK(read->attempt == 2);
  CHECK(read->passing);
}

TEST_CASE_METHOD(StateFixture, "runs come newest first, of one pipeline or of all, and no more than asked for") {
  for (int i = 0; i < 5; ++i) world.run(store->run_started(run_at("run" + std::to_string(i), stored_at + i * 1h)));
  auto other = run_at("other", stored_at + 90min);
  other.pipeline = "google";
  world.run(store->run_started(other));
  std::vector<std::string> ids;
  for (const auto& run : world.run(store->runs("", 5))) ids.push_back(run.id);
  CHECK(ids == std::vector<std::string>{"run4", "run3", "run2", "other", "run1"});
  ids.clear();
  for (const auto& run : world.run(store->runs("facebook", 2))) ids.push_back(run.id);
  CHECK(ids == std::vector<std::string>{"run4", "run3"});
}

TEST_CASE_METHOD(StateFixture, "runs that a killed process left open are closed as failures of their own pipeline") {
  world.run(store->run_started(run_at("done", stored_at - 2h)));
  world.run(store->run_ended(ended(run_at("done", stored_at - 2h), Outcome::succeeded)));
  world.run(store->run_started(run_at("open", stored_at - 1h)));
  auto other = run_at("other", stored_at - 1h);
  other.pipeline = "google";
  world.run(store->run_started(other));
  store = reopened();
  const auto closed = world.run(store->close_orphans("facebook"));
  REQUIRE(closed.size() == 1);
  CHECK(closed[0].id == "open");
  const auto run = world.run(store->run("open"));
  CHECK(run->outcome == Outcome::failed);
  CHECK(run->message == "interrupted: the process ended");
  CHECK(run->ended == stored_at);
  CHECK(state().consecutive_failures == 1);
  CHECK_FALSE(world.run(store->run("other"))->ended);
  CHECK(world.run(store->close_orphans("facebook")).empty());
}

TEST_CASE_METHOD(StateFixture, "a backfill that another process makes is no orphan; once that is gone it is one") {
  auto backfill = run_at("open", stored_at - 5min);
  backfill.trigger = "backfill";
  world.run(store->run_started(backfill));
  std::string holder;
  auto lock = try_lock_pipeline(lock_folder(path), backfill_lock("facebook", "march"), "sluice backfill", holder);
  REQUIRE(lock);
  CHECK(world.run(store->close_orphans("facebook")).empty());
  lock->release();
  CHECK(world.run(store->close_orphans("facebook")).size() == 1);
}

TEST_CASE_METHOD(StateFixture, "changes that wait at the same time share a commit") {
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    for (int i = 0; i < 200; ++i)
      group.spawn(store->run_started(run_at("run" + std::to_string(i), stored_at + i * 1s)));
    co_await group.join();
  };
  world.run(body());
  CHECK(world.run(store->runs("", 1000)).size() == 200);
  CHECK(store->commits() <= 3);
}

TEST_CASE_METHOD(StateFixture, "what was handed over is written although the one who did it is cancelled") {
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(store->run_started(run_at("first", stored_at)));
    group.spawn(store->run_started(run_at("second", stored_at)));
    group.cancel();
    co_await group.join();
  };
  world.run(body());
  world.run(store->probe());
  CHECK(world.run(store->runs("", 10)).size() == 2);
}

TEST_CASE_METHOD(StateFixture, "another process reads the state while the daemon writes it") {
  world.run(store->run_started(run_at("a", stored_at)));
  const auto reader = reopened(sqlite::Access::read_only);
  CHECK(world.run(reader->runs("", 10)).size() == 1);
  world.run(store->run_started(run_at("b", stored_at)));
  CHECK(world.run(reader->runs("", 10)).size() == 2);
  world.run(reader->probe());
  CHECK_THROWS_AS(world.run(reader->set_paused("facebook", true)), Error);
}

TEST_CASE_METHOD(StateFixture, "reading a state that does not exist says so and makes nothing") {
  const auto reader = reopened(sqlite::Access::read_only);
  CHECK_THROWS_WITH(world.run(reader->runs("", 10)), Catch::Contains("there is no state at " + path));
  CHECK_FALSE(std::filesystem::exists(folder / "state"));
}

TEST_CASE_METHOD(StateFixture, "a state in a folder that cannot be looked into is not taken for none") {
  std::filesystem::create_symlink(folder / "state", folder / "state");  // root may look into every other one
  const auto reader = reopened(sqlite::Access::read_only);
  CHECK_THROWS_WITH(world.run(reader->runs("", 10)), Catch::Contains("the state " + path + " cannot be seen"));
}

TEST_CASE_METHOD(StateFixture, "the state is for sluice's user only") {
  world.run(store->probe());
  struct stat info {};
  REQUIRE(stat((folder / "state").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE_METHOD(StateFixture, "a state of a later sluice is refused, not guessed at") {
  world.run(store->probe());
  store.reset();
  sqlite::Database(path).exec("PRAGMA user_version = 99");
  store = reopened();
  CHECK_THROWS_WITH(world.run(store->probe()), Catch::Contains("version 99"));
  CHECK_THROWS_AS(world.run(store->pipeline("facebook")), Error);
}

TEST_CASE_METHOD(StateFixture,
                 "a state that a later sluice takes over stays that one's, whatever this one asks of it") {
  world.run(store->probe());
  sqlite::Database later(path);
  later.exec("PRAGMA user_version = 99");
  world.run(store->probe());
  CHECK(later.number("PRAGMA user_version") == 99);
}

TEST_CASE_METHOD(StateFixture,
                 "a change that fails is its own caller's failure, not that of those it shared a commit with") {
  world.run(store->probe());
  {
    sqlite::Database breaker(path);
    breaker.exec(
        "CREATE TRIGGER no BEFORE INSERT ON runs WHEN new.id = 'bad' BEGIN SELECT raise(ABORT, 'refused here'); END");
  }
  std::string message;
  const auto bad = [&]() -> task<void> {
    try {
      co_await store->run_started(run_at("bad", stored_at));
    } catch (const Error& e) {
      message = e.what();
    }
  };
  const auto body = [&]() -> task<void> {
    TaskGroup group(world.executor());
    group.spawn(store->run_started(run_at("good", stored_at)));
    group.spawn(bad());
    group.spawn(store->run_started(run_at("better", stored_at)));
    co_await group.join();
  };
  world.run(body());
  CHECK_THAT(message, Catch::Contains("refused here"));
  CHECK(world.run(store->runs("", 10)).size() == 2);
}

TEST_CASE_METHOD(StateFixture, "old runs are forgotten, open ones never") {
  start_and_end(run_at("old", stored_at - 100h), Outcome::succeeded);
  world.run(store->run_started(run_at("open", stored_at - 100h)));
  start_and_end(run_at("new", stored_at), Outcome::succeeded);
  CHECK(world.run(store->prune(stored_at - 24h)) == 1);
  CHECK_FALSE(world.run(store->run("old")));
  CHECK(world.run(store->runs("", 10)).size() == 2);
}

TEST_CASE_METHOD(StateFixture, "much that is old is forgotten in several transactions") {
  const auto fill = [&]() -> task<void> {
    TaskGroup group(world.executor());
    for (int i = 0; i < 1200; ++i)
      group.spawn(store->run_ended(ended(run_at("old" + std::to_string(i), stored_at - 100h), Outcome::succeeded)));
    co_await group.join();
  };
  world.run(fill());
  const auto commits = store->commits();
  CHECK(world.run(store->prune(stored_at)) == 1200);
  CHECK(store->commits() - commits == 3);
  CHECK(world.run(store->runs("", 10)).empty());
}

TEST_CASE("the state lies where systemd, the desktop or the home says") {
  const auto with = [](const char* state, const char* xdg, const char* home) {
    const auto set = [](const char* name, const char* value) { value ? setenv(name, value, 1) : unsetenv(name); };
    const char* before = std::getenv("HOME");
    const std::string old_home = before ? before : "";
    set("STATE_DIRECTORY", state);
    set("XDG_STATE_HOME", xdg);
    set("HOME", home);
    const auto path = default_state_path();
    set("STATE_DIRECTORY", nullptr);
    set("XDG_STATE_HOME", nullptr);
    set("HOME", old_home.c_str());
    return path;
  };
  CHECK(with("/var/lib/sluice", "/x", "/home/a") == "/var/lib/sluice/state.db");
  CHECK(with("/var/lib/sluice:/var/lib/more", "/x", "/home/a") == "/var/lib/sluice/state.db");
  CHECK(with(nullptr, "/x", "/home/a") == "/x/sluice/state.db");
  CHECK(with(nullptr, nullptr, "/home/a") == "/home/a/.local/state/sluice/state.db");
}
