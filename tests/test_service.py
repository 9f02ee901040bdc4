"""`gateway.service`: what a whole gateway makes of strategies that do not end, and that it serves once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gateway.config.model import BackendSettings, Gateway, HttpListener, Limits, Pool, Rule, Strategy
from gateway.interfaces import IClosing, IDiscovery, ITally
from gateway.middleware.base import Middleware
from gateway.service import GatewayService
from gateway.services import Factory
from gateway.testing import FakeBackend
from gateway.values import Route


@implementer(IClosing)
class Staying(Middleware):
    """Never closed."""

    def __init__(self, options: Any, services: Any) -> None:
        pass

    def close(self) -> Any:
        """See `IClosing`."""
        return Deferred()


@implementer(IDiscovery)
class Seeking:
    """Never stops."""

    def __init__(self, options: Any, services: Any) -> None:
        pass

    def start(self, found: Any) -> None:
        """See `IDiscovery`."""

    def stop(self) -> Any:
        """See `IDiscovery`."""
        return Deferred()


staying, seeking = Factory("staying", None, Staying), Factory("seeking", None, Seeking)


class StopTests(SynchronousTestCase):
    """A gateway on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.reactor.advance(1000)
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def started(self, *middleware: str, discovery: str | None = None) -> GatewayService:
        model = Gateway(
            listeners=(HttpListener(name="web", port=8080),),
            pools=(Pool(name="p", discovery=discovery and Strategy(strategy=f"{__name__}:{discovery}")),),
            settings=(BackendSettings(name="s"),),
            rules=(Rule(name="r", listener="web", pool="p", settings="s"),),
            middleware=tuple([Strategy(strategy=f"{__name__}:{name}") for name in middleware]),
            limits=Limits(shutdown_timeout=30),
        )
        service = GatewayService(model, reactor=self.reactor, transport="twisted", access_log="off")
        service.privilegedStartService()
        service.startService()
        return service

    def not_waited_for(self) -> list[str]:
        found = [formatEvent(event) for event in self.events if "not waited" in str(event.get("log_format"))]
        return [text.rpartition(": ")[2] for text in found]

    def test_strategies_that_do_not_end(self) -> None:
        """Discoveries have the time that stopping may take, then others a second; all of them are named."""
        service = self.started("staying", discovery="seeking")
        stopped = service.stopService()
        self.reactor.advance(29.9)
        self.assertEqual([], self.not_waited_for())
        self.reactor.advance(0.1)
        seeking = f"stop() of discovery '{__name__}:seeking' of pool 'p'"
        self.assertEqual([seeking], self.not_waited_for())
        self.assertNoResult(stopped)
        self.reactor.advance(1)
        self.successResultOf(stopped)
        self.assertEqual([seeking, f"close() of {__name__}.Staying"], self.not_waited_for())

    def test_one_that_is_not_closed_has_what_is_left(self) -> None:
        stopped = self.started("staying").stopService()
        self.reactor.advance(29.9)
        self.assertNoResult(stopped)
        self.reactor.advance(0.1)
        self.successResultOf(stopped)

    def test_hurry(self) -> None:
        """A second signal."""
        service = self.started("staying", discovery="seeking")
        service.hurry()
        stopped = service.stopService()
        service.hurry()
        self.assertEqual(1, len(self.not_waited_for()))
        service.hurry()
        self.successResultOf(stopped)
        self.assertEqual(2, len(self.not_waited_for()))

    def test_serves_once(self) -> None:
        """It says so rather than answering everything with 503."""
        service = self.started()
        for _ in range(2):
            stopped = service.stopService()
            for begin in service.startService, service.privilegedStartService:
                error = self.assertRaises(RuntimeError, begin)
                self.assertIn("this GatewayService has been stopped", str(error))
                self.assertIn("make a new one", str(error))
            self.successResultOf(stopped)
        self.assertEqual((False, 1), (bool(service.running), len(self.reactor.tcpServers)))
        self.assertEqual(8080, self.started().ports["web"])


@implementer(ITally)
class Numbers:
    """Wants no more."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def opened(self, outcome: Any) -> None:
        """See `IOutcomeObserver`."""

    ended = opened

    def tally(self, *numbers: Any) -> None:
        """See `ITally`."""
        self.told.append(numbers)


class ObserverTests(SynchronousTestCase):
    """Observers of others, contained."""

    def test_tallies(self) -> None:
        """One that wants numbers only does not keep the others from being told numbers only."""
        numbers, reactor = Numbers(), MemoryReactorClock()
        service = GatewayService(
            Gateway(), reactor=reactor, transport="twisted", access_log="off", observers=[numbers]
        )
        self.assertEqual(2, len(service.shared.tallies))
        route: Any = Route("web", "rule", Pool(name="p"), BackendSettings(name="s"))  # type: ignore[arg-type]
        service.shared.tally(route, FakeBackend(), 200, 1, 2, 0.5)  # type: ignore[arg-type]
        self.assertEqual([200, 1, 2, 0.5], [*numbers.told[0][2:]])
