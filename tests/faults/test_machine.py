#!/usr/bin/env python3
"""Faults of the machine: no memory, no descriptors, logs that nobody takes or that are rotated, folders that cannot be
written."""
import fcntl
import os
import pathlib
import re
import resource
import signal
import socket
import sys
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from checker import Footprint
from programs import fetch
from world import FaultCase, ended, with_mount


def with_stderr(redirection):
    return ["sh", "-c", f'exec "$@" {redirection}', "sh"]


def lost_lines(world):
    return int(re.search(r"^sluice_log_lines_dropped (\d+)$", fetch(world.url + "/metrics"), re.MULTILINE)[1])


class Log(FaultCase, unittest.TestCase):
    def test_f45_a_log_on_a_full_disk_costs_lines_and_no_row(self):
        world = self.world(self.sink("sqlite"))
        run = world.run(under=with_stderr("2>/dev/full"))
        self.assertEqual(run.code, 0, run)
        self.assert_whole(world)

    def test_f45_a_daemon_counts_the_lines_that_a_full_disk_costs(self):
        world = self.world(self.sink("sqlite"), "facebook")
        world.schedule("1s")
        daemon = world.daemon(under=with_stderr("2>/dev/full"))
        self.addCleanup(daemon.stop)
        daemon.until("two runs", lambda: len(world.runs()) >= 2)
        daemon.until("lost lines", lambda: lost_lines(world) > 0)
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(ended(daemon).code, 0)
        self.assert_whole(world)

    def test_f45_a_log_that_nobody_reads_does_not_stop_the_daemon(self):
        world = self.world(self.sink("sqlite"))
        world.schedule("1s")
        fifo = world.folder / "log"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        daemon = world.daemon(under=with_stderr(f'--log-level debug 2>"{fifo}"'))
        self.addCleanup(daemon.stop)
        daemon.until("six runs", lambda: len(world.runs()) >= 6)
        base = Footprint.of(daemon.process.pid)
        daemon.until("ten runs", lambda: len(world.runs()) >= 10)
        self.assert_given_back(daemon, base)
        daemon.until("lines that are given up", lambda: lost_lines(world) > 0)
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(ended(daemon).code, 0)
        self.assert_whole(world)

    def test_f46_rotation_by_copytruncate_and_by_rename(self):
        world = self.world(self.sink("sqlite"))
        log = world.folder / "rotated.log"
        daemon = world.daemon(under=with_stderr(f'2>>"{log}"'))
        self.addCleanup(daemon.stop)

        def reloaded(file):
            fetch(world.url + "/api/v1/reload", "POST")
            return daemon.until("line", lambda: "reloaded" in file.read_text())

        reloaded(log)
        os.truncate(log, 0)
        reloaded(log)
        self.assertNotIn(b"\0", log.read_bytes(), "it wrote behind a hole")
        log.rename(renamed := world.folder / "rotated.log.1")
        before = renamed.stat().st_size
        fetch(world.url + "/api/v1/reload", "POST")
        daemon.until("line in the renamed file", lambda: renamed.stat().st_size > before)


class Folder(FaultCase, unittest.TestCase):
    def refuses(self, world, *says, **how):
        """It does not start, and one line says why."""
        for command in (("serve",), ("run", "facebook")):
            refused = ended(world.start(*command, **how), 30)
            self.assertIn(refused.code, (1, 75, 78), refused)
            lines = [line for line in refused.said.splitlines() if line.strip()]
            self.assertLessEqual(len(lines), 3, refused)
            for part in says:
                self.assertIn(part, refused.said)

    def test_f45_a_state_without_room_is_one_message_and_loses_nothing(self):
        world = self.world(self.sink("sqlite"), "facebook")
        state = world.folder / "state"
        state.mkdir()
        world.settings["state"]["url"] = f"sqlite://{state}/state.db"
        world.write()
        run = world.run(under=with_mount(f'mount -t tmpfs -o size=4k tmpfs "{state}"'))
        self.assertEqual(run.code, 75, run)
        self.assert_says(run, "state.db", "free space")
        self.assert_unbroken(world)
        again = world.run()
        self.assertEqual(again.code, 0, again)
        self.assert_whole(world)

    def test_f47_a_read_only_file_system_for_the_state_is_said_and_nothing_starts(self):
        world = self.world(self.sink("sqlite"), "facebook")
        self.refuses(world, str(world.folder), under=with_mount(
            f'mount --bind "{world.folder}" "{world.folder}" && mount -o remount,ro,bind "{world.folder}"'))
        self.assertEqual(world.run().code, 0)
        self.assert_whole(world)

    def test_f47_a_file_in_the_place_of_the_folder_is_named(self):
        world = self.world(self.sink("sqlite"), "facebook")
        (world.folder / "state").write_text("")
        world.settings["state"]["url"] = f"sqlite://{world.folder}/state/state.db"
        world.write()
        self.refuses(world, f"{world.folder}/state")


class OutOf(FaultCase, unittest.TestCase):
    def test_f11_without_memory_a_run_fails_or_dies_and_the_next_one_loads_everything(self):
        for kind, most in (("postgres", 80), ("sqlite", 200)):
            world = self.world(self.sink(kind))
            ends = []
            for mebibytes in range(40, most, 8 if kind == "postgres" else 20):
                with self.subTest(sink=kind, mebibytes=mebibytes):
                    run = world.run(under=["prlimit", f"--as={mebibytes << 20}"])
                    self.assertIn(run.code, (0, 1, 75, 127, -signal.SIGABRT, -signal.SIGKILL), run)
                    self.assertNotRegex(run.said, r"(?m)^(sluice: |.* failed in ).*bad_alloc")
                    self.assert_unbroken(world)
                    ends.append(run.code)
            self.assertTrue(set(ends) - {0, 127}, ends)  # 127: its libraries alone were too much
            again = world.run()
            self.assertEqual(again.code, 0, again)
            self.assert_whole(world)

    def test_f12_without_descriptors_the_listener_waits_and_recovers_and_pipelines_go_on(self):
        world = self.world(self.sink("sqlite"))
        world.schedule("1s")
        daemon = world.daemon()
        self.addCleanup(daemon.stop)
        pid = daemon.process.pid
        daemon.until("runs", lambda: len(world.runs()) >= 6)
        base = Footprint.of(pid)
        plenty = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (base.descriptors + 8, plenty[1]))
        flood = []
        for _ in range(64):
            flood.append(socket.create_connection(("127.0.0.1", world.port), timeout=10))

        def spent():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        daemon.until("lack", lambda: Footprint.of(pid).descriptors >= base.descriptors + 6)
        before, since = spent(), time.monotonic()
        daemon.until("quarter of a minute", lambda: time.monotonic() - since > 4)
        self.assertLess(spent() - before, 0.6 * (time.monotonic() - since), "it turns in circles")
        self.assertIsNone(daemon.process.poll())
        for connection in flood:
            connection.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, plenty)
        daemon.until("an answer", lambda: fetch(world.url + "/readyz"))
        before = len(world.runs())
        daemon.until("further runs", lambda: len(world.runs()) > before + 3)
        self.assert_given_back(daemon, base)
        daemon.stop()
        self.assertLess(len(daemon.text().splitlines()), 60, "one message, not hundreds")
        self.assert_whole(world)


if __name__ == "__main__":
    unittest.main()
