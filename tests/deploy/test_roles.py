#!/usr/bin/env python3
"""Roles and rights as docs/operations.md gives them: with its statements, as they stand there, sluice loads and analysts read."""
import pathlib
import re
import sys
import unittest

for folder in ("support", "faults"):
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / folder))
from programs import PROJECT
from sinks import Postgres, Server
from world import LAYOUT, FaultCase, ended

page = (PROJECT / "docs" / "operations.md").read_text()
BOOKS = ("_sluice_loads", "_sluice_progress", "_sluice_quarantine")
CHANGES = ("INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET _sluice_run = ''", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}")


def statements(heading):
    """Of the block below that heading."""
    block = re.search(rf"^### PostgreSQL: {heading}\n.*?```sql\n(.*?)```", page, re.DOTALL | re.MULTILINE)[1]
    return re.findall(r"^[A-Z][^;]*;", block, re.MULTILINE)


class Warehouse(Postgres):
    """The database that the page names. It gives nothing to everybody, so that the page's own rights have to do."""

    def __init__(self):
        self.server, self.database, self._asking = Server.instance(), "warehouse", None
        for sql in ("CREATE DATABASE warehouse", "REVOKE ALL ON DATABASE warehouse FROM PUBLIC"):
            self.server.psql("postgres", sql)

    def remove(self):
        super().remove()
        self.server.psql("postgres", "DROP ROLE IF EXISTS sluice, analyst, ann")

    def execute(self, all_of_them, user="postgres"):
        return [self.server.psql(self.database, sql, user) for sql in all_of_them]


class Roles(FaultCase, unittest.TestCase):
    def setUp(self):
        self.calm.of("postgres")
        self.warehouse = Warehouse()
        self.addCleanup(self.warehouse.remove)

    def load(self, **settings):
        world = self.world(self.warehouse, sink_settings={**self.warehouse.settings(user="sluice"), **settings})
        checked = ended(world.start("check", "--connect"))
        self.assertEqual(checked.code, 0, checked)
        run = world.run()
        self.assertEqual((run.code, run.incidents()), (0, []), run)
        self.assert_whole(world)

    def assert_refused(self, sql):
        with self.assertRaisesRegex(AssertionError, "permission denied|must be owner", msg=sql):
            self.warehouse.execute([sql], "ann")

    def assert_an_analyst_reads_and_does_not_write(self):
        self.warehouse.execute(["CREATE ROLE ann LOGIN IN ROLE analyst", "GRANT CONNECT ON DATABASE warehouse TO ann"])
        for table in LAYOUT:
            table = f"marketing.{table}"
            count = [f"SELECT count(*) FROM {table}"]
            self.assertEqual(self.warehouse.execute(count, "ann"), self.warehouse.execute(count))
            for change in CHANGES:
                self.assert_refused(change.format(table))
        self.assert_refused("CREATE TABLE marketing.mine (a int)")

    def assert_no_book_is_read(self):
        for book in BOOKS:
            self.assert_refused(f"SELECT 1 FROM marketing.{book}")

    def test_a_role_with_the_rights_of_the_page_loads_and_those_who_read_read_what_it_makes(self):
        self.warehouse.execute(statements("the role that loads") + statements("those who read"))
        self.load(grant=["analyst"])
        self.assert_an_analyst_reads_and_does_not_write()
        self.assert_no_book_is_read()

    def test_a_role_that_makes_the_schema_itself_loads_and_tables_that_exist_already_can_be_read(self):
        create_role, _, connect, _ = statements("the role that loads")
        instead = re.search(r"`(GRANT CREATE ON DATABASE warehouse TO sluice)` instead of the last line\nand the second", page)[1]
        self.warehouse.execute([create_role, connect, instead])
        self.load()
        revoke = re.search(r"^REVOKE ALL ON marketing._sluice[^;]*;", page, re.MULTILINE)[0]
        self.warehouse.execute([*statements("those who read"), revoke])
        self.assert_an_analyst_reads_and_does_not_write()
        self.assert_no_book_is_read()


if __name__ == "__main__":
    unittest.main(verbosity=0)
