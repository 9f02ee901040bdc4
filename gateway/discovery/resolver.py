"""Looks up the names of members at name servers, which say for how long their answers are good."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IReactorUDP
from twisted.names.hosts import searchFileForAll
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer

from gateway.discovery.answers import addresses
from gateway.discovery.lookup import Lookup, ResolvConf, resolv_conf
from gateway.transport.deadlines import steady
from gateway.transport.names import IFinding

if TYPE_CHECKING:
    from gateway.config.model import Resolver

__all__ = ["NameServers"]

_KINDS = ("A", "AAAA")

_SECOND_FAMILY = 0.5
"""Seconds that the addresses of one family wait for those of the other."""

_SILENT = 30.0
"""Seconds in which the system is asked at once, after its name servers have not answered."""

_HOSTS = "/etc/hosts"


@implementer(IHostnameResolver)
class NameServers:
    """Asks ``options.nameservers``, or those of the system. Answers `IFinding` with the TTL.

    ``/etc/hosts`` comes first.  Unless there are name servers of one's own, the system's resolver (``reactor``'s) is
    asked as well: for short names, which need search domains (``ndots`` of resolv.conf(5)), and where name servers find
    nothing or cannot be asked.  It tells no TTL.  Names below ``.invalid`` are asked of nobody (RFC 6761 §6.4).
    """

    def __init__(
        self,
        options: Resolver,
        reactor: Any,
        hosts: str = _HOSTS,
        system: Callable[[], ResolvConf] = resolv_conf,
    ) -> None:
        self._options = options
        self._reactor = reactor
        self._hosts = FilePath(hosts)
        self._system = system
        self._seconds = steady(reactor)
        self._silent_until = -math.inf
        self._can_ask = IReactorUDP.providedBy(reactor)

    def use(self, options: Resolver) -> None:
        """Ask as ``options`` say from now on. What is known stays known for its time."""
        self._options = options

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See ``IHostnameResolver``."""
        question = (hostName, portNumber, addressTypes, transportSemantics)
        name = hostName.rstrip(".").lower()
        listed = searchFileForAll(self._hosts, name.encode("ascii", "replace"))
        if listed or name == "invalid" or name.endswith(".invalid"):
            return _told(resolutionReceiver, question, listed, None)
        servers = self._servers(hostName)
        if not servers:
            return self._ask_system(resolutionReceiver, question)
        return _Asking(self, resolutionReceiver, question, servers).start()

    def _servers(self, name: str) -> Sequence[str]:
        """Whom to ask for a name; nobody where only the system knows what it may mean."""
        if not self._can_ask:
            return ()
        own = self._options.nameservers
        if own:
            return own
        system = self._system()
        if (name.count(".") < system.ndots and not name.endswith(".")) or self._seconds() < self._silent_until:
            return ()
        return [f"[{host}]:{port}" for host, port in system.servers]

    def _ask_system(self, receiver: Any, question: tuple[str, int, Any, str]) -> Any:
        return self._reactor.nameResolver.resolveHostName(receiver, *question)

    def lookup(self, name: str, servers: Sequence[str]) -> Lookup:
        """Questions about a name."""
        return Lookup(name, servers, self._options.timeout, self._reactor)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        """See ``IReactorTime``."""
        return self._reactor.callLater(seconds, call)

    def within_bounds(self, ttl: float) -> float:
        """For how long an answer is used."""
        return min(max(ttl, self._options.least_interval), self._options.most_interval)

    def found_nothing(self, receiver: Any, question: tuple[str, int, Any, str], silent: bool) -> Any:
        """The name servers did not help. ``silent``: they did not answer."""
        if self._options.nameservers:
            receiver.resolutionComplete()
            return None
        if silent:
            self._silent_until = self._seconds() + _SILENT
        return self._ask_system(_Continued(receiver), question)


@implementer(IHostResolution)
class _Asking:
    """One name, asked for by its two kinds of addresses."""

    def __init__(self, owner: NameServers, receiver: Any, question: tuple[str, int, Any, str], servers: Any) -> None:
        self.name = question[0]
        self._owner = owner
        self._receiver = receiver
        self._question = question
        self._servers = servers
        self._open: list[Deferred[Any]] = []
        self._found: list[str] = []
        self._ttl = math.inf
        self._silent = self._over = False
        self._timer: Any = None
        self._at_system: Any = None

    def start(self) -> _Asking:
        self._receiver.resolutionBegan(self)
        try:
            lookup = self._owner.lookup(self.name, self._servers)
            self._open = [lookup.ask(kind) for kind in _KINDS]
        except ValueError:
            self._finish()  # no name that can be written as a question
        for asked in tuple(self._open):
            asked.addCallbacks(self._answered, self._failed)
            asked.addBoth(self._done, asked)
        return self

    def cancel(self) -> None:
        """See ``IHostResolution``."""
        self._end()
        if self._at_system is not None:
            self._at_system.cancel()

    def _answered(self, records: Sequence[Any]) -> None:
        members, ttl = addresses(records, self.name, None)
        self._found += [member.host for member in members]
        self._ttl = min(self._ttl, ttl)

    def _failed(self, failure: Failure) -> None:
        self._silent = self._silent or failure.check(TimeoutError, CancelledError, OSError) is not None

    def _done(self, result: None, asked: Deferred[Any]) -> None:
        if self._over:
            return
        self._open.remove(asked)
        if not self._open:
            self._finish()
        elif self._found:
            self._timer = self._owner.call_later(_SECOND_FAMILY, self._finish)

    def _finish(self) -> None:
        if self._over:
            return
        self._end()
        receiver, question = self._receiver, self._question
        if self._found:
            _tell(receiver, question, self._found, self._owner.within_bounds(self._ttl))
        else:
            self._at_system = self._owner.found_nothing(receiver, question, self._silent)

    def _end(self) -> None:
        self._over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        waiting, self._open = self._open, []
        for asked in waiting:
            asked.cancel()


class _Continued:
    """A receiver that was told of the beginning already."""

    def __init__(self, receiver: Any) -> None:
        self.addressResolved = receiver.addressResolved
        self.resolutionComplete = receiver.resolutionComplete

    def resolutionBegan(self, resolution: Any) -> None:
        """It has begun before."""


@implementer(IHostResolution)
class _Done:
    """A resolution that needs no waiting."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """It is over."""


def _told(receiver: Any, question: tuple[str, int, Any, str], hosts: Sequence[str], seconds: float | None) -> _Done:
    done = _Done(question[0])
    receiver.resolutionBegan(done)
    _tell(receiver, question, hosts, seconds)
    return done


def _tell(receiver: Any, question: tuple[str, int, Any, Any], hosts: Sequence[str], seconds: float | None) -> None:
    _, port, kinds, semantics = question
    if seconds is not None and IFinding.providedBy(receiver):
        receiver.seconds = seconds
    for host in sorted(hosts, key=_preference):
        kind = IPv6Address if ":" in host else IPv4Address
        if kinds is None or kind in kinds:
            receiver.addressResolved(kind(semantics, host, port))
    receiver.resolutionComplete()


def _preference(host: str) -> tuple[bool, bool]:
    """IPv6 before IPv4 (RFC 6724 §2.1), and both only where there is a way to them; the rest comes last."""
    v6 = ip_address(host).version == 6
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))  # sends nothing: it only looks for a route
        except OSError:
            return True, not v6
    return False, not v6
