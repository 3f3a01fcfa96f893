#!/usr/bin/env python3
"""A hundred times kill -9 at random instants. SLUICE_SEED repeats the instants of a run that failed."""
import os
import random
import unittest

from crashing import Crashes
from world import FaultCase


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


if __name__ == "__main__":
    unittest.main()
