"""Finds out what is wrong with a head that the fast parser did not accept.

The parser (`gateway.http.heads`) only decides *that* a head is not well-formed; this module says why,
in a sentence for the operator, and with which status.  It never quotes a value, for a value may be
a secret.
"""

from __future__ import annotations

import re
from typing import NoReturn

from gateway.errors import BackendProtocolError, BadRequest, HeadTooLarge, TargetTooLong, VersionNotSupported
from gateway.http.limits import HeadLimits

__all__ = ["TOKEN", "field_fault", "longest_start_line", "refuse_request", "refuse_response", "short"]

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token (RFC 9110 §5.6.2)."""

_VERSION = re.compile(r"HTTP/([0-9])\.[0-9]")
_PREFACE = "PRI * HTTP/2.0"  # made to fail where HTTP/2 is not expected (RFC 9113 §3.4)
_STATUS_LINE = re.compile(r"HTTP/1\.[0-9] [1-9][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def short(text: str) -> str:
    """A name from the wire, made safe and short enough for a log line."""
    return ascii(text if len(text) <= 40 else text[:40] + "…")


def longest_start_line(limits: HeadLimits) -> int:
    """Bytes of a request line (without its CRLF) that are worth waiting for: a longer one has a target too long."""
    return min(limits.target + 80, limits.head - 1)


def _line_fault(line: str) -> str:
    """What is wrong with one field line, without its CRLF; empty if nothing is."""
    if not line:
        return "an empty line inside the head"
    if line[0] in " \t":
        return "a field line that is folded (obs-fold) or begins with white space"
    found = _CONTROL.search(line)
    if found is not None:
        names = {"\r": "a CR without LF", "\n": "a LF without CR", "\x00": "a NUL character"}
        return names.get(found.group(), f"the control character 0x{ord(found.group()):02x}") + " in a field line"
    name, colon, _ = line.partition(":")
    if not colon:
        return f"a field line without colon, {short(name)}"
    if not name:
        return "a field without name"
    if name[-1] in " \t":
        return f"white space between the field name {short(name.rstrip())} and its colon"
    if TOKEN.fullmatch(name) is None:
        return f"the field name {short(name)}, which is not a token"
    return ""


def field_fault(block: str) -> str:
    """What is wrong with field lines, each ended by CRLF; empty if nothing is."""
    lines = block.split("\r\n")
    if lines.pop():
        return "a last field line that is not ended by CRLF"
    for line in lines:
        fault = _line_fault(line)
        if fault:
            return fault
    return ""


def _start_line(text: str) -> tuple[str, str]:
    """The start line and the block of field lines of a head, the empty line at the end taken off."""
    line, _, rest = text.partition("\r\n")
    return line, rest.removesuffix("\r\n")


def _refuse_request_line(line: str, limits: HeadLimits) -> None:
    found = _CONTROL.search(line)
    if found is not None:
        raise BadRequest(f"the request line has the control character 0x{ord(found.group()):02x}")
    parts = line.split(" ")
    if len(parts) != 3:
        raise BadRequest("the request line is not a method, a target and a version with one space between them")
    method, target, version = parts
    if len(method) > 64 or TOKEN.fullmatch(method) is None:
        raise BadRequest("the method is not a token of at most 64 characters")
    match = _VERSION.fullmatch(version)
    if match is None or match.group(1) == "0":
        raise BadRequest(f"the request line does not end with an HTTP version but with {short(version)}")
    if line == _PREFACE:
        raise BadRequest("the client began with HTTP/2, which is not spoken on this connection")
    if match.group(1) != "1":
        raise VersionNotSupported(f"{version} is not supported, only HTTP/1")
    if len(target) > limits.target:
        raise TargetTooLong(f"the target has {len(target)} characters, the limit is {limits.target}")


def refuse_request(text: str, limits: HeadLimits) -> NoReturn:
    """Raise the `RequestError` that fits a request head which is not well-formed or too long."""
    line, block = _start_line(text)
    if len(line) > longest_start_line(limits):
        raise TargetTooLong(f"the request line has {len(line)} bytes")
    if len(text) > limits.head:
        raise HeadTooLarge(f"the head has {len(text)} bytes, the limit is {limits.head}")
    if not text.endswith("\r\n\r\n"):
        raise BadRequest("the head does not end with an empty line")
    _refuse_request_line(line, limits)
    fault = field_fault(block)
    if fault:
        raise BadRequest(f"the head has {fault}")
    count = block.count("\n")
    if count > limits.fields:
        raise HeadTooLarge(f"the head has {count} field lines, the limit is {limits.fields}")
    raise BadRequest("the head is not well-formed")


def refuse_response(text: str, limits: HeadLimits) -> NoReturn:
    """Raise a `BackendProtocolError` for a response head which is not well-formed or too long."""
    line, block = _start_line(text)
    if len(text) > limits.head:
        raise BackendProtocolError(f"the response head has {len(text)} bytes, the limit is {limits.head}")
    if not text.endswith("\r\n\r\n"):
        raise BackendProtocolError("the response head does not end with an empty line")
    if _STATUS_LINE.fullmatch(line) is None:
        raise BackendProtocolError(f"the response does not begin with an HTTP/1 status line but with {short(line)}")
    fault = field_fault(block)
    if fault:
        raise BackendProtocolError(f"the response head has {fault}")
    count = block.count("\n")
    if count > limits.fields:
        raise BackendProtocolError(f"the response head has {count} field lines, the limit is {limits.fields}")
    raise BackendProtocolError("the response head is not well-formed")
