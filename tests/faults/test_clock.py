#!/usr/bin/env python3
"""Faults of time: clocks that jump, machines that are suspended or down, zones whose clocks change."""
import datetime
import pathlib
import signal
import subprocess
import time
import unittest

from world import FAKETIME, PIPELINES, FaultCase, ended

ZONES = pathlib.Path("/usr/share/zoneinfo")


def instant(seconds):
    """Since 1970, as the API gives it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def planned(world, pipeline):
    """The fires of its schedule that were run, the oldest first."""
    return sorted(run["planned"] for run in world.runs() if (run["pipeline"], run["trigger"]) == (pipeline, "schedule"))


@unittest.skipUnless(FAKETIME.exists(), "no libfaketime (deploy/install-packages.sh test)")
class Clock(FaultCase, unittest.TestCase):
    def daemon(self, world):
        """By a clock that is as many seconds ahead as the world's file `clock` says."""
        daemon = world.daemon(environment={
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(world.folder / "clock"), "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
        self.addCleanup(daemon.stop)
        return daemon

    def set_clock(self, world, ahead):
        (world.folder / "clock").write_text(f"+{ahead}\n")

    def run_by_hand(self, world, daemon, pipeline):
        """It shows that the daemon noticed a jump; by itself it looks at the clock once a minute."""
        def by_hand():
            return sum(run["trigger"] == "manual" for run in world.runs())

        before = by_hand()
        daemon.until("place for a run by hand", lambda: world.trigger(pipeline))
        daemon.until("run by hand", lambda: by_hand() > before)

    def test_f42_a_clock_that_jumps_an_hour_forward_and_back_repeats_no_fire(self):
        world = self.world(self.sink("sqlite"), "facebook")
        world.schedule("2s")
        self.set_clock(world, 0)
        daemon = self.daemon(world)

        def jump(to):
            self.set_clock(world, to)
            self.run_by_hand(world, daemon, "facebook")

        def fires():
            return planned(world, "facebook")

        first = daemon.until("run", fires)[-1]
        jump(3600)
        ahead = daemon.until("run an hour later", lambda: [at for at in fires() if at[:13] > first[:13]])[-1]
        self.assertGreater(ahead, first)
        jump(0)
        jump(7200)
        daemon.until("run two hours later", lambda: [at for at in fires() if at[:13] > ahead[:13]])
        self.assertEqual(len(fires()), len(set(fires())), "a fire was repeated")
        daemon.stop()
        self.assert_whole(world)

    def test_f44_fires_that_were_missed_while_the_machine_slept_or_was_down_are_made_up_for_as_missed_says(self):
        world = self.world(self.sink("sqlite"))
        for pipeline, missed in zip(PIPELINES, ("latest", "all", "none")):
            world.settings["pipelines"][pipeline]["schedule"] = {"every": "1h", "missed": missed}
        world.write()
        # Half past an hour: no fire falls due while the test runs.
        half_past = int(1800 - time.time()) % 3600
        hour = (int(time.time()) + half_past) // 3600 * 3600
        first, second = ([instant(hour + n * 3600) for n in hours] for hours in ((1, 2, 3), (4, 5, 6)))

        def await_fires(latest, all_of_them):
            wanted = dict(zip(PIPELINES, (latest, all_of_them, [])))
            daemon.until(lambda: f"fires {wanted}", lambda: wanted == {name: planned(world, name) for name in PIPELINES})

        self.set_clock(world, half_past)
        daemon = self.daemon(world)
        daemon.process.send_signal(signal.SIGSTOP)
        self.set_clock(world, half_past + 3 * 3600)
        daemon.process.send_signal(signal.SIGCONT)
        self.run_by_hand(world, daemon, "app")
        await_fires(first[-1:], first)
        daemon.stop()
        self.set_clock(world, half_past + 6 * 3600)
        daemon = self.daemon(world)
        await_fires([first[-1], second[-1]], first + second)
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(ended(daemon).code, 0)
        self.assert_whole(world)


class ClocksThatChange(FaultCase, unittest.TestCase):
    """Zones of the test's own, in which the clocks change by ten seconds while it runs."""

    def zones(self, change):
        """Test/Gap, where they are put forward at that instant, and Test/Fold, where they are put back; and all others."""
        folder = self.folder / f"zones-{change}"
        folder.mkdir()
        for entry in ZONES.iterdir():
            (folder / entry.name).symlink_to(entry)
        at = datetime.datetime.fromtimestamp(change, datetime.timezone.utc).strftime("%Y %b %d %H:%M:%Su")
        (folder / "source").write_text(f"Zone Test/Gap 0 - AAA {at}\n0:00:10 - BBB\n"
                                       f"Zone Test/Fold 0 - AAA {at}\n-0:00:10 - BBB\n")
        subprocess.run(["/usr/sbin/zic", "-d", folder, folder / "source"], check=True)
        return folder

    def daemons(self, change):
        """One for each zone. In each a pipeline for each rule, due five seconds into the gap, or before the fold."""
        zones, daemons = self.zones(change), []
        for zone, due in (("Gap", change + 5), ("Fold", change - 5)):
            world = self.world(self.sink("sqlite"))
            cron = datetime.datetime.fromtimestamp(due, datetime.timezone.utc).strftime("%S %M %H * * *")
            for pipeline, dst in zip(PIPELINES, ("once", "skip", "both")):
                world.settings["pipelines"][pipeline]["schedule"] = {"cron": cron, "timezone": f"Test/{zone}", "dst": dst}
            world.write()
            world.environment = {"TZDIR": str(zones)}
            daemons.append((world, world.start("serve", environment=world.environment)))
            self.addCleanup(daemons[-1][1].stop)
        for world, daemon in daemons:
            daemon.until("sluice", world.is_ready)
        return daemons

    def test_f43_a_fire_that_a_change_of_the_clocks_skips_or_repeats_is_run_as_dst_says(self):
        self.calm.of("sqlite")
        for lead in (12, 30, 90):  # a slow machine needs more
            change = int(time.time()) + lead
            daemons = self.daemons(change)
            if time.time() < change - 6:
                break
            for _, daemon in daemons:
                daemon.stop()
        else:
            self.fail("no sluice is ready in time")
        before, at, after = instant(change - 5), instant(change), instant(change + 5)
        for (world, daemon), fires in zip(daemons, (([at], [], [at]), ([before], [before], [before, after]))):
            fires = dict(zip(PIPELINES, fires))
            daemon.until(lambda: f"fires {fires}", lambda: fires == {name: planned(world, name) for name in PIPELINES})
            for pipeline in PIPELINES:
                daemon.until("next day", lambda: world.status(pipeline)["next_fire"] > instant(change + 20 * 3600))
            daemon.process.send_signal(signal.SIGTERM)
            self.assertEqual(ended(daemon).code, 0)
            again = world.run(environment=world.environment)
            self.assertEqual(again.code, 0, again)
            self.assert_whole(world)


if __name__ == "__main__":
    unittest.main()
