"""What `benchmarks/witness.py` writes down of a gateway that it looks at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.environment import ROOT

_WATCHED = """
import socket, sys, time
sys.path.append("benchmarks")
import witness
witness.install(sys.argv[1])

from twisted.internet import epollreactor
from gateway.transport.pump import Pump

class Rider:
    waiting = False
    def event(self, events):
        busy()
        pump.remove(ours.fileno())
        reactor.callLater(0.02, late)
    def again(self): pass
    def dropped(self, reason): pass

def busy():
    ends = time.monotonic() + 2 * witness.LONG
    while time.monotonic() < ends: pass

def late():
    busy()
    reactor.stop()

epollreactor.install()
from twisted.internet import reactor
pump = Pump(reactor)
ours, theirs = socket.socketpair()
pump.add(ours.fileno(), Rider())
reactor.callLater(0.02, theirs.send, b"x")
reactor.run()
"""


class WitnessTests(SynchronousTestCase):
    """Steps that took long."""

    skip = None if sys.platform == "linux" else "there is no epoll"

    def test_long_steps(self) -> None:
        """A turn of the pump and a timed call, each with the time that it ran, and none for what waited."""
        path = Path(self.mktemp())
        subprocess.run(
            [sys.executable, "-c", _WATCHED, str(path.absolute())],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            timeout=60,
        )
        turn, call = map(json.loads, path.read_text("ascii").splitlines())
        self.assertEqual(("Pump", "late"), (turn["what"], call["what"]))
        for step in (turn, call):
            self.assertTrue(step["cpu"] <= step["wall"] + 0.001, step)
            self.assertTrue(step["gc"] <= step["wall"], step)
        self.assertTrue(turn["at"] + turn["wall"] < call["at"])
