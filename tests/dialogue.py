"""Conversations with a gateway whose parts are put together by hand; see `gateway.testing.dialogue`.

::

    class SomeTests(DialogueCase):
        def test_get(self) -> None:
            gateway = self.gateway(middleware=[Scripted()])
            ...

Everything between the two wires is real, except routes, strategies and certificates that a test asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.logger import ILogObserver, Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from gateway.config import model
from gateway.errors import SessionEnded
from gateway.exchange.surroundings import Surroundings
from gateway.http.forwarded import TrustedProxies
from gateway.interfaces import IBackend
from gateway.listener.factory import ListenerFactory
from gateway.messages.filtering import NamedFilter
from gateway.observe.sessions import Sessions
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.routing.table import RoutingTable
from gateway.testing import dialogue
from gateway.testing.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING, Party, frame
from gateway.transport.deadlines import Deadlines
from gateway.upstream.connections import Upstream
from gateway.values import Outcome, Route

__all__ = ["GET", "GOODBYE", "HANDSHAKE", "OK", "POST", "SWITCHING", "Dialogue", "DialogueCase", "Party", "frame"]

GOODBYE = SessionEnded(1001, "the gateway is shutting down", "shutdown")
"""What connections are told when it stops."""


class Dialogue(dialogue.Dialogue):
    """A gateway with one listener for ``example.com``, one pool, and a redirect for ``/moved/``.

    ``settings`` and ``limits`` are those of the configuration; ``router`` replaces the routing table; ``tls_for`` is
    that of `Upstream`; ``trusted`` are networks of proxies; ``middleware`` is the gateway's,
    ``filters`` are the rule's; ``uploads`` is room for request bodies.
    """

    no_errors = frozenset({"ok", "redirect", "reply"})

    def __init__(
        self,
        test: SynchronousTestCase,
        backends: int = 2,
        *,
        settings: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        router: Any = None,
        tls_for: Any = None,
        trusted: Sequence[str] = (),
        observers: Sequence[Any] = (),
        admission: Any = None,
        middleware: Sequence[Any] = (),
        filters: Sequence[Any] = (),
        uploads: Any = None,
    ) -> None:
        self.prepare(test)
        self.deadlines = Deadlines(self.clock)
        self.sessions = Sessions(self.clock)
        self.upstreams: dict[IBackend, Upstream] = {}
        self._tls_for = tls_for
        self.model = _model(backends, settings or {}, limits or {})
        log = Logger("tests.pool", observer=_drop)
        self.pool = Pool("pool", self.model.settings[0], self.model.pools[0].members, RoundRobin(), log)
        self.pools = [self.pool]
        for backend in self.pool.backends:
            self.pool.set_health(backend, True, "as the test wants it")
        self.shared = Surroundings(
            router=router
            or RoutingTable(
                self.model,
                {("pool", "settings"): self.pool},
                {(): tuple(middleware)},
                {("rule", "rule"): tuple([_named(each, number) for number, each in enumerate(filters)])},
            ),
            upstream_for=self._upstream_for,
            deadlines=self.deadlines,
            seconds=self.clock.seconds,
            limits=self.model.limits,
            sessions=self.sessions,
            soon=self.soon,
            observers=[*observers, self.recorder],
            trusted=TrustedProxies(trusted),
            uploads=uploads,
        )
        self.factory = ListenerFactory(
            "web", 8080, self.shared, self.shared.trusted, admission=admission, lost=self.lost.append
        )
        self.factories = {"web": self.factory}

    def _upstream_for(self, route: Route, backend: IBackend) -> Upstream:
        if backend not in self.upstreams:
            ways = Upstream(backend, route.settings, self.road, self.clock.seconds, self._tls_for)
            self.upstreams[backend] = ways
        return self.upstreams[backend]

    def check_outcome(self, outcome: Outcome) -> None:
        """Where something went wrong there is an error that says what."""
        if outcome.upstream_status != 101:
            self.test.assertEqual(outcome.cause in self.no_errors, outcome.error is None)

    def stop(self) -> None:
        """Nothing but connections to backends is left."""
        for upstream in self.upstreams.values():
            self.run(upstream.close)


class DialogueCase(dialogue.DialogueCase):
    """Tests that talk through such a gateway."""

    def gateway(self, backends: int = 2, **options: Any) -> Dialogue:  # type: ignore[override]
        """A new gateway."""
        return self.opened(Dialogue(self, backends, **options))


@provider(ILogObserver)
def _drop(event: Any) -> None:
    """The pool's transitions are of no interest here."""


def _named(filter: Any, number: int) -> NamedFilter:
    return filter if isinstance(filter, NamedFilter) else NamedFilter("test", filter, f"rules[0].filters[{number}]")


def _model(backends: int, settings: dict[str, Any], limits: dict[str, Any]) -> model.Gateway:
    members = tuple(model.Member(host=f"10.0.0.{number + 1}", port=9000) for number in range(backends))
    return model.Gateway(
        listeners=(model.HttpListener(name="web", port=8080, host_names=("example.com",)),),
        pools=(model.Pool(name="pool", members=members),),
        settings=(model.BackendSettings(name="settings", **settings),),
        redirects=(model.Redirect(name="away", target_url="https://example.org/new"),),
        path_maps=(
            model.PathMap(
                name="paths",
                default_pool="pool",
                default_settings="settings",
                path_rules=(model.PathRule(name="moved", paths=("/moved/*",), redirect="away"),),
            ),
        ),
        rules=(model.Rule(name="rule", listener="web", path_map="paths"),),
        limits=model.Limits(**limits),
    )
