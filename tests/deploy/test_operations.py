#!/usr/bin/env python3
"""What docs/operations.md quotes and links to exists."""

import pathlib
import re
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from programs import PROJECT

page = (PROJECT / "docs" / "operations.md").read_text()


def sources():
    """All C++ sources, adjacent string literals joined as the compiler does."""
    folders = ("core", "daemon", "db", "net", "scheduler", "sinks")
    files = [p for folder in folders for p in (PROJECT / folder).glob("*.cpp")]
    return re.sub(r'"\s*\n\s*"', "", "\n".join(p.read_text() for p in files))


def anchors(text):
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


class Operations(unittest.TestCase):
    def test_messages_are_those_of_the_program(self):
        code = sources()
        messages = re.findall(r"^\| `([^`]+)` \|", page.split("## From message to action", 1)[1], re.MULTILINE)
        self.assertGreater(len(messages), 30)
        for message in messages:
            for part in message.split("…"):
                self.assertTrue(part.strip() in code, f"no source says: {part}")

    def test_links_lead_somewhere(self):
        for target in re.findall(r"\]\(([^)]+)\)", page):
            file, _, anchor = target.partition("#")
            linked = (PROJECT / "docs" / file).resolve() if file else PROJECT / "docs" / "operations.md"
            self.assertTrue(linked.exists(), target)
            if anchor:
                self.assertIn(anchor, set(anchors(linked.read_text())), target)


if __name__ == "__main__":
    unittest.main(verbosity=0)
