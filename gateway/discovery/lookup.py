"""Asking name servers: one question with a time limit, to servers of one's own or those of the system."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReadDescriptor
from twisted.names import client, dns
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.config.texts import name_server

__all__ = ["Lookup", "ResolvConf", "nameserver", "resolv_conf", "system_servers"]

_RESOLV_CONF = "/etc/resolv.conf"
_TYPES = {"A": dns.A, "AAAA": dns.AAAA, "SRV": dns.SRV}
_LONGEST_DATAGRAM = 8192


def nameserver(text: str) -> tuple[str, int]:
    """``address``, ``address:port`` or ``[address]:port``. Raises ``ValueError``."""
    host, port = name_server(text)
    return host, dns.PORT if port is None else port


class ResolvConf(NamedTuple):
    """What ``/etc/resolv.conf`` says. ``ndots``: a name with fewer dots is first looked for in the search domains."""

    servers: Sequence[tuple[str, int]] = ()
    ndots: int = 1


def resolv_conf(path: str = _RESOLV_CONF) -> ResolvConf:
    """As the file is now (resolv.conf(5))."""
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return ResolvConf()
    words = [line.split() for line in lines]
    found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    options = [option for line in words if line[:1] == ["options"] for option in line[1:]]
    ndots = [option[6:] for option in options if option.startswith("ndots:") and option[6:].isdecimal()]
    servers = [(host, dns.PORT) for host in found if isIPAddress(host) or isIPv6Address(host)]
    return ResolvConf(servers, min(int(ndots[-1]), 15) if ndots else 1)


def system_servers(path: str = _RESOLV_CONF) -> list[tuple[str, int]]:
    """The name servers of the system; the local host where the file says none."""
    return [*resolv_conf(path).servers] or [("127.0.0.1", dns.PORT)]


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
            resolver.close(None)
            return fail()
        asked.addTimeout(self._timeout, self._reactor)
        return asked.addBoth(resolver.close).addCallback(lambda sections: list(sections[0]))


class _Resolver(client.Resolver):
    """One for each question: nothing stays behind when that is answered."""

    _over = False

    def __init__(self, servers: list[tuple[str, int]], timeout: float, reactor: Any) -> None:
        super().__init__(servers=servers, timeout=(timeout / 4, timeout / 2), reactor=reactor)
        self._asking: list[Any] = []

    def _connectedProtocol(self, interface: str = "") -> Any:
        made = dns.DNSDatagramProtocol(self, reactor=self._reactor)
        made.noisy = False
        _Datagrams(made, interface, self._reactor)
        self._asking.append(made)
        return made

    def _query(self, *args: Any) -> Deferred[Any]:
        asked: Deferred[Any] = super()._query(*args)
        return asked.addErrback(_not_reached)

    def connectionMade(self, protocol: Any) -> None:
        """An answer was too long for a datagram, and is asked for over TCP."""
        if self._over:
            protocol.transport.abortConnection()
        else:
            super().connectionMade(protocol)

    def close(self, result: Any) -> Any:
        """The question is answered, or given up."""
        self._over = True
        for made in self._asking:
            for _, timer in made.liveMessages.values():
                if timer.active():
                    timer.cancel()
        for connection in list(self.connections):
            connection.transport.loseConnection()
        return result


@implementer(IReadDescriptor)
class _Datagrams:
    """A UDP socket for one question, on a port that the system chooses.

    As much of Twisted's own as ``DNSDatagramProtocol`` needs; that one has lines in the log for each that is opened or
    closed, which cannot be switched off.  Raises ``CannotListenError``.
    """

    def __init__(self, protocol: dns.DNSDatagramProtocol, interface: str, reactor: Any) -> None:
        try:
            self._socket = socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:
            raise CannotListenError(interface, 0, error) from error
        try:
            self._socket.setblocking(False)
            self._socket.bind((interface, 0))
        except OSError as error:
            self._socket.close()
            raise CannotListenError(interface, 0, error) from error
        self._protocol = protocol
        self._reactor = reactor
        protocol.makeConnection(self)  # type: ignore[arg-type]
        reactor.addReader(self)

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        """Send ``data``. Raises ``OSError`` where there is no way; a queue that is full loses it, as networks may."""
        with suppress(BlockingIOError):
            self._socket.sendto(data, address)

    def stopListening(self) -> None:
        """Nothing more is expected."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def doRead(self) -> None:
        """An answer, or word that there is no such server: then another one is asked when the time is over."""
        with suppress(OSError):
            data, address = self._socket.recvfrom(_LONGEST_DATAGRAM)
            self._protocol.datagramReceived(data, address[:2])

    def logPrefix(self) -> str:
        return "names"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of it."""
        self.stopListening()


def _not_reached(failure: Failure) -> Failure:
    """A server that there is no way to is one that does not answer: the next one is asked."""
    return Failure(dns.DNSQueryTimeoutError(None)) if failure.check(OSError) else failure
