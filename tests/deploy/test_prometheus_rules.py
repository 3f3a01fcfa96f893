#!/usr/bin/env python3
"""The alert rules by themselves: what promtool says of them, and that each is complete, tested and explained."""

import pathlib
import re
import subprocess
import sys
import unittest

import yaml

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT
from running import rules_file

cases = sorted((pathlib.Path(__file__).parent / "alerts").glob("*.yml"))
rules = [rule for group in yaml.safe_load(rules_file.read_text())["groups"] for rule in group["rules"]]
alerts = [rule for rule in rules if "alert" in rule]


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def fired():
    """The labels of each alert that a case expects to fire."""
    for path in cases:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for check in test["promql_expr_test"]:
                for sample in check["exp_samples"]:
                    labels = dict(re.findall(r'(\w+)="([^"]*)"', sample.get("labels", "")))
                    if labels.get("alertstate") == "firing":
                        yield labels


class Rules(unittest.TestCase):
    def test_files_are_taken(self):
        for kind, name in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
            code, said = promtool("check", kind, rules_file.parent / name)
            self.assertEqual(code, 0, said)

    def test_cases(self):
        for path in cases:
            with self.subTest(path.name):
                code, said = promtool("test", "rules", path)
                self.assertEqual(code, 0, said)

    def test_every_alert_is_seen_to_fire(self):
        self.assertEqual({labels["alertname"] for labels in fired()}, {rule["alert"] for rule in alerts})

    def test_every_alert_says_how_bad_it_is_what_happened_and_what_to_do(self):
        anchors = set(re.findall(r"^#+ (\w+)$", (PROJECT / "docs" / "operations.md").read_text(), re.MULTILINE))
        severities = {labels["severity"] for labels in fired()}
        self.assertEqual(severities, {"critical", "warning", "info"})
        for rule in alerts:
            with self.subTest(rule["alert"]):
                self.assertIn("for", rule)
                self.assertIn("severity", rule["labels"])
                self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"})
                file, anchor = rule["annotations"]["runbook_url"].split("#")
                self.assertEqual((file, anchor),
                                 ("file:///usr/share/doc/sluice/docs/operations.md", rule["alert"].lower()))
                self.assertIn(rule["alert"], anchors)

    def test_texts_name_labels_that_the_alert_has(self):
        labels = {found["alertname"]: found for found in fired()}
        for rule in alerts:
            for text in rule["annotations"].values():
                for name in re.findall(r"\$labels\.(\w+)", text):
                    self.assertIn(name, labels[rule["alert"]], rule["alert"])


if __name__ == "__main__":
    unittest.main(verbosity=0)
