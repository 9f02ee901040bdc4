"""`.ci/run` does what the README says."""

from __future__ import annotations

import os
import re

from twisted.trial import unittest

from tests.packaging.environment import ROOT

TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/trial tests"
DEMO_COMMAND = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/twistd -n gateway --demo"


class CiTests(unittest.TestCase):
    """The commands that people type and the one that the machine types are the same."""

    def test_readme_has_the_two_commands(self) -> None:
        """Each on a line of its own, so that it can be copied."""
        lines = [line.strip() for line in (ROOT / "README.md").read_text("utf-8").splitlines()]
        self.assertIn(TEST_COMMAND, lines)
        self.assertIn(DEMO_COMMAND, lines)

    def test_ci_takes_the_command_from_the_readme(self) -> None:
        """The pattern in the script finds that line, and finds it first."""
        script = ROOT / ".ci" / "run"
        self.assertTrue(os.access(script, os.X_OK))
        found = re.search(r"grep -m 1 -E '(.+)' README\.md", script.read_text("utf-8"))
        assert found is not None
        pattern = re.compile(found[1])
        first = next(filter(pattern.search, (ROOT / "README.md").read_text("utf-8").splitlines()), "")
        self.assertEqual(first.strip(), TEST_COMMAND)
