#!/usr/bin/env python3
"""The checker finds each thing that must not be, in both sinks, and nothing in a load that nobody disturbed."""
import subprocess
import sys
import unittest

from checker import Footprint, faults_of
from world import FaultCase, World, fresh_sink

KEYS = {"meta_insights": "account_id, date_start, ad_id", "google_campaigns": "customer_id, campaign_id"}
A_LANE = "stream = 'insights' AND lane = 'live'"


class Checker(FaultCase):
    """Each test spoils the rows or the books of a whole load, and takes the damage back."""

    ads = 40  # on any day, several of each account deliver

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.expected, cls.loaded = cls.calm.of(cls.kind), fresh_sink(cls.kind, cls.folder)
        cls.addClassCleanup(cls.loaded.close)
        run = World(cls.folder, cls.api.url, cls.loaded).run()
        assert run.code == 0, run

    def assert_finds(self, *sql, says, whole=True):
        """After these statements there are these faults, and no others."""
        before = self.save()
        for statement in sql:
            self.spoil(statement)
        try:
            faults = faults_of(self.loaded, self.expected, whole)
        finally:
            self.restore(before)
        self.assertEqual(len(faults), len(says), faults)
        for fault, words in zip(faults, says):
            self.assertIn(words, fault)
        self.assertEqual(faults_of(self.loaded, self.expected), [])

    def one_row(self, table):
        """A condition that one row of the table meets."""
        place = KEYS.get(table, self.place)
        return f"({place}) = (SELECT {place} FROM {table} ORDER BY {place} LIMIT 1)"

    def test_nothing_in_a_load_that_nobody_disturbed(self):
        self.assertGreater(self.expected.count(), 50)  # the simulated data differ from day to day
        self.assertEqual(faults_of(self.loaded, self.expected), [])

    def test_a_missing_row(self):
        self.assert_finds(f"DELETE FROM meta_insights WHERE {self.one_row('meta_insights')}", says=["lacks 1 rows"])

    def test_a_missing_window(self):
        self.assert_finds("DELETE FROM meta_insights WHERE (account_id, date_start) = (SELECT account_id, date_start FROM "
                          "meta_insights ORDER BY 1, 2 LIMIT 1)", says=["lacks"])

    def test_a_window_that_progress_says_is_loaded_is_missed_in_a_load_that_was_cut_short_too(self):
        self.assert_finds("DELETE FROM meta_insights WHERE (account_id, date_start) = (SELECT account_id, date_start FROM "
                          "meta_insights ORDER BY 1, 2 LIMIT 1)", says=["lacks"], whole=False)

    def test_half_a_window(self):
        self.assert_finds(f"DELETE FROM meta_insights WHERE {self.one_row('meta_insights')}",
                          f"UPDATE _sluice_progress SET done_to = NULL WHERE {A_LANE}", says=["lacks 1 rows"], whole=False)

    def test_a_doubled_row(self):
        self.assert_finds(f"INSERT INTO app_events SELECT * FROM app_events WHERE {self.one_row('app_events')}",
                          says=["has twice 1 rows"])

    def test_a_changed_figure(self):
        self.assert_finds(f"UPDATE meta_insights SET impressions = impressions + 1 WHERE {self.one_row('meta_insights')}",
                          says=["has changed 1 rows"])

    def test_a_row_that_no_source_gave(self):
        self.assert_finds(f"UPDATE google_campaigns SET campaign_id = 1 WHERE {self.one_row('google_campaigns')}",
                          says=["lacks 1 rows", "should not have 1 rows"])

    def test_progress_that_ends_too_early(self):
        self.assert_finds(f"UPDATE _sluice_progress SET done_to = '2020-01-01' WHERE {A_LANE} AND partition = "
                          f"(SELECT min(partition) FROM _sluice_progress WHERE {A_LANE})", says=["loaded to 2020-01-01"])

    def test_a_wrong_sum_in_the_ledger(self):
        self.assert_finds(f"UPDATE _sluice_loads SET read = read + 1 WHERE {self.one_row('_sluice_loads')}",
                          says=["accounted for"])

    def test_a_line_of_the_ledger_that_is_missing(self):
        self.assert_finds(f"DELETE FROM _sluice_loads WHERE {self.one_row('_sluice_loads')}", says=["lines of the ledger"])

    def test_a_stage_left_behind(self):
        self.assert_finds("CREATE TABLE stage_17 (a INTEGER)", says=["stage_17 is left behind"])


class InSqlite(Checker, unittest.TestCase):
    kind, place = "sqlite", "rowid"

    def save(self):
        return self.loaded.copy()

    def spoil(self, sql):
        self.loaded.change(sql)

    def restore(self, before):
        self.loaded.copy(back=before)

    def test_a_lock_that_is_held(self):
        with self.loaded.locked():
            self.assertIn("somebody holds the file", faults_of(self.loaded, self.expected)[0])

    def test_a_damaged_file(self):
        intact = self.loaded.path.read_bytes()
        page = intact.index(b"\x0d", 4096 * 2) & ~4095
        self.loaded.path.write_bytes(intact[:page] + b"\x0d\xff\xff" + intact[page + 3:])
        try:
            self.assertIn("damaged", " ".join(self.loaded.leftovers()))
        finally:
            self.loaded.path.write_bytes(intact)


class InPostgres(Checker, unittest.TestCase):
    kind, place = "postgres", "ctid"

    # What is spoilt is spoilt within a transaction, of the session that the checker looks through.
    def save(self):
        self.loaded.ask("BEGIN")

    def spoil(self, sql):
        self.loaded.ask(sql)

    def restore(self, _):
        self.loaded.ask("ROLLBACK")

    def test_a_session_that_is_still_there(self):
        session = self.loaded.server.connect(self.loaded.database)
        self.addCleanup(session.close)
        session.ask("SET application_name = 'sluice'; SELECT pg_advisory_lock(7)")
        left = self.loaded.leftovers(within=0)
        self.assertIn("sessions are left", left[0])
        self.assertIn("advisory locks are left", left[1])


# Opens five files, keeps 64 MiB and starts a thread when it is told to.
GROWS = """
import sys, threading, time
print("ready", flush=True)
input()
files = [open("/dev/null") for _ in range(5)]
memory = b"x" * (64 << 20)
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("done", flush=True)
sys.stdin.read()
"""


class OfAProcess(unittest.TestCase):
    def test_what_it_holds_more_than_before(self):
        child = subprocess.Popen([sys.executable, "-c", GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.wait)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stdin.close)
        child.stdout.readline()
        base = Footprint.of(child.pid)
        self.assertEqual(Footprint.of(child.pid).faults_since(base, memory=1024), [])
        child.stdin.write("\n")
        child.stdin.flush()
        child.stdout.readline()
        grown = Footprint.of(child.pid).faults_since(base, memory=1024)
        self.assertEqual([fault.split()[1].rstrip(",") for fault in grown], ["descriptors", "threads", "memory"])


if __name__ == "__main__":
    unittest.main()
