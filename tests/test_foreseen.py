"""`gateway.foreseen`: whether instances get dictionaries of their own is asked of the garbage collector."""

from __future__ import annotations

import gc
import platform
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.exchange.exchange import Exchange
from gateway.foreseen import ROOM, foreseen
from gateway.listener.http1 import ClientConnection
from gateway.messages.session import Messages
from gateway.relay.splice import Splice
from gateway.relay.watch import Watch
from gateway.upstream.http1 import UpstreamConnection
from gateway.values import Outcome

_MANY = 2 * ROOM


def has_dictionary(instance: Any) -> bool:
    """Whether ``instance`` has a dictionary of its own, which looking for it would make."""
    held = gc.get_referents(instance)
    return any(each is instance.__dict__ for each in held)


def late(made: type, *names: str, at_first: Sequence[str] = ()) -> bool:
    """Whether an instance that sets ``names``, after many that only set those ``at_first``, has one of its own."""
    for _ in range(_MANY):
        instance = object.__new__(made)
        for name in at_first:
            setattr(instance, name, None)
    for name in names:
        setattr(instance, name, None)
    return has_dictionary(instance)


class ForeseenTests(SynchronousTestCase):
    """`foreseen`."""

    if platform.python_implementation() != "CPython":
        skip = "how CPython keeps attributes"

    def test_nothing_was_foreseen(self) -> None:
        class Surprised:
            first = last = None

        self.assertTrue(late(Surprised, "first", "last"))

    def test_defaults(self) -> None:
        @foreseen()
        class Base:
            first = None

        @foreseen()
        class Prepared(Base):
            last = None

            def method(self) -> None:
                """Nothing that instances are given."""

        self.assertFalse(late(Prepared, "first", "last"))
        self.assertEqual((None, None), (Prepared.first, Prepared.last))

    def test_rare(self) -> None:
        @foreseen("rare", "rarer")
        class Prepared:
            usual = rare = rarer = None

        self.assertFalse(late(Prepared, "usual"))
        self.assertTrue(late(Prepared, "usual", "rare", "rarer"))

    def test_room(self) -> None:
        """There is room for so many, and for no more."""
        names = [f"name{number}" for number in range(ROOM + 1)]
        for more in (0, 1):
            given = names[: ROOM + more]
            made = foreseen()(type("Prepared", (), dict.fromkeys(given)))
            self.assertEqual(bool(more), late(made, *given))


class OursTests(SynchronousTestCase):
    """The classes of the gateway that have very many instances, with what all or most of them set."""

    if platform.python_implementation() != "CPython":
        skip = "how CPython keeps attributes"

    def test_exchange(self) -> None:
        made = "_shared", "_client", "_out", "_head", "_added", "outcome"
        self.assertFalse(late(Exchange, "_lease", "_upstream", "_pending", "_trailers", "_tried", at_first=made))

    def test_backends_connection(self) -> None:
        made = "upstream", "key", "dataReceived"
        self.assertFalse(late(UpstreamConnection, "transport", "connected", "listener", "lost", "stuck", at_first=made))

    def test_clients_connection(self) -> None:
        made = "_shared", "factory", "listener", "pins", "dataReceived"
        connected = "connected", "transport", "peer", "_forwarded", "deadline", "review", "_lane"
        asked = "_request", "_outcome", "_received", "_sent", "_taken", "_close", "_exchange", "_source", "_offered"
        ended = "_decoder", "_trailers", "_chunked", "_closing", "_ahead", "at_eof", "lost"
        self.assertFalse(late(ClientConnection, *asked, *ended, at_first=(*made, *connected)))

    def test_sessions(self) -> None:
        made = "outcome", "_shared", "_client", "_upstream", "_lease", "_idle", "_last", "_state"
        opened = "_received", "_sent", "_before", "deadline", "review"
        both = "_inbound", "_outbound"
        cases: list[tuple[type, tuple[str, ...], tuple[str, ...]]] = [
            (Splice, ("_inward", "_outward"), ("_client_ended", "_backend_ended", "_left")),
            (Watch, (*both, "_inward", "_outward"), ("_first", "_added_in", "_added_out", "_left")),
            (
                Messages,
                ("_filters", "_max_message", "_deflate", "_opened", *both, "_front", "_back", "_counted"),
                ("_error", "_first", "_added_in", "_added_out"),
            ),
        ]
        for kind, at_first, names in cases:
            self.assertFalse(late(kind, *names, at_first=(*made, *opened, *at_first)), kind.__name__)

    def test_outcome(self) -> None:
        of_all = "head", "peer", "scheme", "local_port", "trace_id", "listener", "route", "backend", "attempts"
        timed = "started", "connected", "responded", "ended", "cause", "status", "upstream_status", "content_type"
        counted = "received_bytes", "sent_bytes", "upstream_received", "upstream_sent", "tls_version", "tls_cipher"
        of_sessions = "packed", "websocket", "messages_in", "messages_out", "close_code", "closed_by"
        self.assertFalse(late(Outcome, *of_all, *timed, *counted, *of_sessions))
