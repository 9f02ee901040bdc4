"""What Twisted's road makes of a port that cannot be bound. A reactor that only refuses."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.twisted_road import TwistedRoad
from tests.transport.peers import Serving

ELSEWHERE = 48
"""What macOS calls EADDRINUSE."""


class _Refusing:
    """A reactor that cannot bind."""

    nameResolver = None

    def __init__(self, number: int) -> None:
        self.number = number
        self.interfaces: list[str] = []

    def listenTCP(self, port: int, factory: Any, backlog: int, interface: str) -> Any:
        self.interfaces.append(interface)
        raise CannotListenError(interface, port, OSError(self.number, "no"))

    def seconds(self) -> float:
        return 0.0


class ListeningTests(SynchronousTestCase):
    """On all addresses of the machine."""

    def tried(self, number: int) -> list[str]:
        reactor = _Refusing(number)
        self.failureResultOf(TwistedRoad(reactor).server("", 80).listen(Serving()), CannotListenError)
        return reactor.interfaces

    def test_a_port_that_is_taken(self) -> None:
        """It is so with IPv4 too, and half of a port would be no help; the number is the platform's."""
        self.assertEqual(["::"], self.tried(errno.EADDRINUSE))
        self.patch(errno, "EADDRINUSE", ELSEWHERE)
        self.assertEqual(["::"], self.tried(ELSEWHERE))

    def test_no_ipv6(self) -> None:
        self.assertEqual(["::", ""], self.tried(errno.EAFNOSUPPORT))
