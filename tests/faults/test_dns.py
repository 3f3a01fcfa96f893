#!/usr/bin/env python3
"""Faults of DNS: names that take seconds, that are never answered, that move. The system's own look-up cannot be
interrupted; sluice waits for it beside all else, and for ten seconds at most."""
import signal
import unittest

from checker import Footprint
from names import NEVER, Names
from world import FaultCase, ended

HERE = "127.0.0.1"
MINUTES = "timeout:30 attempts:5"  # what the system's look-up takes for a server that is silent


class Dns(FaultCase, unittest.TestCase):
    def names(self, patience, **known):
        names = Names(self.folder, patience)
        self.addCleanup(names.stop)
        names.known = {f"{name}.example": answer for name, answer in known.items()}
        return names

    def call(self, world, **hosts):
        """The sources and the sink of that world by these names."""
        def named(url, host):
            return url.replace(HERE, f"{host}.example")

        for name, host in hosts.items():
            settings = world.settings["sources"].get(name) or world.settings["sinks"][name]
            for key in {"base_url", "token_url", "url"} & set(settings):
                settings[key] = named(settings[key], host)
        world.write()

    def test_f26_a_name_that_is_never_answered_holds_up_nobody_else(self):
        names = self.names(MINUTES, silent=(HERE, NEVER), quick=(HERE, 0))
        world = self.world(self.sink("sqlite"))
        self.call(world, meta="silent", google="quick")
        world.settings["sources"]["meta"]["retry"]["attempts"] = 1
        world.schedule("1s")
        daemon = world.daemon(under=names.under)
        self.addCleanup(daemon.stop)
        daemon.until("look-up", lambda: names.asked["silent.example"])

        def ran(pipeline, outcome="succeeded"):
            return [run for run in world.runs(outcome) if run["pipeline"] == pipeline]

        daemon.until("runs of the others", lambda: len(ran("google")) >= 3 and len(ran("app")) >= 3)
        self.assertEqual(ran("facebook", "failed"), [], "the others waited for it")
        self.assertTrue(world.is_ready())
        failed = daemon.until("failed run", lambda: ran("facebook", "failed"))
        self.assertIn("looking up the address of silent.example took too long", failed[-1]["message"])
        base = Footprint.of(daemon.process.pid)
        daemon.until("three failed runs", lambda: len(ran("facebook", "failed")) >= 3)
        self.assert_given_back(daemon, base, threads=0)  # the threads of each try too
        self.assertEqual(ran("google", "failed") + ran("app", "failed"), [])
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(ended(daemon, 60).code, 0, "it waited for the look-up")
        self.assert_unbroken(world)

    def test_f26_a_database_whose_name_is_never_answered_is_one_message(self):
        names = self.names(MINUTES, silent=(HERE, NEVER))
        world = self.world(self.sink("postgres"), "facebook")
        self.call(world, warehouse="silent")
        failed = world.run(under=names.under)
        self.assertEqual(failed.code, 1, failed)
        self.assert_says(failed, "facebook failed", "silent.example", "look at the name and at this machine's DNS")
        names.known["silent.example"] = (HERE, 0)
        again = world.run(under=names.under)
        self.assertEqual(again.code, 0, again)
        self.assert_whole(world)

    def test_f26_names_that_take_seconds_cost_neither_a_row_nor_a_line(self):
        names = self.names("timeout:5", slow=(HERE, 2))
        world = self.world(self.sink("postgres"))
        self.call(world, meta="slow", google="slow", app="slow", warehouse="slow")
        run = world.run(under=names.under)
        self.assertEqual((run.code, run.incidents()), (0, []), run)
        self.assert_whole(world)

    def test_f26_a_name_that_moves_is_followed_without_a_restart(self):
        names = self.names("timeout:5", moving=("127.0.0.9", 0))  # where nobody listens
        world = self.world(self.sink("sqlite"), "facebook")
        self.call(world, meta="moving")
        world.schedule("1s")
        daemon = world.daemon(under=names.under)
        self.addCleanup(daemon.stop)
        failed = daemon.until("failed run", lambda: world.runs("failed"))
        self.assertIn("cannot connect to moving.example", failed[0]["message"])
        names.known["moving.example"] = (HERE, 0)
        daemon.until("run that succeeds", world.runs)
        daemon.stop()
        self.assert_whole(world)


if __name__ == "__main__":
    unittest.main()
