"""`gateway.listener.renewal`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.errors import ConfigurationError, Problem
from gateway.listener.renewal import SECONDS, Renewal, certificate_files
from gateway.watched import stamps


class RenewalTests(SynchronousTestCase):
    """One file that somebody replaces."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.write("one")
        self.clock = Clock()
        self.calls = 0
        self.error: Exception | None = None
        self.reading: Deferred[list[Problem] | None] | None = None
        self.renewal = Renewal(stamps([self.path]), self.reload, self.clock)
        self.renewal.start()
        self.addCleanup(self.renewal.stop)

    def write(self, text: str) -> None:
        with open(self.path + ".new", "w") as file:
            file.write(text)
        os.replace(self.path + ".new", self.path)

    def reload(self) -> Deferred[list[Problem] | None] | None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return self.reading

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

    def another_is_removed(self) -> str:
        """A file that is looked at too, and is gone."""
        other = self.mktemp()
        Path(other).write_text("another")
        self.renewal.stop()
        self.renewal = Renewal(stamps([self.path, other]), self.reload, self.clock)
        self.renewal.start()
        self.addCleanup(self.renewal.stop)
        os.remove(other)
        return other

    def test_gone(self) -> None:
        """A file that stays away is a change too, and does not keep others from being read again."""
        self.another_is_removed()
        self.error = ConfigurationError([Problem("certificates[0].certificateFile", "cannot read it")])
        with capturedLogs() as said:
            self.assertEqual(1, self.looks(12))
        self.assertEqual(1, len([event for event in said if "cannot read it" in formatEvent(event)]))
        self.error = None
        self.write("two, longer")
        self.assertEqual(2, self.looks(3))

    def test_gone_for_a_while(self) -> None:
        """It keeps no other waiting that is there."""
        other = self.another_is_removed()
        self.write("two, longer")
        self.assertEqual(1, self.looks(2))
        Path(other).write_text("the other one, anew")
        self.assertEqual(2, self.looks(2))
        self.assertEqual(2, self.looks(9))

    def test_replaced_before(self) -> None:
        """What has changed since it was read, before this began to look, is read again."""
        self.renewal.stop()
        used = stamps([self.path])
        self.write("two, longer")
        renewal = Renewal(used, self.reload, self.clock)
        renewal.start()
        self.addCleanup(renewal.stop)
        self.assertEqual(1, self.looks(3))

    def test_allowed(self) -> None:
        """A file that may be read now is another one, though its content is not."""
        os.chmod(self.path, 0)
        self.error = PermissionError(13, "Permission denied")
        self.assertEqual(1, self.looks(3))
        self.error = None
        os.chmod(self.path, 0o600)
        self.assertEqual(2, self.looks(3))

    def test_slow(self) -> None:
        """While files are read nobody looks; what changes meanwhile is read again."""
        self.reading = Deferred()
        self.write("two, longer")
        self.assertEqual(1, self.looks(2))
        self.write("three, longer still")
        self.assertEqual(1, self.looks(3))
        reading, self.reading = self.reading, None
        reading.callback(None)
        self.assertEqual(2, self.looks(3))

    def test_stopped_while_it_is_read(self) -> None:
        """Nobody looks any more, and nothing is said of what is not shown."""
        self.reading = Deferred()
        self.write("two, longer")
        self.assertEqual(1, self.looks(2))
        self.renewal.stop()
        with capturedLogs() as said:
            self.reading.errback(ValueError("half of a file"))
        self.assertEqual(([], []), (list(said), self.clock.getDelayedCalls()))

    def test_unforeseen(self) -> None:
        """It goes on."""
        self.error = RuntimeError("not of this world")
        self.write("two, longer")
        self.assertEqual(1, self.looks(3))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.error = None
        self.write("three, longer still")
        self.assertEqual(2, self.looks(3))

    def test_broken(self) -> None:
        """What cannot be used is tried once; the next change is tried again."""
        self.error = ValueError("no certificate")
        self.write("broken file")
        self.assertEqual(1, self.looks(4))
        self.error = None
        self.write("a good file again")
        self.assertEqual(2, self.looks(2))

    def test_some_are_broken(self) -> None:
        """Of each that stays as it was is said what is wrong with it."""
        self.reading = Deferred()
        self.write("two, longer")
        self.assertEqual(1, self.looks(2))
        with capturedLogs() as said:
            self.reading.callback([Problem(f"certificates[{number}].keyFile", "cannot read it") for number in (1, 3)])
        self.assertEqual(
            [f"certificates[{number}].keyFile: cannot read it; the old one stays" for number in (1, 3)],
            [formatEvent(event) for event in said if event["log_level"] is LogLevel.error],
        )

    def test_what_is_said(self) -> None:
        """Which files have changed; and what clients will mind of what is shown now."""
        other = self.another_is_removed()
        Path(other).write_text("another")
        self.looks(2)
        self.reading = Deferred()
        self.write("two, longer")
        self.looks(2)
        warning = Problem("certificates[0].certificateFile", "CN=a expires in 3 days", severity="warning")
        with capturedLogs() as said:
            self.reading.callback([warning])
        self.assertEqual(
            [
                ("info", f"certificates have been read again, for files have changed: {self.path}"),
                ("warn", "certificates[0].certificateFile: CN=a expires in 3 days"),
            ],
            [(event["log_level"].name, formatEvent(event)) for event in said],
        )

    def test_nothing_to_look_at(self) -> None:
        clock = Clock()
        renewal = Renewal({}, self.reload, clock)
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
