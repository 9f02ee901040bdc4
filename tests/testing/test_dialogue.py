"""`gateway.testing.dialogue`, as strangers use it: configurations in, no reactor."""

from __future__ import annotations

import unittest
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from gateway.config.model import Gateway
from gateway.errors import ConfigurationError
from gateway.http.changes import with_fields
from gateway.interfaces import IClosing
from gateway.middleware.base import Factory, Middleware
from gateway.testing.dialogue import GET, HANDSHAKE, OK, SWITCHING, DialogueCase

TWO_POOLS = """
listeners: [{name: web, port: 80}, {name: other, port: 81}]
pools:
  - {name: one, backends: ['a.test:9001', 'b.test:9001']}
  - {name: two, backends: ['c.test:9002'], selector: least-connections}
rules:
  - {listener: web, pool: one, middleware: ['tests.testing.test_dialogue:stamp']}
  - {listener: other, pool: two}
"""


@implementer(IClosing)
class Stamp(Middleware):
    """Says in which state it is."""

    closed = 0

    def response(self, head: Any, context: Any) -> Any:
        return with_fields(head, set=[("X-Stamp", context.backend.name if context.backend else "nobody")])

    def close(self) -> None:
        Stamp.closed += 1


stamp = Factory("stamp", None, lambda options, services: Stamp())


class DialogueTests(DialogueCase):
    """Everything is as in production but the network."""

    def test_requests(self) -> None:
        gateway = self.gateway(TWO_POOLS)
        client = gateway.client()
        for name in ("a.test:9001", "b.test:9001"):
            client.sends(GET)
            gateway.backend(name).gets("GET / HTTP/1.1", "Host: example.com")
            gateway.backend(name).sends(OK)
            client.gets("HTTP/1.1 200 OK", f"X-Stamp: {name}", body=b"hello")
        gateway.connections(1, 1, 0)
        gateway.recorded("200 ok", "200 ok")
        client = gateway.client(listener="other")
        client.sends(GET)
        gateway.backend(2).gets("GET / HTTP/1.1")
        gateway.backend(2).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello", without=["X-Stamp"])
        gateway.recorded("200 ok")

    def test_messages(self) -> None:
        gateway = self.gateway(TWO_POOLS)
        client, backend = gateway.opens_websocket()
        client.says("h\u00e9llo", b"\0\xff" * 100, "a" * 70000)
        backend.hears("h\u00e9llo", b"\0\xff" * 100, "a" * 70000)
        backend.says("back")
        client.hears("back")
        client.closes()
        backend.gets_something()
        backend.closes()
        gateway.name_all()

    def test_filters(self) -> None:
        """What a filter makes of messages."""
        gateway = self.gateway(
            TWO_POOLS.replace(
                "{listener: other, pool: two}",
                "{listener: other, pool: two, filters: [{strategy: size-limit, options: {maxBytes: 5}}]}",
            )
        )
        client = gateway.client(listener="other")
        client.sends(HANDSHAKE)
        backend = gateway.backend("c.test:9002")
        backend.gets("GET /chat HTTP/1.1")
        backend.sends(SWITCHING)
        client.gets("HTTP/1.1 101 Switching Protocols")
        client.says("short")
        backend.hears("short")
        backend.says("as long as it likes to be")
        client.hears("as long as it likes to be")
        client.says("too long")
        client.gets_close(1009, "message too big")
        backend.gets_close(1009)
        client.closes()
        backend.closes()
        gateway.name_all()

    def test_strategies_are_closed(self) -> None:
        before = Stamp.closed
        gateway = self.gateway(TWO_POOLS)
        gateway.assert_nothing_leaks()
        self.assertEqual(before + 1, Stamp.closed)

    def test_model(self) -> None:
        """What is read already."""
        model = self.gateway(TWO_POOLS).service
        assert model is not None
        self.assertIsInstance(model.model, Gateway)
        self.gateway(model.model)

    def test_wrong(self) -> None:
        """Errors are those of the gateway, with their places."""
        error = self.assertRaises(ConfigurationError, self.gateway, TWO_POOLS.replace("least-connections", "leest"))
        self.assertIn("pools[1].selector", str(error))


class FailureTests(unittest.TestCase):
    """A dialogue that does not go as written fails."""

    def failures(self, talk: Any) -> str:
        class Case(DialogueCase):
            def test(self) -> None:
                talk(self.gateway(TWO_POOLS))

        result = unittest.TestResult()
        Case("test").run(result)
        return "".join([text for _, text in [*result.failures, *result.errors]])

    def test_good(self) -> None:
        self.assertEqual("", self.failures(lambda gateway: gateway.client()))

    def test_not_named(self) -> None:
        """An answer, and an outcome, that no line of the test names."""

        def talk(gateway: Any) -> None:
            gateway.client().sends(GET.replace(b"GET", b"G T"))

        self.assertIn("400 Bad Request", self.failures(talk))

    def test_not_hanging_up(self) -> None:
        """A request that the backend never answers."""

        def talk(gateway: Any) -> None:
            gateway.client().sends(GET)
            gateway.backend(0).gets_something()

        self.assertIn("is still open", self.failures(talk))

    def test_timer(self) -> None:
        """A strategy's timer that is left."""
        self.assertIn("DelayedCall", self.failures(lambda gateway: gateway.clock.callLater(100, int)))

    def test_other_messages(self) -> None:
        def talk(gateway: Any) -> None:
            client, backend = gateway.opens_websocket()
            client.says("one")
            backend.hears("two")

        self.assertIn("'two'", self.failures(talk))

    def test_stopping(self) -> None:
        """A strategy that is never closed."""
        self.patch_close(Deferred())
        self.assertIn("the gateway does not stop", self.failures(lambda gateway: None))

    def patch_close(self, result: Any) -> None:
        close = Stamp.close
        Stamp.close = lambda self: result  # type: ignore[assignment, method-assign]
        self.addCleanup(setattr, Stamp, "close", close)
