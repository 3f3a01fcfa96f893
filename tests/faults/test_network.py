#!/usr/bin/env python3
"""Faults between sluice and an API: answers that drip, certificates that are not to be trusted, addresses that lead nowhere."""
import os
import pathlib
import ssl
import sys
import threading
import time
import unittest
import urllib.parse
import warnings

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from names import Names
from programs import run
from proxies import HttpProxy, Swallower, TcpProxy
from world import FAKETIME, FaultCase

HERE, BESIDE = "127.0.0.1", "127.0.0.9"  # in which order the system gives them, however a name server does


class Dripping(FaultCase, unittest.TestCase):
    def test_f24_an_answer_that_drips_is_given_up_though_each_byte_comes_in_time_and_asked_for_again(self):
        given_up = threading.Event()

        def drops(answer):
            yield f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer.body)}\r\n\r\n".encode()
            try:
                for at in range(len(answer.body)):
                    yield answer.body[at:at + 1]
                    time.sleep(0.5)
            finally:
                given_up.set()  # the other side has closed the connection

        lock, dripped = threading.Lock(), []

        def spoil(request, answer):
            with lock:
                if dripped or "/campaigns?" not in request:
                    return answer
                dripped.append(answer)
            return drops(answer)

        proxy = HttpProxy(self.api.url, spoil)
        self.addCleanup(proxy.stop)
        world = self.world(self.sink("sqlite"), "facebook", api=proxy.url)
        run = world.run()
        self.assertEqual(run.code, 0, run)
        self.assertTrue(given_up.wait(10))
        self.assertGreater(len(dripped[0].body), 200, "it came to its end")
        self.assertLessEqual(len(run.incidents()), 1, run)
        self.assert_whole(world)


@unittest.skipUnless(FAKETIME.exists(), "no libfaketime (deploy/install-packages.sh test)")
class Tls(FaultCase, unittest.TestCase):
    def certificate(self, name, host="localhost", days_ago=0):
        """One that was made so many days ago, for a day, by an authority of its own: file and key."""
        file, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
             "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", file],
            env={**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": f"-{days_ago}d"})
        return file, key

    def server(self, certificate, newest=ssl.TLSVersion.TLSv1_3):
        """The simulated API with that certificate, and what it was asked."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
        if newest < ssl.TLSVersion.TLSv1_2:
            tls.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls.minimum_version, tls.maximum_version = min(newest, ssl.TLSVersion.TLSv1_2), newest
        asked = []

        def spoil(request, answer):
            asked.append(request)
            return answer

        proxy = HttpProxy(self.api.url, spoil, tls)
        self.addCleanup(proxy.stop)
        return proxy, asked

    def trusting(self, world, proxy, authority):
        world.settings["sources"]["meta"].update(base_url=proxy.url, ca_file=str(authority))
        world.write()

    def test_f27_a_server_that_is_not_to_be_trusted_is_told_nothing_and_the_run_says_why(self):
        good, other = self.certificate("good"), self.certificate("other", "other.example")
        expired = self.certificate("expired", days_ago=3)
        world = self.world(self.sink("sqlite"), "facebook")
        for server, authority, says in (
                (self.server(expired), expired, "certificate has expired"),
                (self.server(other), other, "ostname mismatch"),
                (self.server(good), other, "self-signed certificate"),
                (self.server(good, ssl.TLSVersion.TLSv1_1), good, "no TLS connection to localhost")):
            with self.subTest(says=says):
                proxy, asked = server
                self.trusting(world, proxy, authority[0])
                refused = world.run()
                self.assertEqual(refused.code, 1, refused)
                self.assert_says(refused, "facebook failed", says, lines=4)
                self.assertEqual(asked, [])
                self.assert_unbroken(world)
        proxy, asked = self.server(good)
        self.trusting(world, proxy, good[0])
        again = world.run()
        self.assertEqual((again.code, again.incidents()), (0, []), again)
        self.assertTrue(asked)
        self.assert_whole(world)


class Addresses(FaultCase, unittest.TestCase):
    def test_f28_of_several_addresses_a_dead_one_costs_its_own_time_and_the_next_one_is_tried(self):
        names = Names(self.folder, "timeout:5")
        self.addCleanup(names.stop)
        alive = TcpProxy(urllib.parse.urlsplit(self.api.url).port, address=BESIDE)
        self.addCleanup(alive.stop)
        dead = Swallower(alive.port)
        self.addCleanup(dead.stop)
        names.known = {"several.example": (f"{HERE} {BESIDE}", 0)}
        world = self.world(self.sink("sqlite"), "facebook", api=f"http://several.example:{alive.port}")
        account = min(partition for partition, _ in self.calm.of("sqlite").tables["meta_campaigns"])
        world.settings["sources"]["meta"]["accounts"] = [account]  # one connection after the other
        world.write()
        began = time.monotonic()
        swallowed = world.run("facebook", "--stream", "campaigns", under=names.under)
        self.assertEqual((swallowed.code, swallowed.incidents()), (0, []), swallowed)
        self.assertGreater(time.monotonic() - began, 9, "it did not try the first address")
        dead.stop()
        del world.settings["sources"]["meta"]["accounts"]
        world.write()
        refused = world.run(under=names.under)
        self.assertEqual((refused.code, refused.incidents()), (0, []), refused)
        self.assert_whole(world)


if __name__ == "__main__":
    unittest.main()
