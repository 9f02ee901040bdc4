"""Tests of `gateway.lifecycle.preflight`; what the checks say in the end is in `tests.ctl.test_main`."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial import unittest

from gateway.config.model import Certificate, Gateway, HttpListener, Pool, Probe
from gateway.lifecycle.preflight import checks
from tests.packaging.environment import ROOT


class PreflightTests(unittest.SynchronousTestCase):
    """`checks`."""

    def test_all(self) -> None:
        """Certificates, selectors and probes; paths are the model's."""
        model = Gateway(
            listeners=(HttpListener(name="l", port=1, protocol="Https", certificates=("c",)),),
            certificates=(Certificate(name="c", data="*"),),
            pools=(Pool(name="p", selector="nope"),),
            probes=(Probe(name="q", strategy="nope"),),
        )
        found = [problem.path for check in checks() for problem in check(model)]
        self.assertEqual(found, ["certificates[0].data", "pools[0].selector", "probes[0].strategy"])
        self.assertEqual([problem for check in checks() for problem in check(Gateway())], [])

    def test_no_reactor(self) -> None:
        """Checking a configuration neither needs nor installs one."""
        self.check("import sys, gateway.ctl.main, gateway.tap; sys.exit('twisted.internet.reactor' in sys.modules)")

    def test_rooms(self) -> None:
        """The configuration itself does not know who checks it, only the names of strategies."""
        self.check(
            "import sys, gateway.config\n"
            "others = 'gateway.listener', 'gateway.lifecycle', 'gateway.strategies.'\n"
            "known = {name for name in sys.modules if name.startswith(others)}\n"
            "sys.exit(known != {'gateway.strategies.groups'} and str(known))"
        )

    def check(self, code: str) -> None:
        """That ``code`` ends well in a process of its own, with the modules of this tree."""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
