"""`gateway.pools.wrapper`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.interfaces import IAffinity, ILatencyAware, IPeerSelector, ISelector
from gateway.pools.least_latency import LeastLatency
from gateway.pools.priority import Priority
from gateway.pools.round_robin import RoundRobin
from gateway.pools.sticky import Cookie, Sticky
from gateway.pools.wrapper import Wrapper, chooser
from gateway.testing import FakeBackend, SelectorConformance, request_head
from gateway.values import Peer

HEAD = request_head()
PEER = Peer("192.0.2.1", 4711)


@implementer(IPeerSelector)
class Asks:
    """Remembers whom it was asked for."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []

    def select(self, candidates: Any, head: Any) -> Any:
        raise NotImplementedError

    def select_for(self, candidates: Any, head: Any, peer: Peer) -> Any:
        self.peers.append(peer)
        return candidates[0]


class WrapperTests(SelectorConformance, SynchronousTestCase):
    """What goes through."""

    def make_selector(self) -> Wrapper:
        return Wrapper(RoundRobin())

    def test_peer(self) -> None:
        """Comes through any number of them, to a selector that wants it."""
        asks = Asks()
        Wrapper(Wrapper(asks)).select_for((FakeBackend(),), HEAD, PEER)
        Wrapper(asks).select((FakeBackend(),), HEAD)
        self.assertEqual(asks.peers, [PEER, Peer("", 0)])

    def test_chooser(self) -> None:
        backend = FakeBackend()
        self.assertIs(chooser(RoundRobin())((backend,), HEAD, PEER), backend)

    def test_capabilities(self) -> None:
        clock = Clock()
        plain = Wrapper(RoundRobin())
        verifyObject(IPeerSelector, plain)
        verifyObject(ISelector, plain)
        self.assertFalse(ILatencyAware.providedBy(plain) or IAffinity.providedBy(plain))
        aware = Priority(lambda: Wrapper(LeastLatency(clock.seconds, 3.0)))
        verifyObject(ILatencyAware, aware)
        self.assertEqual(aware.decay, 3.0)

    def test_mark(self) -> None:
        """The outermost that can do it."""
        inner = Sticky(RoundRobin(), (Cookie("a"),), "one", b"key")
        outer = Sticky(inner, (Cookie("b"),), "two", b"key")
        through = Wrapper(inner)
        verifyObject(IAffinity, through)
        for selector, name in ((through, "a="), (Wrapper(outer), "b=")):
            ((_, line),) = selector.mark(FakeBackend(), HEAD, False)
            self.assertTrue(line.startswith(name))
