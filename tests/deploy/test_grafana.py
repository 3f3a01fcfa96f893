#!/usr/bin/env python3
"""The dashboard, each of its queries asked of a Prometheus that watches a running sluice."""

import json
import pathlib
import re
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT
from running import start_all

dashboard = json.loads((PROJECT / "deploy" / "grafana" / "sluice.json").read_text())
panels = dashboard["panels"]
variables = [v for v in dashboard["templating"]["list"] if v["type"] == "query"]
# What Grafana puts in for its own variables; ours select everything.
filled = {"$__rate_interval": "1m", **{"$" + v["name"]: v["allValue"] for v in variables}}


def as_prometheus_sees_it(query):
    for name, value in filled.items():
        query = query.replace(name, value)
    return query


class Layout(unittest.TestCase):
    def test_six_rows(self):
        self.assertEqual([p["title"] for p in panels if p["type"] == "row"],
                         ["Are my data fresh?", "Runs", "Volume", "APIs", "Sink", "Process"])

    def test_panels_have_places_and_explanations_of_their_own(self):
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells
            self.assertLessEqual(at["x"] + at["w"], 24)
            self.assertTrue(panel["type"] == "row" or panel["description"], panel["title"])
        self.assertEqual(len({p["id"] for p in panels}), len(panels))

    def test_nothing_is_tied_to_one_data_source_or_pipeline(self):
        for asker in [t for p in panels for t in p.get("targets", [])] + variables + dashboard["annotations"]["list"]:
            self.assertEqual(asker["datasource"]["uid"], "${datasource}")
        text = json.dumps(dashboard)
        for variable in variables:
            self.assertIn(f'{variable["name"]}=~\\"${variable["name"]}\\"', text)


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.api, cls.sluice, cls.prometheus = start_all(cls, hold_for="1s")
        # A run that succeeds first and one that fails next: then there is something to see everywhere.
        cls.prometheus.until("success", lambda: cls.prometheus.query("sluice_quarantine_rows"))
        cls.api.fault("expired_token")
        cls.prometheus.until("alert", lambda: cls.prometheus.query(
            'ALERTS{alertname="SluicePipelineFailing", alertstate="firing"}'))

    def expect_series(self, where, query):
        with self.subTest(where):
            self.assertTrue(self.prometheus.query(as_prometheus_sees_it(query)), query)

    def test_every_panel_shows_something(self):
        for panel in panels:
            for target in panel.get("targets", []):
                self.expect_series(panel["title"], target["expr"])

    def test_every_annotation_is_found(self):
        for annotation in dashboard["annotations"]["list"]:
            self.expect_series(annotation["name"], annotation["expr"])

    def test_every_variable_has_values(self):
        for variable in variables:
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
            self.expect_series(variable["name"], f'group by ({label}) ({metric})')


if __name__ == "__main__":
    unittest.main(verbosity=0)
