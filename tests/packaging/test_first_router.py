"""`docs/first-router.md`, typed by a machine, from an empty directory, in an environment of its own."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial import unittest

from tests.integration import shell
from tests.packaging import environment

_FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", re.M | re.S)


class FirstRouterTests(unittest.TestCase):
    """Every file is written, and every command does what the page says."""

    skip = environment.missing() or shell.missing()
    timeout = 180

    def test_all(self) -> None:
        document = (shell.ROOT / "docs" / "first-router.md").read_text("utf-8")
        place = environment.make(self)
        place.install()
        opened = shell.open_shell(self, place.elsewhere, place.directory / "venv")
        done = 0
        for part in re.split(r"(?m)^## ", document)[1:]:
            files = [(found.start(), found) for found in _FILE.finditer(part)]
            done += self.type(opened, place.elsewhere, part, files)
        self.assertGreater(done, 12)

    def type(self, opened: shell.Shell, directory: Path, part: str, files: list[tuple[int, re.Match[str]]]) -> int:
        """One section: its files and commands in the order in which they stand."""
        blocks = [(found.start(), found[0]) for found in re.finditer(r"^```console\n.*?^```", part, re.M | re.S)]
        done = 0
        for _, thing in sorted([*files, *blocks], key=lambda item: item[0]):
            if isinstance(thing, re.Match):
                (directory / thing[1]).write_text(opened.translate(thing[2]), "utf-8")
                continue
            for step in shell.steps(thing):
                if "-m venv" in step.command:
                    continue  # it has been made
                opened.expect(step.command, step.expected)
                done += 1
        return done
