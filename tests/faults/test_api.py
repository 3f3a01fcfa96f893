#!/usr/bin/env python3
"""Faults of the network and of the APIs, met by the whole program: what passes costs no row and no line of log; what does not
is one message that says what to do, and progress stays."""
import email.utils
import gzip
import json
import re
import threading
import time
import unittest
import urllib.parse
import zlib

from proxies import Answer, HttpProxy, TcpProxy
from world import PIPELINES, FaultCase

DATA = re.compile(r"/insights\?|googleAds:search|events\.json\?cursor|/campaigns")  # requests that bring rows


class Passing(FaultCase, unittest.TestCase):
    """Faults that strike now and then: sluice asks again, and the tables are those of a calm load."""

    def survives(self, *faults, pipelines=PIPELINES, times=2, lines=6):
        for fault in faults:
            name, _, arg = fault.partition("=")
            with self.subTest(fault=fault):
                world = self.world(self.sink("sqlite"), *pipelines)
                self.api.mend()
                self.api.fault(name, arg=arg, times=times, every=3)
                run = world.run()
                self.assertEqual(run.code, 0, run)
                self.assertGreaterEqual(self.api.struck(name), 1, "it did not strike")
                self.assertLessEqual(len(run.incidents()), lines, run)
                self.assert_whole(world)

    def test_f25_bodies_that_are_cut_off_and_connections_that_are_reset(self):
        self.survives("truncated", "reset")

    def test_f30_answers_that_are_none(self):
        self.survives("http500", pipelines=("facebook",))
        self.survives("http503", "unavailable_text", "empty")

    def test_f36_pages_that_are_short_or_empty_with_more_to_come(self):
        self.survives("short_pages", "results_not_ready", "not_exists_after_submit", "report_skipped",
                      pipelines=("facebook",))
        self.survives("cursor_expired", "in_progress", pipelines=("app",), times=1)

    def test_f25_answers_cut_at_any_place_by_a_broken_balancer(self):
        """Each answer that brings rows is cut once, at another place each time; those without a length too."""
        cut, lock = {}, threading.Lock()

        def spoil(request, answer):
            with lock:
                if not DATA.search(request) or cut.setdefault(request, 0) >= 1:
                    return answer
                cut[request] += 1
                place = len(cut)
            head = f"HTTP/1.1 {answer.status} OK\r\ncontent-type: application/json\r\n"
            at = len(answer.body) * (place % 7) // 7
            if place % 2:
                return f"{head}content-length: {len(answer.body)}\r\n\r\n".encode() + answer.body[:at]
            return f"{head}transfer-encoding: chunked\r\n\r\n{at:x}\r\n".encode() + answer.body[:at] + b"\r\n"

        proxy = HttpProxy(self.api.url, spoil)
        self.addCleanup(proxy.stop)
        world = self.world(self.sink("sqlite"), api=proxy.url)
        run = world.run()
        self.assertEqual(run.code, 0, run)
        self.assertGreater(len(cut), 5)
        # Three sources, each with two reasons to ask again, each said once and once more with its count.
        self.assertLessEqual(len(run.incidents()), 12, run)
        self.assert_whole(world)

    def test_f31_compressed_answers_in_pieces_are_the_same_rows(self):
        def spoil(request, answer):
            if not DATA.search(request):
                return answer
            half = len(answer.body) // 2
            packed = gzip.compress(answer.body[:half]) + gzip.compress(answer.body[half:])
            return Answer(answer.status, {**answer.headers, "content-encoding": "gzip"}, packed)

        proxy = HttpProxy(self.api.url, spoil)
        self.addCleanup(proxy.stop)
        world = self.world(self.sink("sqlite"), api=proxy.url)
        run = world.run()
        self.assertEqual((run.code, run.incidents()), (0, []), run)
        self.assert_whole(world)

    def answers_once(self, instead):
        """A proxy that gives this answer to the first request for rows, and the requests that it gave it to."""
        struck, lock = [], threading.Lock()

        def spoil(request, answer):
            with lock:
                if struck or not DATA.search(request):
                    return answer
                struck.append(request)
            return instead()

        proxy = HttpProxy(self.api.url, spoil)
        self.addCleanup(proxy.stop)
        return proxy, struck

    def test_f31_compressed_answers_that_are_broken_or_grow_without_end_are_asked_for_again(self):
        endless = zlib.compressobj(9, zlib.DEFLATED, 31)
        endless = b"".join(endless.compress(bytes(1 << 20)) for _ in range(300)) + endless.flush()
        for what, body in (("garbage", b"\x1f\x8b\x08 no gzip"), ("cut off", gzip.compress(b'{"data":[]}')[:-6]),
                           ("endless", endless)):
            with self.subTest(what):
                proxy, struck = self.answers_once(lambda: Answer(200, {"content-encoding": "gzip"}, body))
                world = self.world(self.sink("sqlite"), api=proxy.url)
                run = world.run()
                self.assertEqual(run.code, 0, run)
                self.assertTrue(struck)
                self.assertLessEqual(len(run.incidents()), 2, run)
                self.assert_whole(world)

    def waits_two_seconds(self, **options):
        world = self.world(self.sink("sqlite"), "google", **options)
        began = time.monotonic()
        run = world.run()
        self.assertEqual(run.code, 0, run)
        self.assertGreater(time.monotonic() - began, 2)
        self.assert_says(run, "pausing for")
        self.assert_whole(world)

    def test_f29_a_throttle_is_waited_out_for_as_long_as_the_api_says(self):
        """In its own words, and by Retry-After as seconds and as a date."""
        self.calm.of("sqlite")
        self.api.fault("quota_short", arg="2", times=1)
        self.waits_two_seconds()
        for until in (lambda: "2", lambda: email.utils.formatdate(time.time() + 3, usegmt=True)):
            proxy, struck = self.answers_once(lambda: Answer(429, {"retry-after": until()}, b""))
            self.waits_two_seconds(api=proxy.url)
            self.assertTrue(struck)

    def test_f23_a_connection_to_the_database_that_goes_dead_while_it_is_idle(self):
        """The balancer between has forgotten it: what is sent next is answered by a reset."""
        sink = self.sink("postgres")
        proxy = TcpProxy(sink.server.port)
        self.addCleanup(proxy.stop)
        world = self.world(sink, "facebook", sink_settings=sink.settings(proxy.port))
        proxy.arm("cut", b"COPY ")
        run = world.run()
        self.assertEqual(run.code, 0, run)
        self.assertTrue(proxy.struck.is_set())
        self.assertLessEqual(len(run.incidents()), 2, run)
        self.assert_whole(world)


class Shifting(FaultCase, unittest.TestCase):
    ads = 60  # of several campaigns

    def test_f37_rows_that_come_twice_or_not_at_all_because_pages_shift_while_they_are_read(self):
        """Behind the first page one campaign is made, so that the page's last one comes again; and one changes, so that it
        is on a page that has been read. The next run asks for what has changed since this one began, and gets it."""
        last, changed, lock = {}, {}, threading.Lock()

        def spoil(request, answer):
            if "/campaigns?" not in request:
                return answer
            body, asked = json.loads(answer.body), urllib.parse.unquote(request)
            account, rows = asked.split("?")[0], body["data"]
            since = re.search(r'updated_time","operator":"GREATER_THAN","value":"?(\d+)', asked)
            with lock:
                if "after=" in asked and account not in changed:
                    changed[account] = rows.pop(), time.time()
                    rows.insert(0, last[account])
                elif since and account in changed and int(since[1]) < changed[account][1]:
                    rows.append(changed[account][0])
                last[account] = rows[-1] if rows else None
            return answer._replace(body=json.dumps(body).encode())

        proxy = HttpProxy(self.api.url, spoil)
        self.addCleanup(proxy.stop)
        world = self.world(self.sink("sqlite"), "facebook", api=proxy.url)
        world.settings["sources"]["meta"]["page_size"] = 2
        world.write()
        first = world.run()
        self.assertEqual((first.code, first.incidents()), (0, []), first)
        self.assertGreater(len(changed), 0, "there was no second page")
        self.assertEqual(sum(load["duplicate"] for load in world.sink.loads()), len(changed))
        missed = {row["id"] for row, _ in changed.values()}
        self.assertFalse(missed & {row["id"] for row in world.sink.ask("SELECT id FROM meta_campaigns")})
        again = world.run()
        self.assertEqual((again.code, again.incidents()), (0, []), again)
        self.assert_whole(world)


class Lasting(FaultCase, unittest.TestCase):
    """Faults that do not pass by themselves: the run fails with one message, what was loaded stays, and without the fault
    the next run loads the rest."""

    def fails(self, fault, *says, pipeline="facebook", **how):
        with self.subTest(fault=fault, pipeline=pipeline):
            world = self.world(self.sink("sqlite"), pipeline)
            world.settings["sources"]["meta"]["page_size"] = 2  # so that there are several pages
            world.write()
            self.api.mend()
            self.api.fault(fault, **how)
            failed = world.run()
            self.assertEqual(failed.code, 1, failed)
            self.assert_says(failed, f"{pipeline} ", *says, lines=4)
            self.assertLess(self.api.requests(), 200, "a storm")
            self.assert_unbroken(world)
            self.api.mend()
            again = world.run()
            self.assertEqual(again.code, 0, again)
            self.assert_whole(world)

    def test_f36_pages_that_lead_in_a_circle_end_the_slice_and_do_not_end_it_quietly(self):
        self.fails("duplicate_cursor", "cursor")
        self.fails("duplicate_cursor", "cursor", arg="aba")

    def test_f38_credentials_that_end_or_are_revoked_stop_without_a_storm(self):
        for fault, says, pipeline in (("expired_token", "create a new one", "facebook"),
                                      ("invalid_token", "create a new access token", "facebook"),
                                      ("oauth_revoked", "refresh token", "google")):
            self.fails(fault, says, pipeline=pipeline)

    def test_f39_an_answer_of_another_structure_fails_its_slices_and_progress_stays(self):
        self.fails("renamed_member", 'expected a list "records"', pipeline="app", arg="records=data")

    def test_f41_an_answer_that_is_empty_by_mistake_does_not_empty_the_table_unsaid(self):
        """It is asked for again before anything is deleted."""
        emptied, lock = [], threading.Lock()

        def spoil(request, answer):
            with lock:
                if emptied or "/insights?" not in request or not json.loads(answer.body).get("data"):
                    return answer
                emptied.append(request)
            return answer._replace(body=b'{"data":[]}')

        proxy = HttpProxy(self.api.url)
        self.addCleanup(proxy.stop)
        world = self.world(self.sink("sqlite"), "facebook", api=proxy.url)
        self.assertEqual(world.run().code, 0)
        proxy.spoil = spoil
        run = world.run()
        self.assertEqual(run.code, 0, run)
        self.assertTrue(emptied)
        self.assert_says(run, "the answer was empty although the table has rows", "asking once more")
        self.assert_whole(world)


class Rows(FaultCase, unittest.TestCase):
    """Rows that are not as they should be: they are set aside or repaired, counted, and the others are loaded."""

    def loads_all_but(self, fault, spoilt, repaired=False, **how):
        world = self.world(self.sink("sqlite"), "facebook")
        self.api.mend()
        self.api.fault(fault, times=1, **how)
        run = world.run("facebook", "--stream", how.get("stream", "campaigns"))
        self.assertEqual(run.code, 0, run)
        quarantined = sum(load["quarantined"] for load in world.sink.loads())
        self.assertEqual(quarantined, spoilt, run)
        self.assertEqual(self.api.struck(fault), 1)
        return world, run

    def test_f33_text_that_is_not_utf8_or_holds_nul_is_repaired_and_said(self):
        for fault in ("bad_utf8", "nul"):
            with self.subTest(fault=fault):
                world, run = self.loads_all_but(fault, spoilt=0, path="/campaigns")
                self.assertIn("became U+FFFD", run.said)
                names = world.sink.ask("SELECT count(*) AS n FROM meta_campaigns WHERE name LIKE '%\ufffd%'")
                self.assertEqual(names[0]["n"], 1)
                self.api.mend()
                self.assertEqual(world.run("facebook", "--full-refresh").code, 0)
                self.assert_whole(world)

    def test_f34_a_value_that_is_no_number_sets_its_row_aside_until_it_is_one(self):
        world = self.world(self.sink("sqlite"), "facebook")
        self.api.fault("bad_row", times=1, path="/insights")
        run = world.run()
        self.assertEqual(run.code, 0, run)
        self.assertEqual(sum(load["quarantined"] for load in world.sink.loads()), 1)
        self.api.mend()
        again = world.run("facebook", "--full-refresh")
        self.assertEqual(again.code, 0, again)
        self.assert_whole(world)
        self.assertEqual(world.sink.ask("SELECT count(*) AS n FROM _sluice_quarantine")[0]["n"], 0)

    def test_f35_a_very_long_text_is_stored_whole_or_its_row_set_aside_where_the_column_has_a_length(self):
        name, lock, spoilt = "long " * 200_000, threading.Lock(), set()

        def spoil(request, answer):
            if "/campaigns?" not in request:
                return answer
            body = json.loads(answer.body)
            with lock:
                if not spoilt:
                    spoilt.update(row["id"] for row in body["data"][:1])
            for row in body["data"]:
                row["name"] = name if row["id"] in spoilt else row["name"]
            return answer._replace(body=json.dumps(body).encode())

        for kind, column, quarantined in (("sqlite", None, 0), ("postgres", "varchar(200)", 1)):
            with self.subTest(sink=kind):
                proxy = HttpProxy(self.api.url)
                self.addCleanup(proxy.stop)
                world = self.world(self.sink(kind), "facebook", api=proxy.url)
                self.assertEqual(world.run().code, 0)
                if column:
                    world.sink.ask(f"ALTER TABLE meta_campaigns ALTER COLUMN name TYPE {column}")
                spoilt.clear()
                proxy.spoil = spoil
                run = world.run("facebook", "--full-refresh")
                self.assertEqual(run.code, 0, run)
                self.assertEqual(sum(load["quarantined"] for load in world.sink.loads()), quarantined, run)
                if not column:
                    long = world.sink.ask("SELECT id FROM meta_campaigns WHERE length(name) = 1000000")
                    self.assertEqual({row["id"] for row in long}, spoilt)
                proxy.spoil = lambda request, answer: answer
                self.assertEqual(world.run("facebook", "--full-refresh").code, 0)
                self.assert_whole(world)

    def test_f32_a_row_that_comes_twice_is_counted_once(self):
        world = self.world(self.sink("sqlite"), "facebook")
        self.api.fault("duplicate_rows", times=3, path="/insights")
        run = world.run()
        self.assertEqual(run.code, 0, run)
        self.assertEqual(sum(load["duplicate"] for load in world.sink.loads()), 3)
        self.assert_whole(world)


if __name__ == "__main__":
    unittest.main()
