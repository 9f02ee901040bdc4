"""Collects a head that did not arrive in one piece."""

from __future__ import annotations

import re

from gateway.errors import BackendProtocolError, BadRequest, GatewayError, HeadTooLarge, TargetTooLong
from gateway.http.faults import longest_start_line
from gateway.http.limits import DEFAULT, HeadLimits

__all__ = ["HeadBuffer"]

_CLEAN = re.compile(rb"(?:\r\n|[\t\x20-\x7e\x80-\xff]++)*+\r?")
_END = b"\r\n\r\n"
_METHOD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}+"
_REQUEST_BEGINS = re.compile(_METHOD + rb"(?: |\Z)")
_LONGEST_METHOD = 64
_REQUEST_LINE = re.compile(_METHOD + rb" [!-~]++ HTTP/[1-9]\.[0-9]")
_STATUS_LINE = b"HTTP/1."


class HeadBuffer:
    """Takes bytes until a head is whole, and refuses at once what can never become one.

    ``error`` is what an over-long head raises: `HeadTooLarge` for requests; with `BackendProtocolError` the
    buffer expects a response and raises nothing else.  Each byte is looked at once, so that the work is
    O(n) however the bytes are split, and never more than ``limits.head`` bytes and one chunk are held.

    ``started``: a byte of a head has been seen.  ``rest``: bytes after the head that `feed` returned last.
    When a head has been returned the buffer is empty and may be used for the next.
    """

    __slots__ = (
        "_buffer", "_error", "_limits", "_line_checked", "_request", "_skipped", "_verified", "rest", "started",
    )  # fmt: skip

    def __init__(self, limits: HeadLimits = DEFAULT, error: type[GatewayError] = HeadTooLarge) -> None:
        self._limits = limits
        self._error = error
        self._request = not issubclass(error, BackendProtocolError)
        self.rest = b""
        self._reset()

    def _reset(self) -> None:
        self._buffer = bytearray()
        self._verified = 0
        self._skipped = 0
        self._line_checked = False
        self.started = False

    def begins(self, data: bytes) -> bool:
        """Whether what is in it begins so; also of use after an error."""
        return self._buffer.startswith(data)

    def feed(self, data: bytes) -> bytes | None:
        """Take more bytes; return the whole head if it is complete now, else ``None``.

        Up to two empty lines before a request are skipped (RFC 9112 §2.2).  Raises `HeadTooLarge`,
        `TargetTooLong` or `BadRequest`, for responses the ``error`` given; the buffer is of no use after that.
        """
        buffer = self._buffer
        buffer += data
        if not self.started and not self._begin():
            return None
        limit = self._limits.head
        end = buffer.find(_END, max(self._verified - 3, 0))
        known = len(buffer) if end < 0 else end + 4
        self._verify(min(known, limit))
        if known > limit or (end < 0 and known == limit):
            raise self._error(f"the head has more than {limit} bytes")
        if end < 0:
            return None
        head = bytes(buffer[:known])
        self.rest = bytes(buffer[known:])
        self._reset()
        return head

    def _begin(self) -> bool:
        """Skip empty lines before a request; true if a byte of a head is there."""
        buffer = self._buffer
        while self._request and buffer[:2] == b"\r\n" and self._skipped < 2:
            del buffer[:2]
            self._skipped += 1
        if not buffer or (buffer == b"\r" and self._request and self._skipped < 2):
            return False
        self.started = True
        return True

    def _verify(self, size: int) -> None:
        """Check the first ``size`` bytes, as far as that has not been done, for what no head may have."""
        buffer = self._buffer
        if not self._line_checked:
            self._verify_start_line(size)
        start = self._verified
        match = _CLEAN.match(buffer, start, size)
        verified = match.end() if match is not None else start
        if verified < size:
            raise self._fault(f"a bare CR, a bare LF or a control character at byte {verified} of the head")
        # A CR at the end has to be seen again, together with what follows it.
        self._verified = size - 1 if size and buffer[size - 1] == 13 else size

    def _verify_start_line(self, size: int) -> None:
        buffer = self._buffer
        end = buffer.find(b"\r\n", max(self._verified - 1, 0), size)
        whole = end >= 0
        if not self._request:
            begin = bytes(buffer[: min(size, 7)])
            if not _STATUS_LINE.startswith(begin):
                raise self._fault("what the backend sent does not begin like an HTTP/1 response")
            self._line_checked = whole
            return
        if self._verified <= _LONGEST_METHOD and _REQUEST_BEGINS.match(buffer, 0, size) is None:
            self._refuse_line()
        longest = longest_start_line(self._limits)
        if (end if whole else size) > longest:
            self._verify_characters(longest)
            raise TargetTooLong(f"the request line has more than {longest} bytes")
        if whole:
            if _REQUEST_LINE.fullmatch(buffer, 0, end) is None:
                self._refuse_line()
            self._line_checked = True

    def _verify_characters(self, size: int) -> None:
        match = _CLEAN.match(self._buffer, self._verified, size)
        if match is None or match.end() < size:
            raise self._fault("a bare CR, a bare LF or a control character in the request line")

    def _refuse_line(self) -> None:
        if self._buffer[0] == 0x16:
            raise BadRequest("a TLS handshake where an HTTP request was expected")
        raise BadRequest("the first line is not that of an HTTP/1 request")

    def _fault(self, message: str) -> GatewayError:
        return BadRequest(message) if self._request else self._error(message)
