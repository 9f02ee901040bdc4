"""What importing the gateway may not do."""

from __future__ import annotations

import json
import subprocess
import sys

from twisted.trial import unittest

from tests.packaging.environment import ROOT

_IMPORT_ALL = """
import importlib, json, pkgutil, sys, warnings
warnings.simplefilter("error", DeprecationWarning)
import gateway
names = [m.name for m in pkgutil.walk_packages(gateway.__path__, "gateway.") if not m.name.endswith("__main__")]
guilty = None
for name in names:
    importlib.import_module(name)
    if guilty is None and "twisted.internet.reactor" in sys.modules:
        guilty = name
print(json.dumps([names, guilty]))
"""


class ImportTests(unittest.TestCase):
    """All modules, imported one after the other in a process of their own."""

    def test_no_module_installs_the_reactor(self) -> None:
        """Reactor and clock are passed in: importing must not choose a reactor for the process."""
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT_ALL], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        names, guilty = json.loads(done.stdout)
        self.assertIn("gateway.interfaces", names)
        self.assertIsNone(guilty, f"{guilty} imports twisted.internet.reactor, at top level or through another module")
