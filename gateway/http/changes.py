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
from gateway.http.forwarding import is_made, is_ours
from gateway.http.heads import index_of
from gateway.values import Fields, Reply, RequestHead, ResponseHead

__all__ = [
    "FRAMING", "checked_reply", "checked_request", "checked_response", "field_fault", "said", "set_since",
    "with_fields",
]  # fmt: skip

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

_OF_THE_BODY: Final = ("content-encoding", "etag")

_Head = TypeVar("_Head", RequestHead, ResponseHead)


def with_fields(head: _Head, *, set: Fields = (), add: Fields = (), remove: Iterable[str] = ()) -> _Head:
    """``head`` with other fields: those named in ``remove`` or ``set`` are gone, ``set`` and ``add`` stand at the end.

    Names are compared without regard to case.  The result is as consistent as what a parser gives; ``nominated`` says
    what may not go on, so it has what is removed, and not what is set or added, whatever the peer called hop-by-hop.
    """
    given = {name.lower() for name, _ in (*set, *add)}
    removed: Sequence[str] = [name.lower() for name in remove]
    gone = {name.lower() for name, _ in set}.union(removed, given.intersection(head.nominated))
    kept: list[tuple[str, str]] = (
        [field for field in head.fields if field[0].lower() not in gone] if gone else list(head.fields)
    )
    fields = (*kept, *set, *add)
    names: Sequence[str] = head.nominated
    if names or removed:
        names = tuple([name for name in dict.fromkeys([*names, *removed]) if name not in given])
    return head._replace(fields=fields, index=index_of(fields), nominated=names)


def field_fault(name: str, value: str) -> str:
    """What is wrong with a field that was made by hand; empty if nothing is. The value is not quoted."""
    if TOKEN.fullmatch(name) is None:
        return f"the field name {short(name)} is not a token"
    if _VALUE.fullmatch(value) is None:
        return f"the value of {short(name)} has a line break, a control character or one outside latin-1"
    return ""


def checked_request(before: RequestHead, after: RequestHead) -> RequestHead:
    """``after`` as it may be forwarded, where a plugin made it of ``before``; else ``ValueError``.

    What is set arrives, also where the peer has sent the same and called it hop-by-hop.
    """
    method, target, host = after.method, after.target, after.host
    if method != before.method and (TOKEN.fullmatch(method) is None or method in ("CONNECT", "TRACE")):
        raise ValueError("the method of the changed request is not one that may be forwarded")
    if method != before.method and "HEAD" in (method, before.method):
        raise ValueError("a HEAD has no response body: the method cannot be changed from or to it")
    if target != before.target and _TARGET.fullmatch(target) is None:
        raise ValueError("the target of the changed request is not a path in ASCII without spaces and fragment")
    if host != before.host and not valid_authority(host):
        raise ValueError("the host of the changed request is not a host name or address with an optional port")
    lines, nominated = _taken_over(before, after)
    fields, index = _checked(before.fields, before.index, lines)
    return before._replace(method=method, target=target, host=host, fields=fields, index=index, nominated=nominated)


def checked_response(before: ResponseHead, after: ResponseHead) -> ResponseHead:
    """The same for a response; a status that has no body cannot become one that has, nor the other way round.

    The length that an answer to HEAD or a 304 tells is left out where the body would be another one, encoded or with
    another ETag: it is not what a GET would get (RFC 9110 §8.6).
    """
    status = after.status
    if status != before.status and (not isinstance(status, int) or _bodiless(status) != _bodiless(before.status)):
        raise ValueError(f"the status cannot be changed from {before.status} to {status!r}")
    if status != before.status and not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of a final response")
    if _VALUE.fullmatch(after.reason) is None:
        raise ValueError("the reason phrase of the changed response has a line break or a control character")
    lines, nominated = _taken_over(before, after)
    fields, index = _checked(before.fields, before.index, lines)
    told = index.get("content-length", "0")
    if told != "0" and not before.body and any([index.get(name) != before.index.get(name) for name in _OF_THE_BODY]):
        fields = [field for field in fields if field[0].lower() != "content-length"]
        index = index_of(fields)
    return before._replace(status=status, reason=after.reason, fields=fields, index=index, nominated=nominated)


def checked_reply(reply: Reply) -> Reply:
    """A plugin's ``reply`` as it may be sent, without fields that frame it. Raises ``ValueError`` if it may not be."""
    if not isinstance(reply.status, int) or not 200 <= reply.status <= 599:
        raise ValueError(f"{reply.status!r} is not the status of a final response")
    if not isinstance(reply.body, bytes):
        raise ValueError("the body of a reply has to be bytes")
    fields, _ = _checked((), {}, reply.fields)
    return reply._replace(fields=tuple(fields))


def set_since(old: Fields, new: Fields) -> list[tuple[str, str]]:
    """The lines of ``new`` that were not just left from ``old``; who sets what was there anyway has set it.

    A line that is left has at least the same object as its name, also where its pair was made anew.
    """
    left = {(id(name), value) for name, value in old}
    return [field for field in new if (id(field[0]), field[1]) not in left]


def said(lines: str, old: Fields, new: Fields) -> str:
    """The gateway's own field ``lines`` for a backend, each ended by CRLF, after a plugin has made ``new`` of ``old``.

    What it sets among the fields in which the gateway speaks is said in place of what the gateway makes; what a trusted
    proxy or another plugin has said, and it has taken out, is said no more.
    """
    old, new = [field for field in old if is_ours(field[0])], [field for field in new if is_ours(field[0])]
    fresh = set_since(old, new)
    if not fresh and len(old) == len(new):
        return lines
    objects = set(map(id, fresh))
    set_names = {name.lower() for name, _ in fresh}
    left = {f"{field[0]}: {field[1]}" for field in new if id(field) not in objects}
    gone = {f"{name}: {value}" for name, value in old} - left

    def stays(line: str) -> bool:
        name = line.partition(":")[0].lower()
        if is_made(name):
            return name not in set_names
        return line in left or (name not in set_names and line not in gone)

    kept = [line for line in lines.split("\r\n")[:-1] if stays(line)]
    return "".join([f"{line}\r\n" for line in (*kept, *[f"{name}: {value}" for name, value in fresh])])


def _taken_over(before: _Head, after: _Head) -> tuple[Fields, Sequence[str]]:
    """Fields of ``after``, and what is still hop-by-hop by the word of the peer: not what a plugin has set."""
    fields, nominated = after.fields, before.nominated
    if not nominated or fields is before.fields:
        return fields, nominated
    same = set(map(id, before.fields))
    fresh = set(map(id, set_since(before.fields, fields)))
    # Or the peer's own line set again, by one who says so by leaving the name out.
    fresh |= {id(each) for each in fields if id(each) not in same and each[0].lower() not in after.nominated}
    taken = {each[0].lower() for each in fields if id(each) in fresh}.intersection(nominated)
    if not taken:
        return fields, nominated
    return (
        [each for each in fields if id(each) in fresh or each[0].lower() not in taken],
        tuple([name for name in nominated if name not in taken]),
    )


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
