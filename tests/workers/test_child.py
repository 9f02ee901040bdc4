"""`gateway.workers.child`, without a process."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Member
from gateway.lifecycle import reloading
from gateway.pools import changes
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.workers.child import _Child
from gateway.workers.link import Message


class _Link:
    def __init__(self) -> None:
        self.said: list[Message] = []
        self.transport = self

    def send(self, kind: str, **others: Any) -> None:
        self.said.append({"kind": kind, **others})

    def loseConnection(self) -> None:
        self.said.append({"kind": "closed"})


class _Service:
    def __init__(self) -> None:
        self.stopped: list[Deferred[None]] = []
        self.hurried = 0

    def stopService(self) -> Deferred[None]:
        self.stopped.append(Deferred())
        return self.stopped[-1]

    def hurry(self) -> None:
        self.hurried += 1


class ChildTests(SynchronousTestCase):
    """A worker that is told things by its parent, and by signals."""

    def setUp(self) -> None:
        none: Any = None
        self.child: Any = _Child(none)
        self.link = self.child.link = _Link()
        self.service = self.child._service = _Service()

    def after(self, *events: str) -> tuple[int, int]:
        """How often it was stopped and hurried by that."""
        for event in events:
            if event == "signal":
                self.child.signalled()
            else:
                self.child._told({"kind": event})
        return len(self.service.stopped), self.service.hurried

    def test_one_signal_for_all(self) -> None:
        """What the parent says adds nothing to a signal, nor the other way round."""
        self.assertEqual((1, 0), self.after("signal", "stop", "stop"))

    def test_one_signal_for_all_the_parent_first(self) -> None:
        self.assertEqual((1, 0), self.after("stop", "stop", "signal"))
        self.assertEqual([], self.link.said)

    def test_two_signals(self) -> None:
        self.assertEqual((1, 1), self.after("signal", "signal"))

    def test_two_signals_and_the_parent(self) -> None:
        self.assertEqual((1, 1), self.after("stop", "signal", "signal"))

    def test_hurried(self) -> None:
        """As the parent does when it is told a second time; alone it means nothing."""
        self.assertEqual((0, 0), self.after("hurry"))
        self.assertEqual((1, 1), self.after("stop", "hurry"))

    def test_alive(self) -> None:
        """It says so from its reactor: one that hangs does not."""
        self.assertEqual((0, 0), self.after("alive"))
        self.assertEqual([{"kind": "alive"}], self.link.said)

    def test_leaving(self) -> None:
        """The parent is told of a signal, once, and hears of the end when that is over."""
        self.after("signal", "signal")
        self.assertEqual([{"kind": "leaving"}], self.link.said)
        self.service.stopped[0].callback(None)
        self.assertEqual("closed", self.link.said[-1]["kind"])
        self.assertEqual(0, self.child.status)

    def test_no_start(self) -> None:
        """The parent is told why, and the status says it too."""

        def refuse() -> None:
            raise OSError(2, "No such file", "x.log")

        self.service.told = lambda message: refuse()  # type: ignore[attr-defined]
        self.child._told({"kind": "start", "members": [], "backends": []})
        self.assertEqual([{"kind": "failed", "reason": "[Errno 2] No such file: 'x.log'"}], self.link.said)
        self.assertEqual((1, 1), (len(self.service.stopped), self.child.status))

    def test_a_defect(self) -> None:
        """What nobody has foreseen is told with its traceback."""
        self.child._told({"kind": "start"})
        self.assertIn("Traceback", self.link.said[0]["reason"])
        self.assertEqual(1, self.child.status)

    def test_log(self) -> None:
        """Lines of the access log are sent whole; others up to a length, if they are not the parent's to say."""
        line = "x" * 100_000
        self.child.log({"log_namespace": "gateway.access", "log_level": LogLevel.info, "log_format": "", "line": line})
        for namespace, level in ("gateway", LogLevel.info), ("gateway.pools", LogLevel.warn), ("a", LogLevel.debug):
            self.child.log({"log_namespace": namespace, "log_level": level, "log_format": "{line}", "line": line})
        self.assertEqual(
            [{"kind": "access", "line": line}, {"kind": "log", "level": "info", "text": line[:20000]}], self.link.said
        )

    def test_said_by_parent(self) -> None:
        """States, members and reloads, as they are logged in fact; but not what goes wrong with them here."""
        pool = Pool("p", BackendSettings(name="s"), [Member(host="a", port=1)], RoundRobin())
        with capturedLogs() as events:
            pool.set_health(pool.backends[0], True, "fine")
            changes._log.info("members")
            reloading._log.info("reloaded")
            reloading._log.error("not reloaded")
        self.assertGreaterEqual(len(events), 4)
        for event in events:
            self.child.log(event)
        self.assertEqual([{"kind": "log", "level": "error", "text": "not reloaded"}], self.link.said)
