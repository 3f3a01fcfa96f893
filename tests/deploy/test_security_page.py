#!/usr/bin/env python3
"""Every test, fuzz target and page that SECURITY.md names exists."""
import re
import unittest

from test_operations import PROJECT, anchors

page = (PROJECT / "SECURITY.md").read_text()


class Page(unittest.TestCase):
    def test_the_tests_that_it_names_exist(self):
        named = re.findall(r'(tests/\S+\.(?:cpp|py)) "([^"]+)"', page)
        self.assertGreater(len(named), 50)
        for file, title in named:
            source = re.sub(r'"\s*\n\s*"', "", (PROJECT / file).read_text())
            self.assertTrue((f"def {title}(" if file.endswith(".py") else f'"{title}"') in source, f"{file}: {title}")

    def test_the_fuzz_targets_that_it_names_exist(self):
        for file in re.findall(r"tests/fuzz/\w+\.cpp", page):
            self.assertTrue((PROJECT / file).exists(), file)

    def test_each_statement_names_what_proves_it(self):
        rows = re.findall(r"^\| .+? \| (.+) \|$", page.split("## What is protected", 1)[1].split("\n## ", 1)[0], re.MULTILINE)
        self.assertGreater(len(rows), 30)
        for proof in rows:
            self.assertRegex(proof, r"^(tests/|no test$|test$|\[docs/testing)")

    def test_links_lead_somewhere(self):
        for target in re.findall(r"\]\(([^)]+)\)", page):
            file, _, anchor = target.partition("#")
            self.assertTrue((PROJECT / file).exists(), target)
            if anchor:
                self.assertIn(anchor, set(anchors((PROJECT / file).read_text())), target)


if __name__ == "__main__":
    unittest.main(verbosity=0)
