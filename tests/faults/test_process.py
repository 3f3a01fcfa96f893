#!/usr/bin/env python3
"""Faults of the process: killed, stopped, doubled, reloaded and ended at a bad time."""
import collections
import contextlib
import copy
import ctypes
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import sys
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from checker import Footprint, faults_of
from programs import TODAY, fetch
from proxies import LEDGER, TcpProxy
from world import PIPELINES, FaultCase, ended, killed, strace

SINKS = ("postgres", "sqlite")
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000
NEVER = "300d"  # a schedule that does not fire while a test runs, at whatever hour


def notify_socket(case, world):
    """Where a daemon of the world tells systemd how it is."""
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    case.addCleanup(systemd.close)
    systemd.bind(str(world.folder / "notify"))
    systemd.settimeout(60)
    return systemd


def forget(systemd):
    """What was said before."""
    systemd.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while systemd.recv(4096):
            pass
    systemd.settimeout(60)


class Killed(FaultCase, unittest.TestCase):
    """kill -9: what a slice had not committed is not there, the next run loads it, and nothing twice."""

    def through_proxy(self, pipeline):
        sink = self.sink("postgres")
        proxy = TcpProxy(sink.server.port)
        self.addCleanup(proxy.stop)
        return proxy, self.world(sink, pipeline, sink_settings=sink.settings(proxy.port))

    def kill_at(self, trouble, word, after=b"", published=0):
        """Killed where the sink is asked for `word` the first time after `after`: so many slices are there, or more."""
        for pipeline in PIPELINES:
            with self.subTest(pipeline=pipeline):
                proxy, world = self.through_proxy(pipeline)
                proxy.arm(trouble, word, after)
                program = world.start("run", pipeline)
                proxy.wait(program)
                self.assertEqual(killed(program).code, -signal.SIGKILL)
                proxy.stop()
                self.assert_unbroken(world)
                self.assertGreaterEqual(len(world.sink.loads()), published)
                world.settings["sinks"]["warehouse"] = world.sink.settings()
                world.write()
                again = world.run()
                self.assertEqual(again.code, 0, again)
                self.assert_whole(world)

    def kill_at_calls(self, kind, calls, points):
        """Killed at so many instants of a load, each the beginning of one of these system calls."""
        calm = self.world(self.sink(kind))
        trace = calm.folder / "trace"
        self.assertEqual(calm.run(under=strace(calls, "-o", trace)).code, 0)
        counted = collections.Counter(line.split()[0] for line in trace.read_text().splitlines() if "(" in line)
        most = max(counted.values())  # strace counts the calls of each thread by itself
        self.assertGreater(most, points)
        kills = 0
        for point in range(points):
            nth = 1 + point * (most - 1) // points
            with self.subTest(sink=kind, call=f"{calls} {nth} of {most}"):
                world = self.world(self.sink(kind))
                run = world.run(under=strace(calls, "-o", "/dev/null", "-e", f"inject={calls}:signal=KILL:when={nth}"))
                self.assertIn(run.code, (-signal.SIGKILL, 0))  # a load may have fewer calls than the one that was counted
                kills += run.code != 0
                self.assert_unbroken(world)
                again = world.run()
                self.assertEqual(again.code, 0, again)
                self.assert_whole(world)
        self.assertGreater(kills, points // 2)

    def test_f01_kill_9_before_the_first_request(self):
        for kind in SINKS:
            with self.subTest(sink=kind):
                world = self.world(self.sink(kind))
                run = world.run(under=strace("connect", "-o", "/dev/null", "-e", "inject=connect:signal=KILL:when=1"))
                self.assertEqual(run.code, -signal.SIGKILL, run)
                self.assertEqual(world.sink.loads(), [])
                again = world.run()
                self.assertEqual(again.code, 0, again)
                self.assert_whole(world)

    def test_f02_kill_9_after_the_read_and_before_copy(self):
        self.kill_at("stall", b"COPY ")

    def test_f03_kill_9_in_the_middle_of_copy(self):
        self.kill_at("stall_inside", b"COPY ")

    def test_f03_kill_9_at_instants_of_sending_to_postgres(self):
        self.kill_at_calls("postgres", "sendto", points=6)

    def test_f04_kill_9_between_copy_and_commit(self):
        self.kill_at("stall", b"COMMIT\0", after=LEDGER)

    def test_f05_kill_9_after_commit_was_sent_and_before_its_reply(self):
        self.kill_at("hold_reply", b"COMMIT\0", after=LEDGER, published=1)

    def test_f06_kill_9_at_instants_of_writing_to_the_state(self):
        self.kill_at_calls("postgres", "pwrite64", points=6)  # libpq has no such calls

    def test_f06_kill_9_after_commit_and_before_the_state_knows(self):
        proxy, world = self.through_proxy("facebook")
        proxy.arm("hold_reply", b"COMMIT\0", after=LEDGER)
        world.schedule("1s")
        daemon = world.daemon()
        proxy.wait(daemon)
        killed(daemon)
        proxy.stop()
        world.settings["sinks"]["warehouse"] = world.sink.settings()
        world.write()
        daemon = world.daemon()
        daemon.until("run", world.runs)
        daemon.stop()
        self.assert_whole(world)

    def test_f21_kill_9_at_instants_of_writing_to_sqlite(self):
        self.kill_at_calls("sqlite", "pwrite64", points=6)
        self.kill_at_calls("sqlite", "fdatasync", points=4)


class Ended(FaultCase, unittest.TestCase):
    def test_f07_sigterm_at_each_step_of_publishing_ends_in_order(self):
        for trouble, word in (("stall", b"COPY "), ("stall_inside", b"COPY "), ("stall", b"COMMIT\0"),
                              ("hold_reply", b"COMMIT\0")):
            with self.subTest(step=word, trouble=trouble):
                sink = self.sink("postgres")
                proxy = TcpProxy(sink.server.port)
                self.addCleanup(proxy.stop)
                world = self.world(sink, "facebook", sink_settings=sink.settings(proxy.port))
                world.schedule("1s")
                proxy.arm(trouble, word, after=LEDGER if word == b"COMMIT\0" else b"")
                daemon = world.daemon()
                proxy.wait(daemon)
                daemon.process.send_signal(signal.SIGTERM)
                daemon.until("drain", lambda: not world.is_ready())
                proxy.release()
                self.assertEqual(ended(daemon).code, 0)
                self.assert_whole(world)  # the run that was going on could end within drain_timeout

    def test_f07_a_slice_that_is_being_published_outlives_drain_timeout(self):
        sink = self.sink("postgres")
        proxy = TcpProxy(sink.server.port)
        self.addCleanup(proxy.stop)
        world = self.world(sink, "facebook", "google", sink_settings=sink.settings(proxy.port))
        world.settings["server"]["drain_timeout"] = "1s"
        world.schedule("1s")
        self.api.fault("hang", path="googleAds")
        proxy.arm("stall", b"COMMIT\0", after=LEDGER)
        daemon = world.daemon()
        self.addCleanup(daemon.stop)
        proxy.wait(daemon)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.until("end of the other run, which hangs", lambda: world.runs("cancelled"))  # drain_timeout is over
        time.sleep(3)  # what is not waited for would be gone
        self.assertIsNone(daemon.process.poll(), "it did not wait for its COMMIT")
        published = len(sink.loads())
        proxy.release()
        run = ended(daemon)
        self.assertEqual(run.code, 0, run)
        self.assertEqual(len(sink.loads()), published + 1, run)
        self.assertNotIn("COMMIT", run.said)
        self.api.mend()
        again = world.run()
        self.assertEqual(again.code, 0, again)
        self.assert_whole(world)

    def test_f07_systemd_waits_for_a_backfill_that_is_being_published(self):
        sink = self.sink("postgres")
        proxy = TcpProxy(sink.server.port)
        self.addCleanup(proxy.stop)
        world = self.world(sink, "facebook", sink_settings=sink.settings(proxy.port))
        world.settings["server"]["drain_timeout"] = "1s"
        world.schedule(NEVER)
        systemd = notify_socket(self, world)
        daemon = world.daemon(environment={"NOTIFY_SOCKET": systemd.getsockname()})
        self.addCleanup(daemon.stop)
        proxy.arm("stall", b"COMMIT\0", after=LEDGER)
        day = str(TODAY - datetime.timedelta(1))
        asked = ended(world.start("backfill", "facebook", "--from", day, "--to", day))
        self.assertEqual(asked.code, 0, asked)
        proxy.wait(daemon)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.until("drain", lambda: not world.is_ready())
        time.sleep(4)  # drain_timeout is over, and the backfill cancelled but for its COMMIT
        forget(systemd)
        while b"EXTEND_TIMEOUT_USEC=" not in systemd.recv(4096):
            pass
        self.assertIsNone(daemon.process.poll(), "it did not wait for its COMMIT")
        proxy.release()
        self.assertEqual(ended(daemon).code, 0)
        self.assertTrue(sink.loads())

    def test_f07_sigterm_while_an_api_hangs_aborts_after_drain_timeout(self):
        world = self.world(self.sink("sqlite"), "facebook")
        world.settings["server"]["drain_timeout"] = "1s"
        world.schedule("1s")
        self.api.fault("hang", path="insights")
        daemon = world.daemon()
        daemon.until("hanging request", lambda: self.api.struck("hang"))
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(ended(daemon, 30).code, 0)
        self.assert_unbroken(world)
        self.api.mend()
        again = world.run()
        self.assertEqual(again.code, 0, again)
        self.assert_whole(world)


class Reloaded(FaultCase, unittest.TestCase):
    def test_f08_a_thousand_reloads_good_and_bad_leave_memory_and_descriptors_as_they_were(self):
        world = self.world(self.sink("sqlite"))
        world.schedule(NEVER)
        daemon = world.daemon()
        self.addCleanup(daemon.stop)
        good = world.config.read_text()

        def reload(times):
            for turn in range(times):
                bad = turn % 4 == 3
                world.config.write_text("version: 1\nnonsense: true\n" if bad else
                                        good if turn % 2 else good.replace(NEVER, "301d"))
                try:
                    fetch(world.url + "/api/v1/reload", "POST")
                    self.assertFalse(bad, "a bad file was taken")
                except OSError as refused:
                    self.assertTrue(bad, refused)
            world.config.write_text(good)
            fetch(world.url + "/api/v1/reload", "POST")

        reload(100)
        base = Footprint.of(daemon.process.pid)
        reload(1000)
        self.assert_given_back(daemon, base, memory=4096, descriptors=0, threads=0)
        self.assertIn("sluice_config_last_reload_successful 1", fetch(world.url + "/metrics"))

    def test_f08_a_thousand_reloads_that_change_pipelines_while_they_run_leave_nothing_behind(self):
        """Pipelines come, go and change, and so do their source and their runs' limits."""
        world = self.world(self.sink("sqlite"))
        world.schedule(NEVER)
        still = copy.deepcopy(world.settings)
        daemon = world.daemon()
        self.addCleanup(daemon.stop)

        def reload(settings):
            world.config.write_text(json.dumps(settings, default=str))
            fetch(world.url + "/api/v1/reload", "POST")

        def running():
            """How many runs of each pipeline go on."""
            return re.findall(r"^sluice_pipeline_running\{.*\} (\S+)$", fetch(world.url + "/metrics"), re.MULTILINE)

        def reloads(times, every):
            for turn in range(times):
                settings = copy.deepcopy(still)
                settings["sources"]["google"]["rate_limit"]["burst"] = 1000 + turn
                pipelines = settings["pipelines"]
                pipelines[f"new_{turn % 7}"] = {"source": "meta", "streams": {"adsets": {"table": f"new_{turn % 7}"}}}
                del pipelines[PIPELINES[turn % 3]]
                pipelines[PIPELINES[(turn + 1) % 3]]["timeout"] = f"{1 + turn % 50}m"
                for pipeline in pipelines.values():
                    pipeline["schedule"] = {"every": every}
                if every == "1s" and turn % 25 == 24:
                    daemon.until("run", lambda: "1" in running())
                reload(settings)
            reload(still)
            daemon.until(lambda: f"end of the runs: {running()}", lambda: set(running()) == {"0"})

        reloads(100, NEVER)
        base = Footprint.of(daemon.process.pid)
        reloads(1000, NEVER)
        # A heap takes its last step of a MiB at any time; what each reload kept would be more.
        self.assert_given_back(daemon, base, memory=2048, descriptors=0, threads=0)
        reloads(100, "1s")
        base = Footprint.of(daemon.process.pid)
        reloads(400, "1s")
        # Runs leave connections that are kept for the next ones, and a heap with holes.
        self.assert_given_back(daemon, base, memory=8192)
        self.assertGreater(len(world.runs()), 20)
        self.assertEqual(world.runs("failed"), [])
        self.assertNotIn("new_", fetch(world.url + "/metrics"))
        daemon.stop()
        world.write()
        again = world.run()
        self.assertEqual(again.code, 0, again)
        faults = faults_of(world.sink, self.calm.of("sqlite"))
        self.assertEqual([fault for fault in faults if not fault.startswith("new_")], [])


class Stuck(FaultCase, unittest.TestCase):
    def test_the_watchdog_is_not_fed_while_the_loop_does_not_turn(self):
        world = self.world(self.sink("sqlite"))
        world.schedule(NEVER)
        systemd = notify_socket(self, world)
        daemon = world.daemon(environment={"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "3000000"})
        self.addCleanup(daemon.stop)

        def fed():
            while b"WATCHDOG=1" not in systemd.recv(4096):
                pass

        fed()
        fed()
        # Only the thread of the loop stands still; all others go on.
        pid, nothing = daemon.process.pid, ctypes.c_void_p()
        for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
            self.assertEqual(LIBC.ptrace(request, pid, nothing, nothing), 0, os.strerror(ctypes.get_errno()))
        os.waitpid(pid, WALL)
        forget(systemd)
        time.sleep(8)
        systemd.settimeout(0)
        with self.assertRaises(BlockingIOError, msg="fed though the loop stands still"):
            fed()
        self.assertEqual(LIBC.ptrace(PTRACE_DETACH, pid, nothing, nothing), 0, os.strerror(ctypes.get_errno()))
        systemd.settimeout(60)
        fed()


class Zombie(FaultCase, unittest.TestCase):
    def test_f09_a_process_that_was_stopped_and_wakes_up_after_another_took_over_writes_nothing(self):
        sink = self.sink("postgres")
        proxy = TcpProxy(sink.server.port)
        self.addCleanup(proxy.stop)
        zombie = self.world(sink, "facebook", sink_settings=sink.settings(proxy.port))
        other = self.world(sink, "facebook")  # another machine: its locks are its own
        proxy.arm("stall", b'INSERT INTO "marketing"."_sluice_progress"')
        program = zombie.start("run", "facebook")
        proxy.wait(program)
        program.process.send_signal(signal.SIGSTOP)
        # What it holds in the database, its server ends when nothing comes: here, an administrator.
        sink.ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'sluice'")
        took_over = other.run()
        self.assertEqual(took_over.code, 0, took_over)
        self.assert_whole(other)
        before = sink.loads()
        proxy.release()
        program.process.send_signal(signal.SIGCONT)
        woken = ended(program)
        self.assertIn(woken.code, (0, 1), woken)
        self.assertLessEqual(len(woken.incidents()), 6, woken)
        self.assert_whole(zombie)
        self.assertGreaterEqual(len(sink.loads()), len(before))

    def holder(self, sink, replaced=None):
        """A machine whose process stands still with all that a slice holds, its COMMIT unsent."""
        proxy = TcpProxy(sink.server.port, replaced)
        self.addCleanup(proxy.stop)
        world = self.world(sink, "facebook", sink_settings=sink.settings(proxy.port))
        proxy.arm("stall", b"COMMIT\0", after=LEDGER)
        program = world.start("run", "facebook", "--stream", "campaigns")
        proxy.wait(program)
        # In the middle of the other account's COPY no time limit of the server would count.
        program.until("slice of the other account", sink.loads)
        program.process.send_signal(signal.SIGSTOP)

        def wake():
            proxy.release()
            program.process.send_signal(signal.SIGCONT)
            return ended(program)

        return wake

    def test_f09_who_waits_for_a_stopped_process_gets_what_it_held_once_the_server_has_ended_its_session(self):
        sink = self.sink("postgres")
        # The five minutes that the server gives a transaction in which nothing happens.
        wake = self.holder(sink, {b"'300000'": b"'003000'"})
        other = self.world(sink, "facebook")
        program = other.start("run", "facebook")
        program.until("session that waits", lambda: sink.ask(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'sluice' AND wait_event_type = 'Lock'"))
        took_over = ended(program)
        self.assertEqual((took_over.code, took_over.incidents()), (0, []), took_over)
        woken = wake()
        # 1 where the two began in different seconds: then the other's window is another one, and has taken over.
        self.assertIn(woken.code, (0, 1), woken)
        self.assert_says(woken, "the connection was lost during COMMIT", lines=4)
        self.assert_whole(other)

    def test_f09_who_cannot_wait_that_long_says_so_once_and_the_stopped_process_goes_on_where_it_was(self):
        sink = self.sink("postgres")
        wake = self.holder(sink)
        # The minute that publishing waits for a lock.
        impatient = TcpProxy(sink.server.port, {b"\0\0\0\x0560000": b"\0\0\0\x0500500"})
        self.addCleanup(impatient.stop)
        other = self.world(sink, "facebook", sink_settings=sink.settings(impatient.port))
        waited = other.run()
        self.assertEqual(waited.code, 1, waited)
        self.assert_says(waited, "facebook ", "another session holds a lock on the table")
        woken = wake()
        self.assertEqual((woken.code, woken.incidents()), (0, []), woken)
        self.assert_whole(other)
        again = other.run()
        self.assertEqual((again.code, again.incidents()), (0, []), again)
        self.assert_whole(other)

    def test_f09_a_daemon_that_was_stopped_is_ready_as_soon_as_it_goes_on(self):
        """It has not looked at its state for long then, which says nothing about the state."""
        world = self.world(self.sink("sqlite"))
        world.schedule(NEVER)
        daemon = world.daemon()
        self.addCleanup(daemon.stop)
        base = Footprint.of(daemon.process.pid)
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(5)  # a state that does not answer counts as gone after three
        asked = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(20)]
        for connection in asked:  # the first that it does when it goes on
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        daemon.process.send_signal(signal.SIGCONT)
        for connection in asked:
            with connection:
                self.assertIn(b"200 OK", connection.makefile("rb").readline())
        self.assert_given_back(daemon, base, descriptors=8, threads=4)


class Doubled(FaultCase, unittest.TestCase):
    def test_f10_two_daemons_of_one_machine_the_second_leaves_the_pipelines_alone(self):
        world = self.world(self.sink("sqlite"), "facebook")
        world.schedule("1s")
        first = world.daemon()
        self.addCleanup(first.stop)
        first.until("run", world.runs)
        run = world.run()
        self.assertEqual(run.code, 75, run)
        self.assertIn("sluice serve", run.said)
        first.stop()
        self.assert_whole(world)

    def test_f10_two_daemons_of_two_machines_share_a_sink_without_losing_or_doubling(self):
        for kind in SINKS:
            with self.subTest(sink=kind):
                sink = self.sink(kind)
                worlds = [self.world(sink), self.world(sink)]
                for world in worlds:
                    world.schedule("1s")
                daemons = [world.daemon() for world in worlds]
                bases = []
                for world, daemon in zip(worlds, daemons):
                    daemon.until("six runs", lambda world=world: len(world.runs()) >= 6)
                    bases.append(Footprint.of(daemon.process.pid))
                for world, daemon, base in zip(worlds, daemons, bases):
                    daemon.until("ten runs", lambda world=world: len(world.runs()) >= 10)
                    self.assert_given_back(daemon, base)
                for daemon in daemons:
                    daemon.process.send_signal(signal.SIGTERM)
                for daemon in daemons:
                    self.assertEqual(ended(daemon).code, 0, daemon.text()[-3000:])
                again = worlds[0].run()
                self.assertEqual(again.code, 0, again)
                self.assert_whole(worlds[0])


if __name__ == "__main__":
    unittest.main()
