"""`gateway.ctl.asking`: what ``gatewayctl reload`` says and returns."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.ctl import main as ctl
from gateway.ctl.asking import ask_to_reload
from gateway.ctl.main import main


class _Connection:
    """An admin port that gives one answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body
        self.asked: tuple[Any, ...] = ()

    def __call__(self, host: str, port: int, timeout: float) -> _Connection:
        self.place = host, port
        return self

    def request(self, *asked: Any) -> None:
        self.asked = asked

    def getresponse(self) -> _Connection:
        return self

    def read(self, limit: int) -> bytes:
        return self._body

    def close(self) -> None:
        """Nothing to do."""


class AskTests(SynchronousTestCase):
    """`ask_to_reload`."""

    def ask(self, status: int, answer: object) -> tuple[int, str, str]:
        self.connection = _Connection(status, json.dumps(answer).encode())
        out, err = io.StringIO(), io.StringIO()
        return ask_to_reload("[::1]:8081", out, err, self.connection), out.getvalue(), err.getvalue()

    def test_good(self) -> None:
        found = self.ask(200, {"reloaded": True, "changed": ["pools: +a"]})
        self.assertEqual((0, "reloaded\n  pools: +a\n", ""), found)
        self.assertEqual(("::1", 8081), self.connection.place)
        self.assertEqual(("POST", "/reload", b"{}", {"Content-Type": "application/json"}), self.connection.asked)

    def test_refused(self) -> None:
        status, out, err = self.ask(409, {"reloaded": False, "problems": ["line 3: rules[0]: no"]})
        self.assertEqual((1, ""), (status, out))
        self.assertEqual("not reloaded, the old configuration goes on:\n  line 3: rules[0]: no\n", err)

    def test_other_answers(self) -> None:
        self.assertIn("  use an IP address", self.ask(421, {"error": "use an IP address"})[2])
        self.connection = _Connection(200, b"<html>")
        err = io.StringIO()
        self.assertEqual(1, ask_to_reload("127.0.0.1:1", err, err, self.connection))
        self.assertIn("no answer of an admin port at 127.0.0.1:1", err.getvalue())

    def test_somebody_else(self) -> None:
        """Whatever is no answer of an admin port to this has reloaded nothing, and makes no traceback."""
        strange: tuple[object, ...] = (
            [], "x", 1, None, True, {}, {"ok": True}, {"reloaded": "yes", "changed": []}, {"reloaded": None},
            {"changed": []}, {"reloaded": True, "changed": None}, {"reloaded": True, "changed": [1]},
            {"problems": "abc"}, {"reloaded": False, "problems": None}, {"error": ["x"]},
        )  # fmt: skip
        for answer in strange:
            for status in 200, 409, 404:
                code, out, err = self.ask(status, answer)
                self.assertEqual((1, ""), (code, out), (status, answer))
                self.assertIn(f"at [::1]:8081 (status {status}) is not the gateway's admin port", err)
        self.assertEqual(1, self.ask(200, {"reloaded": False, "problems": ["no"]})[0])
        self.assertEqual(1, self.ask(409, {"reloaded": True, "changed": []})[0])

    def test_interrupted(self) -> None:
        """As a shell shows it, and without a traceback."""

        def interrupted(*_: object) -> int:
            raise KeyboardInterrupt

        self.patch(ctl, "ask_to_reload", interrupted)
        out, err = io.StringIO(), io.StringIO()
        self.assertEqual(130, main(["reload", "127.0.0.1:8081"], out, err))
        self.assertEqual(("", "gatewayctl: interrupted\n"), (out.getvalue(), err.getvalue()))

    def test_addresses(self) -> None:
        for address in "nonsense", "a:b", "a:0", "a:70000", "a b:1", "a\n:1":
            err = io.StringIO()
            self.assertEqual(2, main(["reload", address], err, err))
            self.assertIn("right would be HOST:PORT", err.getvalue())
