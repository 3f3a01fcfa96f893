#!/usr/bin/env python3
"""The HTTP server under attack, and asked too often: the data path does not notice, and all of it is given back."""
import pathlib
import re
import socket
import sys
import threading
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from checker import Footprint
from programs import Program, fetch
from world import FaultCase

PLACES = 64  # connections that it serves at once
CLIENTS = 5_000  # of one process that floods
FLOOD = pathlib.Path(__file__).with_name("flood.py")
HOSTILE = [
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(500)) + b"\r\n",
    b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 200_000,
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /%00%ff%2e%2e%2f HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
    b"\r\n" * 5000,
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


class Attacked(FaultCase, unittest.TestCase):
    def setUp(self):
        self.at = self.world(self.sink("sqlite"))
        self.at.schedule("1s")
        self.daemon = self.at.daemon()
        self.addCleanup(self.daemon.stop)
        self.await_runs(6)
        self.base = Footprint.of(self.daemon.process.pid)

    def succeeded(self):
        metrics = fetch(self.at.url + "/metrics")
        return sum(float(n) for n in re.findall(r'sluice_pipeline_runs_total\{.*outcome="succeeded".*\} (\S+)', metrics))

    def await_runs(self, more):
        """Until so many further runs of the pipelines have succeeded, seen from outside."""
        wanted = self.succeeded() + more
        self.daemon.until("runs that succeed", lambda: self.succeeded() >= wanted)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.at.port), timeout=20)

    def assert_recovered(self):
        self.await_runs(3)
        self.assert_given_back(self.daemon, self.base, descriptors=8, threads=4)
        self.daemon.stop()
        self.assertEqual(self.daemon.process.returncode, 0)
        self.assertLess(len(self.daemon.text().splitlines()), 100, "what clients do is not for the log")
        self.assert_whole(self.at)

    def await_loads(self):
        """Until rows are loaded that were not when this began, as the table shows: the server's places are taken."""
        loads = len(self.at.sink.loads())
        self.daemon.until("loads during the attack", lambda: len(self.at.sink.loads()) > loads + 10)

    def flood(self, net):
        program = Program(self.folder, sys.executable, [FLOOD, self.at.port, CLIENTS, net], log=f"flood-{net}")
        self.addCleanup(program.stop)
        return program

    def test_f48_ten_thousand_connections_and_requests_that_are_none(self):
        """At once, from many addresses: connections that are silent, or slow with their headers or their bodies. Then
        requests that are none, one after the other."""
        def held(program):
            return Footprint.of(program.process.pid).descriptors

        floods = [self.flood(net) for net in (1, 2)]
        for flood in floods:
            flood.until("so many clients", lambda flood=flood: held(flood) > CLIENTS)
        self.daemon.until("end of its places", lambda: held(self.daemon) > self.base.descriptors + PLACES * 3 // 4)
        self.await_loads()
        for flood in floods:
            self.assertGreater(held(flood), CLIENTS * 9 // 10, flood.text())
            flood.stop()
        self.assertLess(held(self.daemon), self.base.descriptors + 2 * PLACES)
        self.daemon.until("an answer", self.at.is_ready)
        for request in HOSTILE * 20:
            try:
                with self.connect() as client:
                    client.sendall(request)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1 << 16):
                        pass
            except OSError:
                pass  # refused or reset: as it should be
        self.assert_recovered()

    def test_f48_slow_loris_does_not_keep_runs_from_succeeding(self):
        slow = []
        for _ in range(200):
            try:
                client = self.connect()
                client.sendall(b"GET /api/v1/runs HTTP/1.1\r\nHost: loc")
                slow.append(client)
            except OSError:
                pass
        self.await_loads()
        self.daemon.until("an answer", lambda: fetch(self.at.url + "/livez"))
        for client in slow:
            client.close()
        self.assert_recovered()

    def test_f49_metrics_asked_for_all_the_time_with_names_that_nobody_configured(self):
        def series():
            lines = fetch(self.at.url + "/metrics").splitlines()
            return {line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#") and "source_requests" not in line}

        before, failed = series(), []

        def ask(who):
            for turn in range(150):
                try:
                    fetch(self.at.url + "/metrics")
                except OSError as fault:
                    failed.append(fault)
                try:
                    fetch(f"{self.at.url}/api/v1/pipelines/invented-{who}-{turn}/trigger", "POST")
                    failed.append("it triggered what is not there")
                except OSError:
                    pass

        threads = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])
        self.assertEqual(series() - before, set())
        self.assert_recovered()


if __name__ == "__main__":
    unittest.main()
