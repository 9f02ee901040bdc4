"""What an answer of a name server says about members."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from twisted.names import dns

from gateway.config.model import Member

__all__ = ["MOST_RECORDS", "Answer", "addresses", "services_of"]

MOST_RECORDS = 1000
"""What is beyond that in one answer is left out."""

_LONGEST_CHAIN = 8
_MOST_WEIGHT = 1000  # of a member; SRV goes to 65535


class Answer(NamedTuple):
    """The members, and for how many seconds that may be taken for true; for ever where there are none."""

    members: tuple[Member, ...]
    ttl: float


def addresses(records: Sequence[Any], name: str, port: int | None) -> Answer:
    """Members from the A and AAAA records of ``name``, also by way of CNAME records, with ``port`` for all of them.

    ``records`` are the ``RRHeader`` of an answer section; what belongs to other names is not believed.
    """
    owners, ttls = {_plain(name)}, []
    for _ in range(_LONGEST_CHAIN):
        aliases = [record for record in records if record.type == dns.CNAME and _owner(record) in owners]
        found = {_plain(record.payload.name.name.decode("latin-1")) for record in aliases}
        ttls += [record.ttl for record in aliases]
        if found <= owners:
            break
        owners |= found
    members: dict[Member, None] = {}
    for record in records[:MOST_RECORDS]:
        if record.type in (dns.A, dns.AAAA) and _owner(record) in owners:
            family = socket.AF_INET if record.type == dns.A else socket.AF_INET6
            members[Member(host=socket.inet_ntop(family, record.payload.address), port=port)] = None
            ttls.append(record.ttl)
    return _answer(members, ttls)


def services_of(records: Sequence[Any], name: str, port: int | None) -> Answer:
    """Members from SRV records: host, port and priority as they are, weights within 1 to 1000.

    The target ``.`` says that there is no such service (RFC 2782), and gives no member.
    """
    chosen = [record for record in records[:MOST_RECORDS] if record.type == dns.SRV]
    heaviest = max([record.payload.weight for record in chosen], default=0)
    scale = min(1.0, _MOST_WEIGHT / heaviest) if heaviest else 1.0
    members: dict[Member, None] = {}
    for record in chosen:
        payload = record.payload
        host = _plain(payload.target.name.decode("latin-1"))
        if host and payload.port:
            weight = max(1, round(payload.weight * scale))
            members[Member(host=host, port=payload.port, weight=weight, priority=payload.priority)] = None
    return _answer(members, [record.ttl for record in chosen])


def _answer(members: Iterable[Member], ttls: Sequence[int]) -> Answer:
    found = tuple(members)
    return Answer(found, float(min(ttls))) if found else Answer((), math.inf)


def _owner(record: Any) -> str:
    return _plain(record.name.name.decode("latin-1"))


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
