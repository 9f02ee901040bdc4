"""Every strategy that comes with the gateway passes the conformance tests that strangers are given.

Probes do so in the tests of their modules, where their backends are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Member
from gateway.discovery import dns
from gateway.discovery.answers import Answer
from gateway.interfaces import IAffinity, IPeerSelector
from gateway.lifecycle.registry import Registry
from gateway.middleware import forward_auth
from gateway.strategies.factories import Factories
from gateway.strategies.groups import BUILT_IN
from gateway.testing import (
    AffinityConformance,
    DiscoveryConformance,
    FactoryConformance,
    MessageFilterConformance,
    MiddlewareConformance,
    PeerSelectorConformance,
    RouterConformance,
    SelectorConformance,
    fake_services,
    request_head,
)
from gateway.testing.cases import Case
from tests.middleware.test_basic_auth import WRONG

OPTIONS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "gateway.selectors": {"hash": {"by": "header:x-user"}},
    "gateway.middleware": {
        "address": {"allow": ["203.0.113.0/24"]},
        "basic-auth": {"realm": "r", "file": "USERS"},
        "cors": {"origins": ["https://example.com"]},
        "forward-auth": {"url": "http://127.0.0.1:1/"},
        "headers": {"request": {"set": {"X-A": "1"}}, "response": {"remove": ["ETag"]}},
        "jwt": {"algorithms": ["HS256"], "secretFile": "SECRET"},
        "origin": {"origins": ["https://example.com"]},
        "rate-limit": {"requests": 100},
    },
    "gateway.discovery": {"dns": {"name": "chat.test"}, "file": {"path": "MEMBERS"}},
    "gateway.filters": {
        "json-schema": {"file": "SCHEMA"},
        "rate-limit": {"messages": 5, "then": "delay"},
        "size-limit": {"maxBytes": 1000},
    },
    "gateway.probes": {},
    "gateway.routers": {
        "canary": {"pool": "a", "weight": 10},
        "prefix": {"prefixes": {"/api": {"pool": "a"}}},
        "regex": {"patterns": [{"pattern": "/a.*", "pool": "a"}]},
    },
}
"""Options where the defaults are not enough. A strategy that is new has to be here, or build without any."""

_FILES = {"SCHEMA": '{"type": "object"}', "USERS": f"ann:{WRONG}\n", "SECRET": "s" * 64, "MEMBERS": "a.test:80\n"}


class _Named(Case):
    """Builds the strategy ``name`` of ``group`` through the registry, with the options above."""

    group = ""
    name = ""

    def build(self, clock: Clock | None = None) -> Any:
        return Registry().build(self.group, self.name, self.options(), fake_services(clock), "here")

    def options(self) -> dict[str, Any]:
        return {key: self.place(value) for key, value in OPTIONS[self.group].get(self.name, {}).items()}

    def place(self, value: Any) -> Any:
        """Files that options name."""
        if value not in list(_FILES):
            return value
        path = Path(self.mktemp()).absolute()
        path.write_text(_FILES[value])
        return str(path)


class _Selector(SelectorConformance, _Named):
    def make_selector(self) -> Any:
        return self.build()


class _PeerSelector(PeerSelectorConformance, _Named):
    def make_selector(self) -> Any:
        return self.build()


class _AffineSelector(AffinityConformance, _PeerSelector):
    pass


class _Middleware(MiddlewareConformance, _Named):
    clock = Clock()
    requests = (request_head(fields=[("Accept-Encoding", "gzip"), ("Authorization", "Basic YW5uOng=")]),)

    def make_middleware(self) -> Any:
        return self.build(self.clock)


class _Router(RouterConformance, _Named):
    def make_router(self) -> Any:
        return self.build()


class _Filter(MessageFilterConformance, _Named):
    messages = ('{"a": 1}',)

    def make_filter(self) -> Any:
        self.clock = Clock()
        return self.build(self.clock)

    def answer(self) -> None:
        self.clock.advance(60)


class _Discovery(DiscoveryConformance, _Named):
    def setUp(self) -> None:
        self.clock = Clock()

    def make_discovery(self) -> Any:
        return self.build(self.clock)


class _Factory(FactoryConformance, _Named):
    def setUp(self) -> None:
        self.factory = Factories().find(self.group, self.name).factory
        if self.group == "gateway.probes":  # they need a network; their own tests build them
            self.good = ()
        else:
            self.good = [self.options()]


def _interface(name: str) -> type:
    made = Registry().build("gateway.selectors", name, OPTIONS["gateway.selectors"].get(name, {}), fake_services())
    if IAffinity.providedBy(made):
        return _AffineSelector
    return _PeerSelector if IPeerSelector.providedBy(made) else _Selector


def _make_cases() -> None:
    """A class for each, which trial finds."""
    for group, names in BUILT_IN.items():
        for name in names:
            kinds: list[type] = [_Factory]
            if group == "gateway.selectors":
                kinds.append(_interface(name))
            elif group == "gateway.middleware" and name != "forward-auth":
                kinds.append(_Middleware)
            elif group == "gateway.routers":
                kinds.append(_Router)
            elif group == "gateway.filters":
                kinds.append(_Filter)
            elif group == "gateway.discovery" and name != "dns":
                kinds.append(_Discovery)
            for kind in kinds:
                title = f"{name.title().replace('-', '')}{kind.__name__.strip('_')}Tests"
                words = {"group": group, "name": name, "__module__": __name__, "__doc__": f"``{name}``."}
                globals()[title] = type(title, (kind, SynchronousTestCase), words)


_make_cases()


class DnsTests(DiscoveryConformance, SynchronousTestCase):
    """``dns``, with name servers that answer when they are told to."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[Answer]] = []

    def make_discovery(self) -> Any:
        def lookup(kind: str) -> Deferred[Answer]:
            self.asked.append(Deferred())
            return self.asked[-1]

        return dns.Dns(dns.DnsOptions(name="chat.test"), lookup, self.clock, fake_services().random)

    def answer(self) -> None:
        asked, self.asked = self.asked, []
        for each in asked:
            if not each.called:
                each.callback(Answer((Member(host="192.0.2.1"),), 30.0))


class _Refused:
    """An agent that gets no connections."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []

    def request(self, *arguments: Any) -> Deferred[Any]:
        self.waiting.append(Deferred())
        return self.waiting[-1]


class ForwardAuthTests(MiddlewareConformance, SynchronousTestCase):
    """``forward-auth``, with a service that cannot be asked."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = _Refused()

    def make_middleware(self) -> Any:
        options = forward_auth.ForwardAuthOptions(url="http://127.0.0.1:1/")
        return forward_auth.ForwardAuth(options, fake_services(self.clock), self.agent)

    def answer(self) -> None:
        waiting, self.agent.waiting = self.agent.waiting, []
        for each in waiting:
            each.errback(ConnectionRefusedError())


class OptionsTests(SynchronousTestCase):
    """The table above."""

    def test_nothing_is_left_over(self) -> None:
        for group, known in OPTIONS.items():
            self.assertEqual(set(), set(known) - set(BUILT_IN[group]))
        self.assertEqual(set(BUILT_IN), set(OPTIONS))
