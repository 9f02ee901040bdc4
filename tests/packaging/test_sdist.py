"""The source distribution has all that its own tests read."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from twisted.trial import unittest

from tests.packaging import environment
from tests.packaging.environment import ROOT


def _missing() -> str | None:
    """Why it cannot be known what belongs to the project; ``None`` where it can."""
    return None if (ROOT / ".git").exists() and shutil.which("git") else "not a clone"


class SdistTests(unittest.TestCase):
    """What ``MANIFEST.in`` takes."""

    skip = environment.missing() or _missing()

    def test_everything_is_in_it(self) -> None:
        """All that is in the repository; what else lies about in a clone is its owner's."""
        listing = ["git", "ls-files", "-z"]
        told = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
        known = [name for name in told.split("\0") if name and (ROOT / name).exists()]
        tree, made = Path(self.mktemp()).resolve(), Path(self.mktemp()).resolve()
        for name in known:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
        command = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(made)]
        subprocess.run(command, cwd=tree, capture_output=True, check=True, timeout=120)
        (archive,) = made.iterdir()
        with tarfile.open(archive) as opened:
            files = {member.name.partition("/")[2]: member.mode for member in opened if member.isfile()}
        self.assertEqual([], sorted({*known} - {*files}))
        self.assertTrue(files[".ci/run"] & 0o100, "it can be run")
