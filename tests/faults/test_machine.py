#!/usr/bin/env python3
"""Faults of the machine: clocks that jump, logs that nobody takes or that are rotated, folders that cannot be written."""
import fcntl
import os
import pathlib
import signal
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import fetch
from world import FaultCase, ended, with_mount

FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def with_stderr(redirection):
    return ["sh", "-c", f'exec "$@" {redirection}', "sh"]


class Clock(FaultCase, unittest.TestCase):
    @unittest.skipUnless(FAKETIME.exists(), "no libfaketime (deploy/install-packages.sh test)")
    def test_f42_a_clock_that_jumps_an_hour_forward_and_back_repeats_no_fire(self):
        world = self.world(self.sink("sqlite"), "facebook")
        world.schedule("2s")
        clock = world.folder / "clock"
        clock.write_text("+0\n")
        daemon = world.daemon(environment={
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
        self.addCleanup(daemon.stop)

        def planned():
            return [run["planned"] for run in world.runs() if run["trigger"] == "schedule"]

        def jump(to):
            """A run by hand shows that it noticed; by itself it looks at the clock once a minute."""
            clock.write_text(to + "\n")
            by_hand = sum(run["trigger"] == "manual" for run in world.runs())
            daemon.until("place for a run by hand", trigger)
            daemon.until("run by hand", lambda: sum(run["trigger"] == "manual" for run in world.runs()) > by_hand)

        def trigger():
            return fetch(world.url + "/api/v1/pipelines/facebook/trigger", "POST")

        first = daemon.until("run", planned)[0]
        jump("+3600")
        ahead = daemon.until("run an hour later", lambda: [at for at in planned() if at[:13] > first[:13]])[0]
        self.assertGreater(ahead, first)
        jump("+0")
        jump("+7200")
        daemon.until("run two hours later", lambda: [at for at in planned() if at[:13] > ahead[:13]])
        fires = planned()
        self.assertEqual(len(fires), len(set(fires)), "a fire was repeated")
        daemon.stop()
        self.assert_whole(world)


class Log(FaultCase, unittest.TestCase):
    def test_f45_a_log_on_a_full_disk_costs_lines_and_no_row(self):
        world = self.world(self.sink("sqlite"))
        run = world.run(under=with_stderr("2>/dev/full"))
        self.assertEqual(run.code, 0, run)
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
        daemon.until("ten runs", lambda: len(world.runs()) >= 10)
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


if __name__ == "__main__":
    unittest.main()
