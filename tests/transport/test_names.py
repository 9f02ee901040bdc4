"""`gateway.transport.names`."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.names import Names, Reactor


def v4(*last: int) -> list[Any]:
    return [IPv4Address("TCP", f"192.0.2.{number}", 80) for number in last]


class Resolver:
    """Answers when the test says so, or at once with ``immediate``."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, str]] = []
        self.immediate: Any = None
        self.cancelled = 0

    def resolveHostName(self, receiver: Any, host: str, *others: Any) -> None:
        self.asked.append((receiver, host))
        receiver.resolutionBegan(self)
        if self.immediate is not None:
            self.answer(self.immediate)

    def cancel(self) -> None:
        self.cancelled += 1

    def answer(self, addresses: Any, seconds: float | None = None) -> None:
        receiver = self.asked[-1][0]
        receiver.seconds = seconds
        for address in addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


class Receiver:
    """Who asks. ``found`` is ``None`` until the resolution is complete."""

    def __init__(self) -> None:
        self.found: Any = None
        self.resolution: Any = None
        self._addresses: list[Any] = []

    def resolutionBegan(self, resolution: Any) -> None:
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        self.found = self._addresses


class NamesTests(SynchronousTestCase):
    """What is remembered, and for how long."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.resolver = Resolver()
        self.moved: list[Any] = []
        self.names = Names(lambda: self.resolver, self.clock, lambda *moved: self.moved.append(moved))
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: Any) -> None:
        if event.get("log_namespace") == "gateway.names":
            self.said.append(event["log_format"].format(**event))

    def ask(self, host: str = "backend.test", port: int = 80) -> Receiver:
        receiver = Receiver()
        self.names.resolveHostName(receiver, host, port)
        return receiver

    def known(self, *last: int) -> None:
        """The name is known and a little old."""
        self.ask()
        self.resolver.answer(v4(*last))
        self.clock.advance(6)

    def test_once_for_all(self) -> None:
        """Whoever asks meanwhile waits with the first one, and who asks within five seconds is told at once."""
        first, second = self.ask(), self.ask()
        self.assertIsNone(first.found)
        self.resolver.answer(v4(1))
        self.assertEqual((first.found, second.found), (v4(1), v4(1)))
        self.clock.advance(4.9)
        self.assertEqual(self.ask().found, v4(1))
        self.assertEqual(len(self.resolver.asked), 1)

    def test_asked_again(self) -> None:
        """New addresses are used as soon as five seconds are over."""
        self.known(1)
        receiver = self.ask()
        self.assertIsNone(receiver.found)
        self.resolver.answer(v4(2))
        self.assertEqual(receiver.found, v4(2))
        self.assertEqual(self.said, [])

    def test_names_and_ports(self) -> None:
        self.known(1)
        self.assertIsNone(self.ask("other.test").found)
        self.assertIsNone(self.ask(port=81).found)
        self.assertEqual(len(self.resolver.asked), 3)

    def test_answer_within_the_call(self) -> None:
        self.resolver.immediate = v4(1)
        self.assertEqual(self.ask().found, v4(1))
        self.resolver.immediate = []
        self.assertEqual(self.ask("nobody.test").found, [])

    def test_failure(self) -> None:
        """The last good addresses, at once and without another wait, until the name server works again."""
        self.known(1)
        receiver = self.ask()
        self.resolver.answer([])
        self.assertEqual(receiver.found, v4(1))
        for _ in range(3):
            self.clock.advance(6)
            self.assertEqual(self.ask().found, v4(1))
            self.resolver.answer([])
        self.clock.advance(6)
        self.assertEqual(self.ask().found, v4(1))
        self.resolver.answer(v4(2))
        self.assertEqual(self.ask().found, v4(2))
        self.assertEqual(
            self.said,
            [
                "the name backend.test is not found; its last good addresses are used",
                "the name backend.test is found again",
            ],
        )

    def test_slow(self) -> None:
        """A name server that is silent delays the first connection by a second, and no other."""
        self.known(1)
        receiver = self.ask()
        self.clock.advance(0.9)
        self.assertIsNone(receiver.found)
        self.clock.advance(0.1)
        self.assertEqual(receiver.found, v4(1))
        self.assertEqual(self.ask().found, v4(1))
        self.clock.advance(30)
        self.assertEqual(self.ask().found, v4(1))
        self.assertEqual(len(self.resolver.asked), 2)
        self.resolver.answer(v4(2))
        self.assertEqual(self.ask().found, v4(2))

    def test_unknown(self) -> None:
        """A name that was never good fails, and is not asked for again by each connection."""
        receiver = self.ask()
        self.resolver.answer([])
        self.assertEqual(receiver.found, [])
        self.clock.advance(4)
        self.assertEqual(self.ask().found, [])
        self.assertEqual(len(self.resolver.asked), 1)
        self.clock.advance(1)
        self.assertIsNone(self.ask().found)
        self.assertEqual(self.said, [])

    def test_turns(self) -> None:
        """Connections are spread over the addresses of the family that comes first; the others stay behind."""
        v6 = [IPv6Address("TCP", "2001:db8::1", 80)]
        self.resolver.immediate = [*v4(1, 2, 3), *v6]
        found = [self.ask().found for _ in range(6)]
        self.assertEqual([addresses[0] for addresses in found], v4(2, 3, 1, 2, 3, 1))
        for addresses in found:
            self.assertEqual(sorted(addresses[:3], key=str), v4(1, 2, 3))
            self.assertEqual(addresses[3:], v6)

    def test_cancelled(self) -> None:
        """Who does not want it any more is not told, and the others are."""
        first, second = self.ask(), self.ask()
        first.resolution.cancel()
        self.resolver.answer(v4(1))
        self.assertEqual((first.found, second.found), (None, v4(1)))

    def test_stop(self) -> None:
        self.known(1)
        receiver = self.ask()
        self.names.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.resolver.cancelled, 1)
        self.resolver.answer(v4(2))
        self.assertIsNone(receiver.found)

    def test_ttl(self) -> None:
        """An answer is good for as long as it says; then it is asked for before anybody wants it."""
        self.ask()
        self.resolver.answer(v4(1), 60)
        self.clock.advance(59.9)
        self.assertEqual(self.ask().found, v4(1))
        self.assertEqual(len(self.resolver.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.resolver.asked), 2)
        self.resolver.answer(v4(2), 60)
        self.assertEqual(self.ask().found, v4(2))
        self.assertEqual(len(self.resolver.asked), 2)

    def test_short_ttl(self) -> None:
        """Who connects gets what is good now; by itself a name is not looked up more often than every five seconds."""
        self.ask()
        self.resolver.answer(v4(1), 1)
        self.clock.advance(1)
        receiver = self.ask()
        self.resolver.answer(v4(2), 1)
        self.assertEqual(receiver.found, v4(2))
        self.clock.advance(4.9)
        self.assertEqual(len(self.resolver.asked), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.resolver.asked), 3)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1, "the patience for it")

    def test_not_used(self) -> None:
        """What nobody has asked for in five minutes is not asked for again."""
        self.ask()
        self.resolver.immediate = v4(1)
        for _ in range(20):
            self.resolver.answer(v4(1), 60) if len(self.resolver.asked) == 1 else None
            self.clock.advance(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertLessEqual(len(self.resolver.asked), 6)

    def test_failure_of_a_timed_name(self) -> None:
        """It is tried every five seconds, and its last good addresses are used."""
        self.ask()
        self.resolver.answer(v4(1), 10)
        self.clock.advance(10)
        for count in range(2, 6):
            self.assertEqual(len(self.resolver.asked), count)
            self.resolver.answer([])
            self.assertEqual(self.ask().found, v4(1))
            self.clock.advance(5)
        self.resolver.answer(v4(2), 10)
        self.assertEqual(self.ask().found, v4(2))

    def test_moved(self) -> None:
        """Told when the addresses are others, whatever their order; a failure moves nothing."""
        self.known(1, 2)
        for answer in ([2, 1], [], [2], [2], [3, 2]):
            self.ask()
            self.resolver.answer(v4(*answer))
            self.clock.advance(6)
        wanted = [["192.0.2.2"], ["192.0.2.2", "192.0.2.3"]]
        self.assertEqual(self.moved, [("backend.test", 80, frozenset(hosts)) for hosts in wanted])

    def test_bounded(self) -> None:
        """However many names there are."""
        self.resolver.immediate = v4(1)
        for number in range(10_100):
            self.ask(f"host-{number}.test")
        self.assertEqual(len(self.names._names), 10_000)


class ReactorTests(SynchronousTestCase):
    """A reactor with these names."""

    def test_endpoint(self) -> None:
        """Twisted's own endpoint takes it for a reactor, and asks these names."""
        memory, resolver = MemoryReactorClock(), Resolver()
        resolver.immediate = v4(7)
        reactor = Reactor(memory, Names(lambda: resolver, memory))
        self.assertTrue(IReactorPluggableNameResolver.providedBy(reactor) and IReactorTime.providedBy(reactor))
        HostnameEndpoint(reactor, b"backend.test", 80).connect(Factory.forProtocol(Protocol))
        self.assertEqual([client[:2] for client in memory.tcpClients], [("192.0.2.7", 80)])
