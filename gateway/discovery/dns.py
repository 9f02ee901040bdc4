"""Discovery by DNS: the members are the addresses of a name, or its SRV records (RFC 2782), asked for again by TTL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.logger import Logger
from twisted.names.error import (
    AuthoritativeDomainError,
    DNSNameError,
    DNSQueryRefusedError,
    DNSServerError,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.config.model import Member
from gateway.discovery.answers import Answer, addresses, services_of
from gateway.discovery.lookup import Lookup, nameserver
from gateway.interfaces import IDiscovery, ILasting, IStrategyFactory
from gateway.services import Options

if TYPE_CHECKING:
    from random import Random

__all__ = ["Dns", "DnsOptions", "factory"]

_JITTER = 0.1
_log = Logger("gateway.discovery")

_KINDS = {"any": ("A", "AAAA"), "ipv4": ("A",), "ipv6": ("AAAA",)}


class DnsOptions(Options):
    name: str = Field(min_length=1, max_length=253, description="A full name; search domains are not tried.")
    records: Literal["address", "srv"] = Field(
        default="address", description="`address`: A and AAAA; `srv`: SRV, with port, priority and weight."
    )
    family: Literal["any", "ipv4", "ipv6"] = Field(default="any", description="Which addresses.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Of members found by address; default: the port of the settings."
    )
    nameservers: tuple[str, ...] = Field(
        default=(), description="Addresses, with `:port` if it is not 53; default: those of `/etc/resolv.conf`."
    )
    least_interval: float = Field(default=5.0, ge=0.1, le=3600, description="Seconds, for a shorter TTL and errors.")
    most_interval: float = Field(default=300.0, ge=0.1, le=86400, description="Seconds, for a longer TTL.")
    timeout: float = Field(default=5.0, gt=0, le=60, description="Seconds to wait for the name servers.")

    @field_validator("nameservers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            nameserver(text)
        return value

    @model_validator(mode="after")
    def _order(self) -> DnsOptions:
        if self.most_interval < self.least_interval:
            raise ValueError("mostInterval is less than leastInterval")
        return self


@implementer(ILasting, IDiscovery)
class Dns:
    """Asks, and asks again when the shortest TTL of the answer is over.

    While the name servers do not answer, or say that there is nothing, the members are those of the last good answer:
    a name that is gone by mistake must not empty a pool, and members that are gone fail their probes.
    ``lookup(kind)`` asks for records of one kind (``A``, ``AAAA``, ``SRV``) and returns a Deferred of an `Answer`.
    """

    def __init__(
        self, options: DnsOptions, lookup: Callable[[str], Deferred[Answer]], clock: Any, random: Random
    ) -> None:
        self._options = options
        self._lookup = lookup
        self._clock = clock
        self._random = random
        self._kinds = ("SRV",) if options.records == "srv" else _KINDS[options.family]
        self._good: dict[str, Answer] = {}
        self._members: tuple[Member, ...] | None = None
        self._failing = False
        self._stopped = False
        self._asking: list[Deferred[Answer]] = []
        self._timer: Any = None
        self._found: Callable[[Iterable[Member]], None] = lambda members: None

    def start(self, found: Callable[[Iterable[Member]], None]) -> Deferred[None]:
        """See `IDiscovery.start`."""
        self._found = found
        return self._ask()

    def stop(self) -> None:
        """See `IDiscovery.stop`."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for asking in self._asking:
            asking.cancel()

    def _ask(self) -> Deferred[None]:
        self._asking = [self._lookup(kind) for kind in self._kinds]
        everything: Deferred[Any] = DeferredList(self._asking, consumeErrors=True)
        return everything.addCallback(self._answered)

    def _answered(self, results: list[tuple[bool, Any]]) -> None:
        self._asking = []
        if self._stopped:
            return
        pause = self._options.most_interval
        fault = ""
        for kind, (good, result) in zip(self._kinds, results, strict=True):
            if good:
                # No records of one family are no news while there are some of the other.
                self._good[kind] = result
                pause = min(pause, result.ttl)
            else:
                fault = _sentence(result)
        members = tuple(sorted({member for kind in self._kinds for member in self._of(kind)}, key=_order))
        if not members:
            fault = fault or "it has no such records"
        self._tell(fault)
        if members:
            if members != self._members:
                self._members = members
                self._found(members)
        if fault:
            pause = self._options.least_interval
        pause = max(pause, self._options.least_interval) * self._random.uniform(1 - _JITTER, 1)
        self._timer = self._clock.callLater(pause, self._ask)

    def _of(self, kind: str) -> tuple[Member, ...]:
        return self._good[kind].members if kind in self._good else ()

    def _tell(self, fault: str) -> None:
        """Say once that it does not work, and once that it does again."""
        if fault and not self._failing:
            what = "the last good members stay" if self._members else "no members are known"
            _log.warn("DNS for {name}: {fault}; {what}", name=self._options.name, fault=fault, what=what)
        elif self._failing and not fault:
            _log.info("DNS for {name} works again", name=self._options.name)
        self._failing = bool(fault)


def _order(member: Member) -> tuple[int, str, int]:
    return member.priority, member.host, member.port or 0


_FAULTS = (
    (TimeoutError, "no name server has answered in time"),
    ((DNSNameError, AuthoritativeDomainError), "there is no such name"),
    (DNSServerError, "the name server has failed"),
    (DNSQueryRefusedError, "the name server has refused"),
)


def _sentence(failure: Failure) -> str:
    for kinds, sentence in _FAULTS:
        if isinstance(failure.value, kinds):
            return sentence
    return f"{type(failure.value).__name__}: {failure.getErrorMessage()}"[:200]


@implementer(IStrategyFactory)
class _Factory:
    name = "dns"
    options = DnsOptions

    def build(self, options: DnsOptions, services: Any) -> Dns:
        lookup = Lookup(options.name, options.nameservers, options.timeout, services.reactor)

        def ask(kind: str) -> Deferred[Answer]:
            read = services_of if kind == "SRV" else addresses
            return lookup.ask(kind).addCallback(lambda records: read(records, options.name, options.port))

        return Dns(options, ask, services.clock, services.random)


factory = _Factory()
