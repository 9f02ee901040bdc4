"""`gateway.pools.sticky`."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from pydantic import ValidationError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings
from gateway.interfaces import IAffinity, IStrategyFactory
from gateway.pools.least_connections import LeastConnections
from gateway.pools.round_robin import RoundRobin
from gateway.pools.sticky import Cookie, Sticky, application_gateway, factory
from gateway.services import Services
from gateway.testing import FakeBackend, SelectorConformance, request_head

BACKENDS = tuple([FakeBackend(f"10.0.0.{number}") for number in range(1, 4)])


def head_with(*cookies: str) -> Any:
    return request_head(fields=[("Cookie", "; ".join(cookies))] if cookies else [])


def build(services: Any = None, **options: Any) -> Sticky:
    services = Services(Clock(), Clock(), Random(1), b"of this gateway") if services is None else services
    return factory.build(factory.options(**options), services._replace(make=lambda name, value: RoundRobin()))


class StickyTests(SelectorConformance, SynchronousTestCase):
    """Choosing and marking."""

    def make_selector(self) -> Sticky:
        return build()

    def test_interfaces(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "sticky")
        verifyObject(IAffinity, self.make_selector())

    def test_comes_back(self) -> None:
        selector = self.make_selector()
        for backend in BACKENDS:
            ((name, line),) = selector.mark(backend, head_with(), False)
            self.assertEqual(name, "Set-Cookie")
            head = head_with("other=1", line.partition(";")[0])
            self.assertEqual({selector.select(BACKENDS, head) for _ in range(10)}, {backend})
            self.assertEqual(selector.mark(backend, head, False), ())

    def test_new_clients(self) -> None:
        """Are spread by the selector within, and nothing else but the cookie's value is believed."""
        selector = self.make_selector()
        for head in (head_with(), head_with("gateway-backend=10.0.0.1:80"), head_with("gateway-backend=")):
            counts = Counter([selector.select(BACKENDS, head) for _ in range(30)])
            self.assertEqual(set(counts.values()), {10})

    def test_backend_gone(self) -> None:
        """The client gets another one, and another cookie; until the first is back, if it has not been told."""
        selector = self.make_selector()
        value = f"gateway-backend={selector.value(BACKENDS[1])}"
        rest = (BACKENDS[0], BACKENDS[2])
        self.assertEqual({selector.select(rest, head_with(value)) for _ in range(4)}, set(rest))
        self.assertEqual(len(selector.mark(rest[0], head_with(value), False)), 1)
        self.assertIs(selector.select(BACKENDS, head_with(value)), BACKENDS[1])

    def test_value(self) -> None:
        """22 letters that say nothing, different for pools, settings and keys."""
        values = set()
        for scope in ("pool\nplain", "pool\nsecure"):
            for key in (b"one", b"other"):
                sticky = Sticky(RoundRobin(), (Cookie("a"),), scope, key)
                values.add(sticky.value(BACKENDS[0]))
        self.assertEqual(len(values), 4)
        for value in values:
            self.assertRegex(value, r"\A[A-Za-z0-9_-]{22}\Z")

    def test_shared_secret(self) -> None:
        """Two gateways with one secret understand each other; without one they do within a gateway."""
        one, two = build(secret="0123456789abcdef"), build(secret="0123456789abcdef")
        self.assertEqual(one.value(BACKENDS[0]), two.value(BACKENDS[0]))
        self.assertNotEqual(one.value(BACKENDS[0]), build().value(BACKENDS[0]))
        self.assertEqual(build().value(BACKENDS[0]), build().value(BACKENDS[0]))

    def test_scope(self) -> None:
        services = Services(Clock(), Clock(), Random(1), b"key", settings=BackendSettings(name="s"), pool="p")
        values = {
            build(made).value(BACKENDS[0])
            for made in (services, services._replace(pool="q"), services._replace(settings=BackendSettings(name="t")))
        }
        self.assertEqual(len(values), 3)

    def attributes(self, secure: bool = False, **options: Any) -> str:
        ((_, line),) = build(**options).mark(BACKENDS[0], head_with(), secure)
        return line.partition("; ")[2]

    def test_attributes(self) -> None:
        self.assertEqual(self.attributes(), "Path=/; HttpOnly; SameSite=Lax")
        self.assertEqual(self.attributes(True), "Path=/; HttpOnly; Secure; SameSite=Lax")
        self.assertEqual(self.attributes(same_site="None"), "Path=/; HttpOnly; Secure; SameSite=None")
        self.assertEqual(
            self.attributes(path="/chat", ttl=60, same_site=None, http_only=False), "Path=/chat; Max-Age=60"
        )

    def test_wrong_options(self) -> None:
        for options in (
            {"cookie": "a b"}, {"cookie": ""}, {"cookie": "a;b"}, {"path": "chat"}, {"path": "/;Domain=x"}, {"ttl": 0},
            {"sameSite": "maybe"}, {"secret": "short"}, {"over": 3},
        ):  # fmt: skip
            self.assertRaises(ValidationError, factory.options.model_validate, options)

    def test_secret_is_not_shown(self) -> None:
        self.assertNotIn("0123456789", repr(factory.options(secret="0123456789abcdef")))


class ApplicationGatewayTests(SynchronousTestCase):
    """``cookieBasedAffinity``."""

    def sticky(self, **settings: Any) -> Sticky:
        return application_gateway(LeastConnections(), "pool", BackendSettings(name="settings", **settings), b"key")

    def test_cookies(self) -> None:
        sticky = self.sticky()
        value = sticky.value(BACKENDS[0])
        for secure in (False, True):
            self.assertEqual(
                sticky.mark(BACKENDS[0], head_with(), secure),
                [
                    ("Set-Cookie", f"ApplicationGatewayAffinity={value}; Path=/"),
                    ("Set-Cookie", f"ApplicationGatewayAffinityCORS={value}; Path=/; Secure; SameSite=None"),
                ],
            )

    def test_name(self) -> None:
        made = self.sticky(affinity_cookie_name="Mine").mark(BACKENDS[0], head_with(), False)
        self.assertEqual([line.partition("=")[0] for _, line in made], ["Mine", "MineCORS"])

    def test_either_cookie(self) -> None:
        """From another site only the second one comes."""
        sticky = self.sticky()
        for name in ("ApplicationGatewayAffinity", "ApplicationGatewayAffinityCORS"):
            head = head_with(f"{name}={sticky.value(BACKENDS[2])}")
            self.assertIs(sticky.select(BACKENDS, head), BACKENDS[2])
            self.assertEqual(sticky.mark(BACKENDS[2], head, True), ())

    def test_first_is_stale(self) -> None:
        sticky = self.sticky()
        value = sticky.value(BACKENDS[2])
        head = head_with("ApplicationGatewayAffinity=old", f"ApplicationGatewayAffinityCORS={value}")
        self.assertIs(sticky.select(BACKENDS, head), BACKENDS[2])
