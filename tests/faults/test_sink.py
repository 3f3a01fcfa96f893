#!/usr/bin/env python3
"""Faults of the sink: a server that crashes, ends sessions, refuses them, locks, is full; a file that cannot be written."""
import unittest

from proxies import LEDGER, TcpProxy
from world import PIPELINES, FaultCase, ended, strace


class Server(FaultCase, unittest.TestCase):
    def setUp(self):
        self.pg = self.sink("postgres")

    def through_proxy(self, *pipelines):
        proxy = TcpProxy(self.pg.server.port)
        self.addCleanup(proxy.stop)
        return proxy, self.world(self.pg, *pipelines, sink_settings=self.pg.settings(proxy.port))

    def assert_next_run_is_whole(self, world):
        again = world.run()
        self.assertEqual(again.code, 0, again)
        self.assert_whole(world)

    def test_f14_the_server_crashes_in_the_middle_of_copy_and_comes_back(self):
        proxy, world = self.through_proxy("facebook")
        proxy.arm("stall_inside", b"COPY ")
        program = world.start("run", "facebook")
        proxy.wait(program)
        self.pg.close()
        self.pg.server.stop_immediately()
        proxy.release()
        self.pg.server.start()
        survived = ended(program)
        self.assertIn(survived.code, (0, 1), survived)  # the server may need longer than a slice is tried
        self.assertLessEqual(len(survived.incidents()), 6, survived)
        self.assert_unbroken(world)
        self.assert_next_run_is_whole(world)

    def test_f14_a_server_that_stays_away_is_one_message(self):
        self.pg.server.stop_immediately()
        world = self.world(self.pg, "facebook")
        try:
            down = world.run()
        finally:
            self.pg.server.start()
        self.assertEqual(down.code, 1, down)
        self.assert_says(down, "facebook failed", "refused")
        self.assert_next_run_is_whole(world)

    def test_f15_sessions_that_an_administrator_ends_during_a_load_of_all_connectors(self):
        world = self.world(self.pg)
        program = world.start("run", *PIPELINES)
        left = 8
        while program.process.poll() is None and left:
            left -= int(self.pg.ask("SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE "
                                    "application_name = 'sluice' AND datname = current_database() AND query ~ "
                                    "'COPY|INSERT|COMMIT' LIMIT 1) AS one")[0])
        survived = ended(program)
        self.assertIn(survived.code, (0, 1), survived)
        self.assertLess(left, 8, "none was ended")
        self.assertLessEqual(len(survived.incidents()), 12, survived)
        self.assert_unbroken(world)
        self.assert_next_run_is_whole(world)

    def test_f16_a_lock_of_somebody_else_is_waited_for(self):
        world = self.world(self.pg, "facebook")
        self.assertEqual(world.run("facebook", "--stream", "campaigns").code, 0)
        other = self.pg.server.connect(self.pg.database)
        self.addCleanup(other.close)
        other.ask("BEGIN; LOCK TABLE marketing._sluice_progress IN EXCLUSIVE MODE")
        program = world.start("run", "facebook")
        program.until("session that waits", lambda: self.pg.ask(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'sluice' AND wait_event_type = 'Lock'"))
        other.ask("COMMIT")
        waited = ended(program)
        self.assertEqual((waited.code, waited.incidents()), (0, []), waited)
        self.assert_whole(world)

    def test_f16_a_deadlock_costs_a_slice_another_try_and_no_row(self):
        world = self.world(self.pg, "facebook")
        self.assertEqual(world.run().code, 0)
        self.pg.ask("UPDATE meta_insights SET impressions = impressions + 1000")  # so that the next run writes
        self.pg.ask(f"ALTER DATABASE {self.pg.database} SET deadlock_timeout = '2s'")
        other = self.pg.server.connect(self.pg.database)
        self.addCleanup(other.close)
        other.ask("SET search_path = marketing; SET deadlock_timeout = '60s'; BEGIN; "
                  "SELECT 1 FROM meta_insights FOR UPDATE")
        program = world.start("run", "facebook", "--full-refresh")
        program.until("session that waits", lambda: self.pg.ask(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'sluice' AND wait_event_type = 'Lock'"))
        other.send("UPDATE _sluice_progress SET updated_at = updated_at; COMMIT")
        list(other.lines())  # it goes through once sluice's side was chosen to give way
        survived = ended(program)
        self.assertEqual(survived.code, 0, survived)
        self.assertIn("deadlock", self.pg.server.log.read_text())
        self.assertLessEqual(len(survived.incidents()), 3, survived)
        self.assert_whole(world)

    def refused(self, world, *says):
        """It fails with one message that says this, and has not asked again and again."""
        before = self.pg.server.log.read_text().count("FATAL")
        failed = world.run()
        self.assertEqual(failed.code, 1, failed)
        self.assert_says(failed, *says)
        return self.pg.server.log.read_text().count("FATAL") - before

    def grant_loader(self):
        self.pg.ask(f"GRANT ALL ON DATABASE {self.pg.database} TO loader")

    def loader_world(self, password):
        settings = {**self.pg.settings(user="loader"), "password": {"env": "PASSWORD"}}
        world = self.world(self.pg, "facebook", sink_settings=settings)
        start = world.start
        world.start = lambda *a, **k: start(*a, **{**k, "environment": {"PASSWORD": password}})
        return world

    def test_f17_a_wrong_password_stops_at_once_and_says_what_to_do(self):
        self.grant_loader()
        wrong = self.loader_world("wrong-password")
        self.assertLessEqual(self.refused(wrong, "facebook failed", "check the user and the password"), 4)
        # The server repeats the role's name: where the password is the same, it is hidden, in the last line too.
        same = self.loader_world("loader").run()
        self.assertEqual(same.code, 1, same)
        self.assertNotIn("loader", same.said)
        right = self.loader_world("let-me-in")
        self.assert_next_run_is_whole(right)

    def test_f17_a_server_without_a_connection_left_is_a_passing_failure(self):
        self.grant_loader()
        world = self.loader_world("let-me-in")
        self.pg.ask("ALTER ROLE loader CONNECTION LIMIT 0")
        try:
            self.assertLessEqual(self.refused(world, "facebook failed", "no connection left"), 40)
        finally:
            self.pg.ask("ALTER ROLE loader CONNECTION LIMIT -1")
        self.assert_next_run_is_whole(world)

    def test_f18_a_lost_reply_to_commit_is_found_out_about_by_each_connector(self):
        for pipeline in PIPELINES:
            with self.subTest(pipeline=pipeline):
                self.pg = self.sink("postgres")
                proxy, world = self.through_proxy(pipeline)
                proxy.arm("lose_reply", b"COMMIT\0", after=LEDGER)
                survived = world.run()
                self.assertTrue(proxy.struck.is_set())
                self.assertEqual(survived.code, 0, survived)
                self.assert_whole(world)

    def test_f18_a_commit_that_did_not_arrive_is_repeated_by_each_connector(self):
        for pipeline in PIPELINES:
            with self.subTest(pipeline=pipeline):
                self.pg = self.sink("postgres")
                proxy, world = self.through_proxy(pipeline)
                proxy.arm("cut", b"COMMIT\0", after=LEDGER)
                survived = world.run()
                self.assertTrue(proxy.struck.is_set())
                self.assertEqual(survived.code, 0, survived)
                self.assert_whole(world)


class File(FaultCase, unittest.TestCase):
    """An SQLite file on a disk that is full or fails."""

    def fails_then_loads(self, world, *says, **how):
        """With the fault a run fails and says this; without it the next one loads everything."""
        failed = world.run(**how)
        self.assertEqual(failed.code, 1, failed)
        self.assert_says(failed, *says, lines=4)
        self.assert_unbroken(world)
        again = world.run()
        self.assertEqual(again.code, 0, again)
        self.assert_whole(world)

    def faulty(self, world, fault):
        """strace counts the calls of each thread by itself: each try of a slice meets the fault."""
        return strace("pwrite64,fdatasync,fsync", "-o", "/dev/null", "-P", str(world.sink.path), "-P",
                      f"{world.sink.path}-wal", "-e", f"inject={fault}")

    def test_f21_no_space_left_at_the_first_write_and_in_the_middle(self):
        for nth in (1, 3):
            with self.subTest(write=nth):
                world = self.world(self.sink("sqlite"), "facebook")
                self.fails_then_loads(world, "facebook", "free space",
                                      under=self.faulty(world, f"pwrite64:error=ENOSPC:when={nth}+"))

    def test_f21_a_disk_that_fails_to_write(self):
        world = self.world(self.sink("sqlite"), "facebook")
        self.fails_then_loads(world, "facebook", "disk I/O error",
                              under=self.faulty(world, "pwrite64:error=EIO:when=3+"))

    def test_f21_a_file_that_may_not_grow_is_no_crash(self):
        world = self.world(self.sink("sqlite"), "facebook")
        self.fails_then_loads(world, "facebook", "free space", under=["prlimit", f"--fsize={96 << 10}"])

    def test_f22_a_failing_fsync_of_the_file_is_not_taken_for_done(self):
        world = self.world(self.sink("sqlite"), "facebook")
        self.fails_then_loads(world, "facebook", "disk I/O error",
                              under=self.faulty(world, "fdatasync,fsync:error=EIO:when=1+"))

    def test_f16_a_file_that_somebody_else_writes_is_waited_for(self):
        world = self.world(self.sink("sqlite"), "facebook")
        self.assertEqual(world.run().code, 0)
        world.sink.change("UPDATE meta_insights SET impressions = impressions + 1000")
        with world.sink.locked():
            program = world.start("run", "facebook", "--full-refresh")
            program.until("message", lambda: "holds the file's write lock" in program.text())
        waited = ended(program)
        self.assertEqual((waited.code, len(waited.incidents())), (0, 1), waited)
        self.assert_whole(world)


if __name__ == "__main__":
    unittest.main()
