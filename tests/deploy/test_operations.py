#!/usr/bin/env python3
"""What docs/operations.md quotes and links to exists, and what somebody on call may meet is on it."""

import pathlib
import re
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT

page = (PROJECT / "docs" / "operations.md").read_text()


def sources():
    """All C++ sources, adjacent string literals joined as the compiler does."""
    folders = ("connectors", "core", "daemon", "db", "net", "scheduler", "sinks")
    files = [p for folder in folders for p in (PROJECT / folder).glob("*.cpp")]
    return re.sub(r'"\s*\n\s*"', "", "\n".join(p.read_text() for p in files))


LITERAL = r'"((?:[^"\\\n]|\\.)*)"'


def literals(code):
    """The texts of at least three words in a piece of code."""
    found = re.findall(LITERAL, re.sub(r'"\s*\n\s*"', "", code))
    return [text.replace('\\"', '"') for text in found if len(re.findall(r"[A-Za-z]+", text)) > 2]


def between(path, begin, end):
    code = (PROJECT / path).read_text()
    return code.split(begin, 1)[1].split(end, 1)[0]


def notices():
    """What warnings and errors say that are no failure of a run."""
    begins = r"(?:Notice\{\s*Level::(?:warning|error),|log\w*\.write\(Level::(?:warning|error),|notice\.message \+?=|plain\(Level::warning,)"
    for folder in ("connectors", "daemon", "net", "scheduler", "sinks"):
        for path in (PROJECT / folder).glob("*.cpp"):
            code = re.sub(r'"\s*\n\s*"', "", path.read_text())
            for begun in re.findall(begins + r"(.*?);\n", code, re.DOTALL):
                yield from literals(begun)


def anchors(text):
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


messages = re.findall(r"^\| `([^`]+)` \|", page.split("## From message to action", 1)[1], re.MULTILINE)
health = page.split("## Health and exit status", 1)[1].split("\n## ", 1)[0]


class Operations(unittest.TestCase):
    def explain(self, said):
        known = [message.split("…") for message in messages]
        for text in said:
            self.assertTrue(any(all(part.strip() in text for part in parts) for parts in known), f"not explained: {text}")

    def test_messages_are_those_of_the_program(self):
        code = sources()
        self.assertGreater(len(messages), 30)
        for message in messages:
            for part in message.split("…"):
                self.assertTrue(part.strip() in code, f"no source says: {part}")

    def test_warnings_of_the_daemon_are_explained(self):
        said = list(notices())
        self.assertGreater(len(said), 10)
        self.explain(said)

    def test_advice_about_databases_is_explained(self):
        said = literals(between("db/postgres_error.cpp", "std::array rules{", "};"))
        self.assertGreater(len(said), 10)
        sqlite = literals(between("db/sqlite.cpp", "switch (", "default:"))
        self.assertGreater(len(sqlite), 5)
        self.explain(text for text in said + sqlite if text != "it is tried again")

    def test_refusals_of_apis_are_explained_by_their_codes(self):
        meta = (PROJECT / "docs/sources/facebook_ads.md").read_text()
        code = between("connectors/facebook_ads_dialect.cpp", "constexpr Rule first_rules", "const Rule* find_rule")
        refusals = re.findall(r"\{(\d+), (\d+), Reaction::(?:stop|renew|no_access)", code)
        self.assertGreater(len(refusals), 20)
        for number, more in refusals:
            self.assertRegex(meta, rf"[ (]{number}/{more}[,)]" if more != "0" else rf"[ (]{number}[,)]")
        google = (PROJECT / "docs/sources/google_ads.md").read_text()
        code = between("connectors/google_ads_dialect.cpp", "constexpr Rule rules", "const Rule* find_rule")
        refusals = re.findall(r'\{"(\w+)", "(\w*)", Reaction::(?:stop|no_access)', code)
        self.assertGreater(len(refusals), 10)
        for kind, value in refusals:
            self.assertTrue((value or kind) in google, value or kind)

    def test_health_and_exit_status_are_explained(self):
        checks = re.findall(r'[({]"(\w+)",', between("daemon/app_control.cpp", "Daemon::health()", "return health;"))
        self.assertEqual(len(checks), 3)
        for check in checks:
            self.assertRegex(health, rf"(?m)^\| `\[[+-]\] {check}: ")
        for number in re.findall(r"\w+ = (\d+)", between("daemon/cli.hpp", "namespace exit_code {", "}")):
            self.assertRegex(health, rf"(?m)^\| {number} \|")
        code = sources()
        for text in ("the old one; the file as it was at", "stopping: nothing new is started",
                     "the state store does not answer", "the event loop does not turn"):
            self.assertTrue(text in code and text in health, text)

    def test_headings_that_messages_name_are_there(self):
        named = re.findall(r'\\"([^"\\]+)\\" in docs/operations.md', sources())
        self.assertTrue(named)
        for heading in named:
            self.assertRegex(page, rf"(?m)^#+ {re.escape(heading)}$")

    def test_each_alert_says_what_it_means_and_what_to_do(self):
        for alert in re.findall(r"- alert: (\w+)", (PROJECT / "deploy/prometheus/alerts.yml").read_text()):
            paragraph = page.split(f"### {alert}\n", 1)[1].split("\n#", 1)[0]
            for part in ("*Means:*", "*Look at:*", "*Do:*"):
                self.assertIn(part, " ".join(paragraph.split()), alert)

    def test_links_lead_somewhere(self):
        for target in re.findall(r"\]\(([^)]+)\)", page):
            file, _, anchor = target.partition("#")
            linked = (PROJECT / "docs" / file).resolve() if file else PROJECT / "docs" / "operations.md"
            self.assertTrue(linked.exists(), target)
            if anchor:
                self.assertIn(anchor, set(anchors(linked.read_text())), target)


if __name__ == "__main__":
    unittest.main(verbosity=0)
