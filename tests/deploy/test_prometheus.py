#!/usr/bin/env python3
"""Debian's Prometheus with the shipped configuration and rules, against a sluice that runs."""

import re
import time
import unittest

import yaml

from running import rules_file, start_all


class Watched(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.api, cls.sluice, cls.prometheus = start_all(cls, hold_for="10s")
        cls.prometheus.until("success of both pipelines that start by themselves", lambda: len(cls.prometheus.query(
            'sum by (pipeline) (sluice_pipeline_runs_total{outcome="succeeded"}) > 2')) == 2)
        cls.prometheus.until("dozen scrapes", lambda: cls.prometheus.query("count_over_time(up[1h]) > 12"))
        cls.started = time.time()  # all that a normal start brings has happened

    def test_the_target_is_up_under_the_name_that_the_rules_know(self):
        targets = self.prometheus.get("targets")["activeTargets"]
        self.assertEqual([(t["labels"]["job"], t["health"], t["lastError"]) for t in targets], [("sluice", "up", "")])

    def test_the_rules_are_loaded_and_can_be_evaluated(self):
        shipped = yaml.safe_load(rules_file.read_text())["groups"][0]["rules"]
        loaded = self.prometheus.get("rules")["groups"][0]["rules"]
        self.assertEqual([(r["name"], r["health"]) for r in loaded],
                         [(r.get("alert") or r["record"], "ok") for r in shipped])

    def test_sluice_tells_every_series_that_the_rules_ask_for(self):
        # Names with their matchers, such as sluice_sink_up or sluice_stream_rows_total{stage="read"}.
        asked = re.findall(r"\b(?:sluice|process)_\w+(?:\{[^}]*\})?", rules_file.read_text().split("groups:", 1)[1])
        self.assertGreater(len(asked), 20)
        for selector in asked:
            with self.subTest(selector):
                # Outcomes and reasons are there from the start, but a status other than 200 once it was seen.
                selector = selector.replace('{code!~"2.."}', "")
                self.assertTrue(self.prometheus.query(selector))

    def test_pipelines_that_start_by_themselves_are_watched(self):
        active = self.prometheus.query("sluice:pipeline_active")
        self.assertEqual({series["metric"]["pipeline"] for series in active}, {"live", "follows"})

    def test_a_normal_start_is_silent(self):
        fired = self.prometheus.query(
            f'count_over_time(ALERTS{{alertstate="firing"}}[1h] @ {self.started})')
        self.assertEqual([series["metric"] for series in fired], [])

    def test_an_alert_fires_and_resolves(self):
        def failing():
            return {a["labels"]["pipeline"]: a["annotations"]["summary"]
                    for a in self.prometheus.alerts("SluicePipelineFailing") if a["state"] == "firing"}

        self.assertEqual(failing(), {})
        self.api.fault("expired_token")
        fired = self.prometheus.until("alert", lambda: (found := failing()) and "live" in found and found)
        self.assertLessEqual(set(fired), {"live", "follows"})  # the latter where the fault met a run of its own
        self.assertRegex(fired["live"], r"^live has not succeeded for \d+ runs$")
        self.api.mend()
        self.prometheus.until("end of the alert", lambda: not self.prometheus.alerts("SluicePipelineFailing"))


if __name__ == "__main__":
    unittest.main(verbosity=0)
