"""The tutorial, typed by a machine."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from twisted.trial import unittest

from tests.integration.shell import ROOT, matches, missing, open_shell, steps


class TutorialTests(unittest.TestCase):
    """`docs/tutorial.md`."""

    skip = missing()
    timeout = 180

    def setUp(self) -> None:
        self.document = (ROOT / "docs" / "tutorial.md").read_text("utf-8")

    def test_every_command_does_what_the_tutorial_says(self) -> None:
        """From the first backend to the last `kill`; only the installation is left to tests.packaging."""
        directory = Path(tempfile.mkdtemp(prefix="gateway-tutorial-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        shell = open_shell(self, directory)
        done = 0
        for step in steps(self.document):
            if "pip install" in step.command:
                continue
            shell.expect(step.command, step.expected.replace("900...", "..."))
            done += 1
        self.assertGreater(done, 20)

    def test_configurations_are_the_examples(self) -> None:
        """Every YAML block is one of the files, word for word but for the comments at its head."""
        examples = [
            re.sub(r"\A(?:#.*\n)*", "", path.read_text("utf-8")) for path in (ROOT / "examples").glob("*.yaml")
        ]
        blocks = re.findall(r"^```yaml\n(.*?)^```", self.document, re.M | re.S)
        self.assertEqual(len(blocks), 3)
        for block in blocks:
            self.assertIn(block, examples)

    def test_readme_shows_the_smallest_example(self) -> None:
        """Six lines."""
        block = re.search(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
        assert block is not None
        self.assertEqual(block[1], (ROOT / "examples" / "minimal.yaml").read_text("utf-8"))
        self.assertEqual(len(block[1].splitlines()), 6)


class MatchTests(unittest.SynchronousTestCase):
    """The comparison itself can fail."""

    def test_matches(self) -> None:
        """Dots stand for anything, all else for itself."""
        self.assertTrue(matches("a...c", "a\nb\nc\n"))
        self.assertTrue(matches("", "\n"))
        self.assertTrue(matches("...", ""))
        self.assertFalse(matches("a", "ab"))
        self.assertFalse(matches("a.b", "axb"))

    def test_steps(self) -> None:
        """Commands and their output, also in indented blocks; other blocks are left alone."""
        text = "```console\n$ one\n1\n2\n$ two &\n```\n```yaml\n$ no\n```\n  ```console\n  $ three\n  3\n  ```\n"
        self.assertEqual(steps(text), [("one", "1\n2"), ("two &", ""), ("three", "3")])
