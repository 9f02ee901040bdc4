"""Tests for `gateway.filters.log_tap`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import ConfigurationError
from tests.filters.support import Tried


class LogTapTests(SynchronousTestCase):
    """Lines of JSON, without what was said unless that is asked for."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def test_who_and_how_much(self) -> None:
        tried = Tried("log-tap", file=str(self.path))
        self.assertIsNone(tried.client("gr\u00fc\u00df"))
        self.assertIsNone(tried.backend(b"\xff"))
        first, second = self.lines()
        self.assertRegex(first.pop("time"), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
        wanted = {"traceId": "t", "user": "eve", "sender": "client", "kind": "text", "bytes": 6}
        self.assertEqual(wanted, first)
        self.assertEqual(("backend", "binary", 1), (second["sender"], second["kind"], second["bytes"]))
        self.assertEqual(0o640, self.path.stat().st_mode & 0o777 | 0o040)

    def test_some_of_the_text_cannot_break_the_line(self) -> None:
        tried = Tried("log-tap", file=str(self.path), text=4, sender="client")
        tried.client("a\n\u2028" + '"' * 100)
        tried.client(b"bytes")
        tried.backend("backend")
        first, second = self.lines()
        self.assertEqual(('a\n\u2028"', None), (first["text"], second.get("text")))

    def test_the_file_is_open_while_there_are_sessions(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        tried = Tried("log-tap", file=str(self.path))
        other = tried.opened()
        self.assertEqual(before + 1, len(os.listdir("/proc/self/fd")))
        tried.closed()
        other.message("x", True)
        other.closed(None)
        self.assertEqual((before, 1), (len(os.listdir("/proc/self/fd")), len(self.lines())))

    def test_a_file_that_cannot_be_written_stops_the_start(self) -> None:
        error = self.assertRaises(ConfigurationError, Tried, "log-tap", file=str(self.path / "no" / "file"))
        self.assertIn("No such file or directory", str(error))
