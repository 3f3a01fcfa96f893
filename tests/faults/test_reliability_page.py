#!/usr/bin/env python3
"""Every fault has its row in docs/reliability.md, every test that the page names exists, and every test is on the page."""
import pathlib
import re
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
page = (TESTS.parent / "docs" / "reliability.md").read_text()
here = "\n".join(file.read_text() for file in pathlib.Path(__file__).parent.glob("test_*.py"))


class Page(unittest.TestCase):
    def test_each_fault_has_a_row(self):
        self.assertEqual(re.findall(r"^\| F(\d+) \|", page, re.MULTILINE), [str(n) for n in range(1, 50)])

    def test_each_fault_is_made_for_real_or_its_row_says_why_not(self):
        for number, tests in re.findall(r"^\| F(\d+) \| .* \| (.*) \|$", page, re.MULTILINE):
            self.assertRegex(tests, rf"^none: \w+|`test_f{number:0>2}_\w+`", f"F{number}")

    def test_the_tests_that_it_names_exist(self):
        for name in re.findall(r"`(test_\w+)`", page):
            self.assertIn(f"def {name}(", here)
        named = re.findall(r'tests/(\S+\.cpp) "([^"]+)"', page)
        self.assertGreater(len(named), 25)
        for file, title in named:
            source = re.sub(r'"\s*\n\s*"', "", (TESTS / file).read_text())
            self.assertIn(f'"{title}"', source, file)

    def test_the_tests_of_faults_are_on_it(self):
        for name in re.findall(r"def (test_f\d\d_\w+)\(", here):
            self.assertIn(f"`{name}`", page)


if __name__ == "__main__":
    unittest.main()
