"""Asking name servers: one question with a time limit, to servers of one's own or those of the system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.names import client, dns

__all__ = ["Lookup", "nameserver", "system_servers"]

_RESOLV_CONF = "/etc/resolv.conf"
_TYPES = {"A": dns.A, "AAAA": dns.AAAA, "SRV": dns.SRV}


def nameserver(text: str) -> tuple[str, int]:
    """``address``, ``address:port`` or ``[address]:port``. Raises ``ValueError``."""
    host, port = text, ""
    if text.startswith("["):
        host, mark, port = text[1:].partition("]")
        host = host if mark else ""
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0 if port else dns.PORT
    if not (isIPAddress(host) or isIPv6Address(host)) or not 0 < number < 65536:
        raise ValueError(f"found {text[:80]!r}; expected the address of a name server, with :port if it is not 53")
    return host, number


def system_servers(path: str = _RESOLV_CONF) -> list[tuple[str, int]]:
    """The name servers of the system, as the file says now; the local host where it says none (resolv.conf(5))."""
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    return [(host, dns.PORT) for host in found if isIPAddress(host) or isIPv6Address(host)] or [("127.0.0.1", dns.PORT)]


class Lookup:
    """Questions about one name. ``servers`` empty: those of the system, looked up for each question."""

    def __init__(self, name: str, servers: Sequence[str], timeout: float, reactor: Any) -> None:
        self._name = name.encode("idna") if not name.isascii() else name.encode("ascii")
        self._servers = [nameserver(text) for text in servers]
        self._timeout = timeout
        self._reactor = reactor

    def ask(self, kind: str) -> Deferred[list[Any]]:
        """The answer section of a question for ``A``, ``AAAA`` or ``SRV``.

        Fails with what twisted.names says, or ``TimeoutError``; may be cancelled.
        """
        resolver = _Resolver(self._servers or system_servers(), self._timeout, self._reactor)
        try:
            asked: Deferred[Any] = resolver.query(dns.Query(self._name, _TYPES[kind], dns.IN))
        except Exception:
            return fail()
        asked.addTimeout(self._timeout, self._reactor)
        return asked.addBoth(resolver.close).addCallback(lambda sections: list(sections[0]))


class _Resolver(client.Resolver):
    """One for each question: nothing stays behind when that is answered."""

    _over = False

    def __init__(self, servers: list[tuple[str, int]], timeout: float, reactor: Any) -> None:
        super().__init__(servers=servers, timeout=(timeout / 4, timeout / 2), reactor=reactor)

    def connectionMade(self, protocol: Any) -> None:
        """An answer was too long for a datagram, and is asked for over TCP."""
        if self._over:
            protocol.transport.abortConnection()
        else:
            super().connectionMade(protocol)

    def close(self, result: Any) -> Any:
        """The question is answered, or given up."""
        self._over = True
        for connection in list(self.connections):
            connection.transport.loseConnection()
        return result
