"""`gateway.listener.renewal`."""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.listener.renewal import SECONDS, Renewal, certificate_files


class RenewalTests(SynchronousTestCase):
    """One file that somebody replaces."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.write("one")
        self.clock = Clock()
        self.calls = 0
        self.error: Exception | None = None
        self.renewal = Renewal([self.path], self.reload, self.clock)
        self.renewal.start()
        self.addCleanup(self.renewal.stop)

    def write(self, text: str) -> None:
        with open(self.path + ".new", "w") as file:
            file.write(text)
        os.replace(self.path + ".new", self.path)

    def reload(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error

    def looks(self, count: int) -> int:
        """How often it was reloaded after ``count`` more looks."""
        for _ in range(count):
            self.clock.advance(SECONDS)
        return self.calls

    def test_changed(self) -> None:
        """Read again once, when it has been left alone for one look."""
        self.assertEqual(0, self.looks(3))
        self.write("two, longer")
        self.assertEqual(0, self.looks(1))
        self.assertEqual(1, self.looks(1))
        self.assertEqual(1, self.looks(3))

    def test_still_being_written(self) -> None:
        for size in range(5):
            self.write("x" * (10 + size))
            self.assertEqual(0, self.looks(1))
        self.assertEqual(1, self.looks(1))

    def test_missing(self) -> None:
        """Between the removal of the old file and the arrival of the new one nothing happens."""
        os.remove(self.path)
        self.assertEqual(0, self.looks(3))
        self.write("new and longer")
        self.assertEqual(1, self.looks(2))

    def test_broken(self) -> None:
        """What cannot be used is tried once; the next change is tried again."""
        self.error = ValueError("no certificate")
        self.write("broken file")
        self.assertEqual(1, self.looks(4))
        self.error = None
        self.write("a good file again")
        self.assertEqual(2, self.looks(2))

    def test_nothing_to_look_at(self) -> None:
        clock = Clock()
        renewal = Renewal([], self.reload, clock)
        renewal.start()
        self.assertEqual([], clock.getDelayedCalls())
        renewal.stop()

    def test_files(self) -> None:
        gateway = model.Gateway.model_validate(
            {
                "certificates": [
                    {"name": "a", "certificateFile": "a.pem", "keyFile": "a.key"},
                    {"name": "b", "data": "AAAA"},
                ],
                "trustedClientCertificates": [{"name": "c", "file": "ca.pem"}],
            }
        )
        self.assertEqual(["a.key", "a.pem", "ca.pem"], certificate_files(gateway))
