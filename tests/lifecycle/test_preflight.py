"""Tests of `gateway.lifecycle.preflight`; what the checks say in the end is in `tests.ctl.test_main`."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial import unittest

from gateway.config.model import Certificate, Gateway, HttpListener, Pool, Probe
from gateway.lifecycle.preflight import checks


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
        code = "import sys, gateway.ctl, gateway.tap; sys.exit('twisted.internet.reactor' in sys.modules)"
        self.assertEqual(subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode, 0)

    def test_rooms(self) -> None:
        """The configuration itself does not know who checks it."""
        code = (
            "import sys, gateway.config\n"
            "others = 'gateway.listener', 'gateway.factories', 'gateway.registry'\n"
            "sys.exit(any(name.startswith(others) for name in sys.modules))"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode, 0)
