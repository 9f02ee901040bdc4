"""What routers, selectors and pools say to a request in a lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from gateway.config.model import PassiveHealth
from gateway.errors import NoRoute
from gateway.health.passive import Passive
from gateway.values import NeedsAddress, Reply
from tests.dialogue import GET, OK, POST
from tests.listener.lane_acts import AGAIN, LIMITS, Act, LaneCase, answers, asks, healthy, passes
from tests.listener.lanes import World, agree, warmed


class _Router:
    """Routes as another does, after ``first(head)``, which may answer instead or raise."""

    def __init__(self, first: Callable[[Any], Any]) -> None:
        self._first = first
        self.other: Any = None

    def route(self, head: Any, listener: str) -> Any:
        found = self._first(head) if head.target == "/again" else None
        other = self.other.route(head, listener)
        return other if found is None else found(other) if callable(found) else found


class _Stamp:
    """Middleware that leaves a mark."""

    traffic = frozenset({"http"})

    def request(self, head: Any, context: Any) -> None:
        """Let it pass."""

    def response(self, head: Any, context: Any) -> Any:
        return head._replace(fields=[*head.fields, ("X-Stamp", "1")])

    def body(self, head: Any, context: Any) -> None:
        """Not changed."""


class DecisionTests(LaneCase):
    """What routers, selectors and pools may say to the second request of a connection."""

    def routed(self, first: Callable[[Any], Any], *acts: Act, ended: int = 1, **options: Any) -> None:
        """With a router that does this with the request for ``/again``; others are plain."""

        def begins(world: World) -> None:
            router = _Router(first)
            router.other, world.shared.router = world.shared.router, router

        self.same(begins, asks(AGAIN), *acts, asks(), answers(), ended=ended, **options)

    def test_replies(self) -> None:
        self.routed(lambda head: Reply(403, (), b"no"))
        self.routed(lambda head: Reply(204))
        self.routed(lambda head: Reply(200, (("X-A", "a\r\nb"),), b""))
        self.flushLoggedErrors()

    def test_errors(self) -> None:
        def fails(error: Exception) -> Callable[[Any], Any]:
            def route(head: Any) -> None:
                raise error

            return route

        self.routed(fails(NoRoute("no rule")))
        self.routed(fails(ZeroDivisionError("x")))
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_oddities(self) -> None:
        self.routed(lambda head: "nonsense")
        self.routed(lambda head: lambda other: NeedsAddress(lambda address: other), answers())
        self.routed(lambda head: lambda other: other._replace(verbatim=False), answers())
        self.routed(lambda head: lambda other: other._replace(middleware=(_Stamp(),)), answers())

    def test_later(self) -> None:
        waiting: list[Deferred[Any]] = []

        def later(head: Any) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1]

        self.routed(later, lambda world: waiting.pop().callback(Reply(403)))
        self.routed(later, lambda world: waiting.pop().errback(NoRoute("no rule")))
        self.routed(later, lambda world: waiting.clear(), passes(31), limits={})
        self.routed(later, asks(), lambda world: waiting.pop().callback(Reply(403)), answers(), ended=1)

    def test_selectors(self) -> None:
        def selects(what: Any) -> Act:
            def act(world: World) -> None:
                before = world.pool._select

                def select(candidates: Any, head: Any) -> Any:
                    if head.target != "/again":
                        return before(candidates, head)
                    if isinstance(what, Exception):
                        raise what
                    return what

                world.pool._select, world.pool.heedless, world.pool._simple = select, False, False

            return act

        for what in (None, "nobody", ZeroDivisionError("x")):
            self.same(selects(what), asks(AGAIN), asks(), answers(), ended=1)
        self.flushLoggedErrors()

    def test_no_backend(self) -> None:
        self.same(healthy(False), asks(), healthy(True), asks(), answers(), ended=1)

    def test_passive_health(self) -> None:
        """Two bad answers in a lane, and another backend is asked, until the ejection ends."""
        down = OK.replace(b"200 OK", b"503 Down")

        def watches(world: World) -> None:
            Passive(world.pool, PassiveHealth(server_errors=2, base_ejection_seconds=8), world.clock).watch()

        def first(data: bytes) -> Act:
            return lambda world: world.road.ends["10.0.0.1"][0].sends(data)

        def second(data: bytes) -> Act:
            return lambda world: world.road.ends["10.0.0.2"][0].sends(data)

        both = [asks(), second(OK), asks(), first(down), asks(), second(OK), asks(), first(down)]
        ejected = [asks(), second(OK), asks(), second(OK)]
        back = [passes(8.1), asks(), asks(), first(OK), second(OK), second(OK)]
        world = agree(self, [warmed, watches, *both, *ejected, *back], backends=2, limits=LIMITS)
        self.assertEqual(5, world.ended)
        self.assertGreater(world.pool.backends[0].ejections, 0)

    def test_another_backend(self) -> None:
        """Each has its turn; there is no idle connection to the second."""
        begins = [asks(), answers(), asks(), lambda world: world.ends[0].sends(OK)]
        self.same(*begins, asks(), answers(), backends=2, ended=2)

    def test_another_host(self) -> None:
        self.same(asks(GET.replace(b"example.com", b"example.net")), asks(), answers(), ended=1)

    def test_a_way_that_fails(self) -> None:
        """Something foreign raises: it costs the connection, and the lease comes back."""

        def breaks(world: World) -> None:
            def upstream_for(route: Any, backend: Any) -> Any:
                raise ZeroDivisionError("no way")

            world.shared.upstream_for = upstream_for

        self.same(breaks, asks(), ended=0)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_middleware_on_one_path(self) -> None:
        """One connection, a rule with middleware and one without."""

        def some(world: World) -> None:
            router = _Router(lambda head: lambda other: other._replace(middleware=(_Stamp(),)))
            router.other, world.shared.router = world.shared.router, router

        plain, stamped = [asks(), answers()], [asks(AGAIN), answers()]
        self.same(some, *plain, *stamped, *plain, *stamped, *stamped, *plain, ended=3)

    def test_dedicated_connections(self) -> None:
        settings = {"dedicated_backend_connection": True}
        self.same(asks(), answers(), asks(POST), answers(), settings=settings, ended=0)

    def test_hosts_and_paths_that_are_changed(self) -> None:
        for changes in ({"host_name": "other.example"}, {"path": "/x/"}):
            self.same(asks(), answers(), settings=changes, ended=0)

    def test_trusted_proxies(self) -> None:
        said = GET[:-2] + b"X-Forwarded-For: 198.51.100.1\r\nX-AppGW-Trace-Id: " + b"a" * 32 + b"\r\n\r\n"
        agree(self, [warmed, asks(said), answers()], used=False, trusted=["203.0.113.0/24"])

    def test_the_limit_for_bodies(self) -> None:
        for most, ended in ((4, 0), (5, 1)):
            world = agree(self, [warmed, asks(POST), answers()], used=False, limits={"max_body_bytes": most})
            self.assertEqual(ended, world.ended)
