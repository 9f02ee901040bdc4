"""Changing a head, and checking one that a plugin has changed: what leaves here may be forwarded.

A plugin may set fields, target, host, method or status.  What frames the message or belongs to the connection (RFC 9110
§7.6.1, RFC 9112 §6) stays as it was read, whatever the plugin says: two servers must not read one message differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from gateway.http.authority import valid_authority
from gateway.http.faults import TOKEN, short
from gateway.http.heads import index_of
from gateway.values import Fields, Reply, RequestHead, ResponseHead

__all__ = ["FRAMING", "checked_reply", "checked_request", "checked_response", "field_fault", "with_fields"]

FRAMING: Final = frozenset(
    [
        "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    ]
)  # fmt: skip
"""Names of fields that frame a message or belong to the connection: nobody but the gateway sets them."""

_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET: Final = re.compile(r"/[\x21\x22\x24-\x7e]*")
_MOST_FIELDS: Final = 512
_MOST_BYTES: Final = 262144

_Head = TypeVar("_Head", RequestHead, ResponseHead)


def with_fields(head: _Head, *, set: Fields = (), add: Fields = (), remove: Iterable[str] = ()) -> _Head:
    """``head`` with other fields: those named in ``remove`` or ``set`` are gone, ``set`` and ``add`` stand at the end.

    Names are compared without regard to case.  The result is as consistent as what a parser gives.
    """
    gone = {name.lower() for name, _ in set} | {name.lower() for name in remove}
    kept: list[tuple[str, str]] = (
        [field for field in head.fields if field[0].lower() not in gone] if gone else list(head.fields)
    )
    fields = (*kept, *set, *add)
    return head._replace(fields=fields, index=index_of(fields))


def field_fault(name: str, value: str) -> str:
    """What is wrong with a field that was made by hand; empty if nothing is. The value is not quoted."""
    if TOKEN.fullmatch(name) is None:
        return f"the field name {short(name)} is not a token"
    if _VALUE.fullmatch(value) is None:
        return f"the value of {short(name)} has a line break, a control character or one outside latin-1"
    return ""


def checked_request(before: RequestHead, after: RequestHead) -> RequestHead:
    """``after`` as it may be forwarded, where a plugin made it of ``before``; else ``ValueError``."""
    method, target, host = after.method, after.target, after.host
    if method != before.method and (TOKEN.fullmatch(method) is None or method in ("CONNECT", "TRACE")):
        raise ValueError("the method of the changed request is not one that may be forwarded")
    if method != before.method and "HEAD" in (method, before.method):
        raise ValueError("a HEAD has no response body: the method cannot be changed from or to it")
    if target != before.target and _TARGET.fullmatch(target) is None:
        raise ValueError("the target of the changed request is not a path in ASCII without spaces and fragment")
    if host != before.host and not valid_authority(host):
        raise ValueError("the host of the changed request is not a host name or address with an optional port")
    fields, index = _checked(before.fields, before.index, after.fields)
    nominated = _nominated(before, after)
    return before._replace(method=method, target=target, host=host, fields=fields, index=index, nominated=nominated)


def checked_response(before: ResponseHead, after: ResponseHead) -> ResponseHead:
    """The same for a response; a status that has no body cannot become one that has, nor the other way round.

    The length that an answer to HEAD or a 304 tells is left out where the body would be encoded in another way: it is
    not what a GET would get (RFC 9110 §8.6).
    """
    status = after.status
    if status != before.status and (not isinstance(status, int) or _bodiless(status) != _bodiless(before.status)):
        raise ValueError(f"the status cannot be changed from {before.status} to {status!r}")
    if not 100 <= status <= 599 or (status < 200 and status != before.status):
        raise ValueError(f"{status} is not the status of a final response")
    if _VALUE.fullmatch(after.reason) is None:
        raise ValueError("the reason phrase of the changed response has a line break or a control character")
    fields, index = _checked(before.fields, before.index, after.fields)
    told = index.get("content-length", "0")
    if told != "0" and not before.body and index.get("content-encoding") != before.index.get("content-encoding"):
        fields = [field for field in fields if field[0].lower() != "content-length"]
        index = index_of(fields)
    nominated = _nominated(before, after)
    return before._replace(status=status, reason=after.reason, fields=fields, index=index, nominated=nominated)


def checked_reply(reply: Reply) -> Reply:
    """A plugin's ``reply`` as it may be sent, without fields that frame it. Raises ``ValueError`` if it may not be."""
    if not isinstance(reply.status, int) or not 200 <= reply.status <= 599:
        raise ValueError(f"{reply.status!r} is not the status of a final response")
    if not isinstance(reply.body, bytes):
        raise ValueError("the body of a reply has to be bytes")
    fields, _ = _checked((), {}, reply.fields)
    return reply._replace(fields=tuple(fields))


def _nominated(before: _Head, after: _Head) -> Sequence[str]:
    """What is hop-by-hop by the word of the peer: not what a plugin has set, or the peer could have that dropped."""
    if not before.nominated or after.fields is before.fields:
        return before.nominated
    same, equal = set(map(id, before.fields)), set(before.fields)
    # Another line, or the peer's own line set again by one who says so by leaving the name out.
    fresh = {
        field[0].lower()
        for field in after.fields
        if field not in equal or (id(field) not in same and field[0].lower() not in after.nominated)
    }
    return [name for name in before.nominated if name not in fresh] if fresh else before.nominated


def _bodiless(status: int) -> bool:
    return status < 200 or status in (204, 304)


def _checked(old: Fields, old_index: Mapping[str, str], new: Fields) -> tuple[Fields, Mapping[str, str]]:
    """Fields and index, with what frames the message as it was."""
    if new is old:
        return old, old_index
    size = 0
    fields: list[tuple[str, str]] = []
    for name, value in new:
        fault = field_fault(name, value)
        if fault:
            raise ValueError(fault)
        size += len(name) + len(value) + 4
        if name.lower() not in FRAMING:
            fields.append((name, value))
    fields += [field for field in old if field[0].lower() in FRAMING]
    if len(fields) > _MOST_FIELDS or size > _MOST_BYTES:
        raise ValueError(f"the changed head has {len(fields)} fields and {size} bytes")
    return fields, index_of(fields)
