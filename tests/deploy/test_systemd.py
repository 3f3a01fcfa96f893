#!/usr/bin/env python3
"""The installed service under a real systemd: it becomes ready with its secrets, survives what kills it, reloads and
drains. The pipeline loads a simulated API, on which time stands still, into a SQLite file in the service's own folder."""
import json
import pathlib
import re
import sqlite3
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from container import Container, make_package, needs_container
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT, TOKEN, Api, built, configuration, free_port, run, wait_until

page = (PROJECT / "docs" / "operations.md").read_text()


def loaded(warehouse):
    """Every row of every table that holds data, without sluice's own columns."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            if (source := warehouse.with_name(warehouse.name + suffix)).exists():
                pathlib.Path(folder, "copy" + suffix).write_bytes(source.read_bytes())
        database = sqlite3.connect(pathlib.Path(folder, "copy"))
        tables = {}
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'meta%'"):
            columns = [column for _, column, *_ in database.execute(f"PRAGMA table_info({table})")]
            columns = ", ".join(f'"{column}"' for column in columns if not column.startswith("_sluice"))
            tables[table] = sorted(map(repr, database.execute(f"SELECT {columns} FROM {table}")))
        database.close()
        return tables


class Unit(unittest.TestCase):
    def test_it_exposes_little(self):
        said = run(["systemd-analyze", "security", "--offline=yes", "--no-pager",
                    PROJECT / "deploy/systemd/sluice.service"])
        self.assertLessEqual(float(re.search(r"Overall exposure level.*: ([\d.]+)", said)[1]), 1.5)


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        needs_container()
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.inside = cls.enterClassContext(Container(cls.folder))
        cls.inside.install(make_package(cls.folder), "sqlite3", "dbus")
        cls.inside.run("systemctl", "start", "dbus.socket")  # as from any boot on; systemd-run asks for it
        cls.inside.write("/etc/sluice/credentials/token", TOKEN + "\n", 0o600)
        cls.inside.write("/etc/systemd/system/sluice.service.d/test.conf",
                         "[Service]\nRestartSec=1s\nWatchdogSec=3s\nTimeoutStopSec=1s\n")  # draining asks for more

    def setUp(self):
        self.port = free_port()

    def start(self, delay="100ms", schedule="{every: 2s}"):
        api = Api(delay)
        self.addCleanup(api.stop)
        self.addCleanup(self.inside.sh, "systemctl stop sluice; rm -rf /var/lib/private/sluice")
        self.api = api.url
        self.configure(schedule)
        self.inside.run("systemctl", "start", "sluice")  # returns once it is ready: Type=notify
        self.assertEqual(self.get("/readyz")[0], 200)

    def configure(self, schedule="{every: 2s}", more=""):
        text = configuration(self.port, self.api, "/var/lib/sluice", schedule, "{credential: sluice_token}")
        self.inside.write("/etc/sluice/sluice.yaml", text + more)

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def wait(self, what, seconds=30):
        return wait_until(what, seconds, lambda: self.inside.sh("systemctl status sluice; journalctl -n 30 -u sluice"))

    def wait_for_success(self):
        def succeeded():
            "a run succeeds"
            return 'outcome="succeeded",pipeline="facebook",trigger="schedule"} 0' not in self.get("/metrics")[1]
        self.wait(succeeded)

    def wait_for_slices(self):
        published = r'slices_total\{outcome="published",pipeline="facebook",stream="insights"\} [1-9]'

        def under_way():
            "a run has published some of its slices"
            return re.search(published, self.get("/metrics")[1])
        self.wait(under_way)

    def wait_for_metric(self, line):
        wait_until(lambda: f"\n{line}\n" in self.get("/metrics")[1], 30, lambda: line)

    def runs(self):
        """The ids of all that its state knows."""
        return {run["id"] for run in json.loads(self.get("/api/v1/runs?limit=1000")[1])}

    def pid(self):
        return self.inside.sh("systemctl show -P MainPID sluice").strip()

    def wait_for_restart(self, pid):
        def restarted():
            "systemd restarts it"
            return self.pid() not in (pid, "0") and self.get("/readyz")[0] == 200
        self.wait(restarted, 60)

    def by_hand(self, commands):
        """Runs them with `as_sluice` as docs/operations.md defines it."""
        return self.inside.sh(re.search(r"^as_sluice\(\) \{\n.*?^\}\n", page, re.M | re.DOTALL)[0] + commands)

    def assert_all_is_the_service_s(self):
        owners = set(self.inside.sh("find /var/lib/private/sluice -printf '%U\\n'").split())
        self.assertEqual(owners, set(self.inside.sh(f"stat -c %u /proc/{self.pid()}").split()))

    def expected(self):
        """What a run loads that nobody disturbs. The simulated data are the same each time."""
        api = Api("0s")
        self.addCleanup(api.stop)
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder, "sluice.yaml")
            config.write_text(configuration(free_port(), api.url, folder, "{every: 1h}", "{env: TOKEN}"))
            run([built() / "sluice", "run", "facebook", "-c", config], env={"TOKEN": TOKEN})
            tables = loaded(pathlib.Path(folder, "warehouse.db"))
            self.assertGreater(len(tables["meta_insights"]), 100)
            return tables

    def test_it_reads_its_secret_and_tells_nobody(self):
        self.start()
        self.wait_for_success()
        self.assertNotIn(TOKEN, self.inside.sh("journalctl -u sluice"))
        self.assertNotIn(TOKEN, self.inside.sh("systemctl show sluice; systemctl cat sluice"))
        self.assertRegex(self.inside.sh("systemctl show -P StatusText sluice"), "1 pipelines, \\d running, next ")
        somebody = "setpriv --reuid=65534 --regid=65534 --clear-groups sluice status"  # may not look into /var/lib/private
        self.assertRegex(self.inside.sh(somebody), r"facebook +.+ +succeeded")
        owner, state = self.inside.sh(f"stat -c %u /proc/{self.pid()} /var/lib/private/sluice/state.db").split()
        self.assertEqual(owner, state)
        self.assertNotEqual(owner, "0")

    def test_it_tells_of_its_process_though_the_unit_hides_much_of_proc(self):
        before = time.time()
        self.start()
        told = {name: float(value) for name, value in re.findall(r"^(process_\w+) (\S+)$", self.get("/metrics")[1], re.M)}
        self.assertTrue(before - 1 <= told["process_start_time_seconds"] <= time.time() + 1, told)
        self.assertTrue(1 << 20 < told["process_resident_memory_bytes"] < 1 << 30, told)
        self.assertGreater(told["process_open_fds"], 3)
        self.assertGreaterEqual(told["process_cpu_seconds_total"], 0)

    def test_what_the_daemon_does_not_do_is_done_meanwhile_as_operations_tells(self):
        self.start()
        self.wait_for_success()
        told = re.search(r"```\n(systemctl stop sluice\nas_sluice .*?)```", page, re.DOTALL)[1]
        said = self.by_hand(told.replace("PIPELINE", "facebook").replace("STREAM", "campaigns"))
        self.assertIn("succeeded in", said)
        self.assertEqual(self.get("/readyz")[0], 200)
        self.assert_all_is_the_service_s()

    def test_commands_by_hand_have_its_credentials_and_leave_nothing_that_it_cannot_write(self):
        self.start(schedule="{every: 1h}")
        with self.assertRaisesRegex(AssertionError, r"there is no \$CREDENTIALS_DIRECTORY"):
            self.inside.run("sluice", "check", "--connect")
        self.assertIn("the access token is valid", self.by_hand("as_sluice sluice check --connect"))

        self.inside.sh("systemctl stop sluice; rm -rf /var/lib/private/sluice")
        self.by_hand("as_sluice sluice run facebook")
        self.assertEqual(loaded(self.inside.path("/var/lib/private/sluice/warehouse.db")), self.expected())
        self.inside.run("systemctl", "start", "sluice")
        self.assertEqual(self.get("/readyz")[0], 200)
        self.assert_all_is_the_service_s()

    def test_a_state_that_is_lost_comes_back_with_its_history_from_the_backup_that_operations_tells_to_make(self):
        page = (PROJECT / "docs/operations.md").read_text().split("\n## Backup of the state\n", 1)[1].split("\n## ", 1)[0]
        backup, restore = re.findall(r"```\n(.*?)```", page, re.DOTALL)
        self.start()
        self.addCleanup(self.inside.sh, "rm -f /var/backups/sluice-state.db")
        self.wait_for_success()
        known = self.runs()
        self.inside.sh(backup)
        self.inside.sh("systemctl stop sluice; rm /var/lib/sluice/state.db*; systemctl start sluice")
        self.assertFalse(self.runs() & known)
        self.inside.sh(restore)
        self.assertLessEqual(known, self.runs())
        before = self.runs()

        def goes_on():
            "another run is written down"
            return self.runs() - before
        self.wait(goes_on)
        self.assert_all_is_the_service_s()

    def test_killed_in_the_middle_of_a_run_it_comes_back_and_nothing_is_lost(self):
        self.start(delay="1s", schedule="{every: 5s}")
        self.wait_for_slices()
        pid = self.pid()
        self.inside.sh(f"kill -KILL {pid}")
        self.wait_for_restart(pid)
        self.wait_for_success()
        runs = json.loads(self.get("/api/v1/runs")[1])
        self.assertIn("interrupted: the process ended", [each["message"] for each in runs])
        self.inside.run("systemctl", "stop", "sluice")
        self.assertEqual(loaded(self.inside.path("/var/lib/private/sluice/warehouse.db")), self.expected())

    def test_stopped_in_its_tracks_the_watchdog_restarts_it(self):
        self.assertIn("\nWatchdogSec=60s\n", self.inside.run("cat", "/usr/lib/systemd/system/sluice.service"))
        self.start()
        pid = self.pid()
        self.inside.sh(f"kill -STOP {pid}")
        self.wait_for_restart(pid)
        self.assertIn("Watchdog timeout", self.inside.sh("journalctl -u sluice"))
        self.wait_for_success()

    def test_a_reload_takes_the_new_file_and_refuses_a_faulty_one(self):
        self.start()
        pid = self.pid()
        pipeline = "  more: {source: meta, sink: warehouse, streams: {ads: {}}}\n"
        self.configure(more=pipeline)
        self.inside.run("systemctl", "reload", "sluice")

        def reloaded():
            "the new pipeline is there"
            return '"more"' in self.get("/api/v1/pipelines")[1]
        self.wait(reloaded)
        self.wait_for_metric("sluice_config_last_reload_successful 1")

        self.configure(more=pipeline.replace("sink", "zink"))
        with self.assertRaises(AssertionError):
            self.inside.run("systemctl", "reload", "sluice")
        self.assertIn("zink", self.inside.sh("journalctl -u sluice"))
        self.wait_for_metric("sluice_config_last_reload_successful 0")
        self.assertEqual(self.pid(), pid)
        self.assertEqual(self.get("/readyz")[0], 200)
        self.assertIn('"more"', self.get("/api/v1/pipelines")[1])

    def test_a_faulty_file_is_not_tried_again(self):
        self.inside.write("/etc/sluice/sluice.yaml", "version: 2\n")
        with self.assertRaises(AssertionError):
            self.inside.run("systemctl", "start", "sluice")
        self.assertEqual(self.inside.sh("systemctl is-failed sluice; systemctl show -P ExecMainStatus sluice").split(),
                         ["failed", "78"])
        self.inside.run("systemctl", "reset-failed", "sluice")

    def test_stopping_it_lets_the_run_end(self):
        self.start(delay="1s", schedule="{every: 5s}")
        self.wait_for_slices()
        self.inside.run("systemctl", "stop", "--no-block", "sluice")

        def draining():
            "it says that it is not ready, while it goes on"
            return self.get("/readyz")[0] == 503
        self.wait(draining, 5)
        self.assertEqual(self.inside.sh("systemctl show -P ActiveState sluice; systemctl show -P StatusText sluice").split(),
                         ["deactivating", "draining"])

        def ended():
            "it ends"
            return self.inside.sh("systemctl show -P ActiveState sluice").strip() == "inactive"
        self.wait(ended)
        result = self.inside.sh("systemctl show -P Result sluice; systemctl show -P ExecMainStatus sluice")
        self.assertEqual(result.split(), ["success", "0"])
        self.assertEqual(loaded(self.inside.path("/var/lib/private/sluice/warehouse.db")), self.expected())


if __name__ == "__main__":
    unittest.main()
