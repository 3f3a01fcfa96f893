#!/usr/bin/env python3
"""A hundred times kill -9 at random instants, and a slice that kills whoever reads it. SLUICE_SEED repeats the instants of a
run that failed."""
import os
import random
import signal
import unittest

from crashing import Crashes
from proxies import HttpProxy
from world import FaultCase, ended


class CrashLoop(FaultCase, unittest.TestCase):
    kills = 50  # for each sink

    def crash(self, kind):
        seed = int(os.environ.get("SLUICE_SEED", random.randrange(1 << 32)))
        print(f"{kind}: SLUICE_SEED={seed}", flush=True)
        crashes = Crashes(lambda: self.world(self.sink(kind)), self.calm.of(kind), self.calm.seconds(kind),
                          random.Random(seed))
        crashes.make(self.kills)
        self.assertEqual(crashes.kills, self.kills)

    def test_killed_fifty_times_while_loading_into_postgres_the_tables_are_those_of_a_calm_run(self):
        self.crash("postgres")

    def test_killed_fifty_times_while_loading_into_sqlite_the_tables_are_those_of_a_calm_run(self):
        self.crash("sqlite")


class Poison(FaultCase, unittest.TestCase):
    tries = 3  # of a run

    def test_f13_a_slice_that_always_kills_its_process_is_tried_as_often_as_a_run_may_be_and_then_left(self):
        world = self.world(self.sink("sqlite"), "facebook")
        world.settings["defaults"]["retry"] = {"runs": self.tries, "backoff": "10ms..50ms"}
        killed_by = []

        def live():
            """A daemon, and the API as it sees it."""
            proxy = HttpProxy(self.api.url)
            self.addCleanup(proxy.stop)
            world.settings["sources"]["meta"]["base_url"] = proxy.url
            world.write()
            daemon = world.start("serve")
            self.addCleanup(daemon.stop)

            def spoil(request, answer):
                if "/insights" not in request:
                    return answer
                killed_by.append(proxy)
                daemon.process.kill()
                return None

            proxy.spoil = spoil
            return daemon, proxy

        first, _ = live()
        first.until("sluice", world.is_ready)
        try:
            world.trigger("facebook")
        except OSError:
            pass  # it died before it answered
        self.assertEqual(ended(first).code, -signal.SIGKILL)
        for _ in range(self.tries - 1):  # what died with its process is begun again by the next
            self.assertEqual(ended(live()[0]).code, -signal.SIGKILL)
        last, proxy = live()
        last.until("sluice", world.is_ready)
        self.assertEqual(sorted(run["attempt"] for run in world.runs("failed")), list(range(1, self.tries + 1)))
        self.assertEqual([world.status("facebook")[what] for what in ("running", "next_retry", "waiting")], [None, None, False])
        self.assertNotIn(proxy, killed_by)
        proxy.spoil = lambda request, answer: answer
        world.trigger("facebook")
        last.until("run that succeeds", world.runs)
        last.stop()
        self.assert_whole(world)


if __name__ == "__main__":
    unittest.main()
