#!/usr/bin/env python3
"""deploy/loadbalancer/haproxy.cfg before two real sluices: nobody is refused while one of them stops."""
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT, TOKEN, Api, built, configuration, free_port, wait_until


def status_of(port, path="/readyz"):
    try:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code
    except (OSError, urllib.error.URLError) as fault:
        return str(fault)


class Asking:
    """Asks through the balancer all the while: with Asking(port) as answers: …"""

    def __init__(self, port):
        self._port = port
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answers = []

    def __enter__(self):
        self._thread.start()
        return self.answers

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _ask(self):
        while not self._done.wait(0.02):
            self.answers.append(status_of(self._port, "/api/v1/pipelines"))


class Pool(unittest.TestCase):
    def setUp(self):
        haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if not haproxy:
            self.skipTest("no haproxy (deploy/install-packages.sh test)")
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        api = Api("2s")
        self.addCleanup(api.stop)
        self.ports = {"first": free_port(), "standby": free_port()}
        self.first = self.start("first", api.url, "{every: 5s}")
        self.start("standby", api.url, "{every: 1h}")
        self.port = free_port()
        text = (PROJECT / "deploy/loadbalancer/haproxy.cfg").read_text()
        for shipped, here in (("127.0.0.1:8320", f"127.0.0.1:{self.port}"),
                              ("127.0.0.1:8321", f"127.0.0.1:{self.ports['first']}"),
                              ("127.0.0.2:8321", f"127.0.0.1:{self.ports['standby']}"),
                              ("/run/haproxy/admin.sock", str(self.folder / "admin"))):
            self.assertEqual(text.count(shipped), 1)
            text = text.replace(shipped, here)
        (self.folder / "haproxy.cfg").write_text(text)
        self.run_program([haproxy, "-db", "-f", self.folder / "haproxy.cfg"])
        wait_until(lambda: self.state("first") == self.state("standby") == "UP")

    def run_program(self, command, **options):
        log = self.enterContext(tempfile.TemporaryFile())
        program = subprocess.Popen(["setpriv", "--pdeathsig=KILL", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def start(self, name, api, schedule):
        folder = self.folder / name
        folder.mkdir()
        text = configuration(self.ports[name], api, folder, schedule, "{env: TOKEN}")
        text = text.replace("drain_timeout:", "tokens: [{name: ops, role: viewer, token: {env: TOKEN}}], drain_timeout:")
        (folder / "sluice.yaml").write_text(text)
        program = self.run_program([built() / "sluice", "serve", "-c", folder / "sluice.yaml"], env={"TOKEN": TOKEN})
        wait_until(lambda: status_of(self.ports[name]) == 200)
        return program

    def state(self, server):
        """What the balancer thinks of a server: UP or DOWN."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self.folder / "admin"))
            stats.sendall(b"show stat\n")
            table = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
        columns, *rows = (line.split(",") for line in table.splitlines() if line)
        return next(row[columns.index("status")] for row in rows if row[:2] == ["sluice", server])

    def wait_for_a_run(self):
        def running():
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['first']}/metrics", timeout=5) as answer:
                return re.search(r"sluice_pipeline_running\{.*\} 1", answer.read().decode())
        wait_until(running)

    def test_what_drains_leaves_the_pool_before_it_stops(self):
        self.wait_for_a_run()
        with Asking(self.port) as answers:
            self.first.send_signal(signal.SIGTERM)
            wait_until(lambda: self.state("first") == "DOWN", 10)
            self.assertIsNone(self.first.poll(), "it stopped before the balancer knew")
            self.assertEqual(status_of(self.ports["first"]), 503)
            self.assertEqual(self.first.wait(30), 0)
            time.sleep(1)
        self.assertEqual(set(answers), {200})

    def test_what_dies_at_once_is_not_noticed_by_who_asks(self):
        with Asking(self.port) as answers:
            time.sleep(0.5)
            self.first.kill()
            died_at = len(answers)
            wait_until(lambda: self.state("first") == "DOWN" and len(answers) > died_at + 5, 30)
        self.assertEqual(set(answers), {200})


if __name__ == "__main__":
    unittest.main()
