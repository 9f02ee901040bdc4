"""`gateway.discovery.file` and `gateway.discovery.static`."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.discovery import file, static
from gateway.interfaces import IDiscovery, IStrategyFactory
from gateway.services import Services


class FileDiscoveryTests(SynchronousTestCase):
    """Looking again and again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp()).absolute()
        self.found: list[str] = []
        self.said: list[str] = []
        self.changes = 0
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: Any) -> None:
        if event.get("log_namespace") == "gateway.discovery":
            self.said.append(event["log_format"].format(**event).removeprefix(f"members in {self.path}: "))

    def start(self) -> Any:
        made = file.factory.build(
            file.FileOptions(path=str(self.path), interval=1), Services(self.clock, self.clock, Random(1))
        )
        verifyObject(IDiscovery, made)
        made.start(lambda members: self.found.append(" ".join([member.host for member in members])))
        self.addCleanup(made.stop)
        return made

    def write(self, text: str) -> None:
        """As one should: to another file that is renamed, with a time of its own."""
        other = self.path.with_suffix(".new")
        other.write_text(text, "utf-8")
        self.changes += 1
        os.utime(other, (1_000_000 + self.changes, 1_000_000 + self.changes))
        other.rename(self.path)

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, file.factory)
        self.assertEqual(file.factory.name, "file")

    def test_changes(self) -> None:
        self.write("a.test\n")
        self.start()
        self.assertEqual(self.found, ["a.test"])
        self.clock.pump([1, 1, 1])
        self.write("a.test\nb.test\n")
        self.assertEqual(len(self.found), 1)
        self.clock.advance(1)
        self.write("# the same\na.test\nb.test\n")
        self.clock.advance(1)
        self.assertEqual(self.found, ["a.test", "a.test b.test"])
        self.assertEqual(self.said, [])

    def test_only_read_when_it_changed(self) -> None:
        self.write("a.test\n")
        read = self.patch(file, "read_members", counted := Counted(file.read_members))
        self.start()
        self.clock.pump([1] * 10)
        self.assertEqual(counted.calls, 1)
        read.restore()

    def test_broken(self) -> None:
        """The last good members stay, and the log says once why."""
        self.write("a.test\n")
        self.start()
        self.write("a.test weight=0\n")
        self.clock.pump([1, 1, 1])
        self.write("")
        self.clock.advance(1)
        self.write("b.test\n")
        self.clock.advance(1)
        self.assertEqual(self.found, ["a.test", "b.test"])
        self.assertEqual(
            self.said,
            [
                "line 1: weight: Input should be greater than or equal to 1; the last good members stay",
                "the file lists nobody; the last good members stay",
            ],
        )

    def test_gone(self) -> None:
        self.write("a.test\n")
        self.start()
        self.path.unlink()
        self.clock.pump([1, 1, 1])
        self.assertEqual(self.said, ["No such file or directory; the last good members stay"])
        self.write("b.test\n")
        self.clock.advance(1)
        self.assertEqual(self.found, ["a.test", "b.test"])

    def test_refused(self) -> None:
        """What the system did not let it read is tried again, though the file has not changed; it is logged once."""
        for suffix in (".txt", ".json"):
            self.path = self.path.with_suffix(suffix)
            self.found.clear()
            self.said.clear()
            self.write('["a.test"]' if suffix == ".json" else "a.test\n")
            refusing = self.patch(builtins, "open", refuse)
            self.start()
            self.clock.pump([1, 1, 1])
            self.assertEqual(len(self.said), 1)
            self.assertIn("Permission denied", self.said[0])
            refusing.restore()
            self.clock.advance(1)
            self.assertEqual(self.found, ["a.test"])

    def test_gone_again(self) -> None:
        self.write("a.test\n")
        self.start()
        away = self.path.with_suffix(".away")
        for times in (1, 2):
            self.path.rename(away)
            self.clock.pump([1, 1, 1])
            self.assertEqual(len(self.said), times)
            away.rename(self.path)
            self.clock.pump([1, 1, 1])
        self.assertEqual(self.found, ["a.test"])

    def test_not_there_yet(self) -> None:
        self.start()
        self.assertEqual(self.said, ["No such file or directory; no members are known"])
        self.write("a.test\n")
        self.clock.advance(1)
        self.assertEqual(self.found, ["a.test"])

    def test_emptied(self) -> None:
        """By a list that says so."""
        self.path = self.path.with_suffix(".json")
        self.write('["a.test"]')
        self.start()
        self.write("[]")
        self.clock.advance(1)
        self.assertEqual(self.found, ["a.test", ""])

    def test_stop(self) -> None:
        made = self.start()
        made.stop()
        made.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrong_options(self) -> None:
        for options in ({}, {"path": "members.txt"}, {"path": "/m", "interval": 0}, {"path": "/m", "more": 1}):
            self.assertRaises(ValidationError, file.FileOptions.model_validate, options)


def refuse(*args: object) -> None:
    """Instead of ``open``."""
    raise PermissionError(13, "Permission denied")


class Counted:
    """A function whose calls are counted."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.function(*arguments)


class StaticTests(SynchronousTestCase):
    """What is listed."""

    def test_nobody_else(self) -> None:
        verifyObject(IStrategyFactory, static.factory)
        self.assertEqual(static.factory.name, "static")
        made = static.factory.build(None, None)
        verifyObject(IDiscovery, made)
        found: list[Any] = []
        made.start(found.append)
        made.stop()
        self.assertEqual(found, [()])
