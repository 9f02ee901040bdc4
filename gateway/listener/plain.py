"""Plain exchanges of one client connection: their heads are read and written here, their bodies passed on.

This is the Python twin; the C twin is ``gateway/_native/lane.c``.  What has to be decided is in the subclass,
`gateway.listener.lane.Lane`, and common to both.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from gateway import _native
from gateway.errors import GatewayError
from gateway.http.forwarding import date_now, request_bytes, request_stays, response_bytes, response_stays
from gateway.http.heads import parse_request, parse_response
from gateway.http.limits import HeadLimits
from gateway.http.lines import CONNECTION, DATE, HOST, LENGTH, TYPE, UPGRADE, request_lines, response_lines
from gateway.websocket.handshake import accept_for, check_request, check_response

if TYPE_CHECKING:
    from gateway.transport.stream import Stream
    from gateway.values import RequestHead, ResponseHead

__all__ = ["Lane"]

_MOST_HEAD = 8 * 1024
"""Bytes of a request's head: what is added says some of it again."""

_RESPONSE_LIMITS = HeadLimits(head=65536, fields=128, target=0)
_PREFIX = 16

_request_line = re.compile(r"(GET|HEAD|OPTIONS|DELETE|POST|PATCH) (/[\x21\x22\x24-\x7e]*+) HTTP/1\.1").fullmatch
_status_line = re.compile(r"HTTP/1\.1 ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?").fullmatch
_WITH_BODY: Final = frozenset(["POST", "PATCH"])

_NOT_ASKED: Final = ("content-length", "expect", "sec-websocket-protocol", "te", "transfer-encoding")
_NOT_ANSWERED: Final = (
    "content-length", "sec-websocket-extensions", "sec-websocket-protocol", "transfer-encoding",
)  # fmt: skip
"""Fields that plain openings do not have, and the answers to them."""

_numbers = count(1 << 63)
"""Of trace ids; those that `Surroundings` makes begin with 0 to 7."""


@_native.chosen(
    _native.pump, request_stays=request_stays, response_stays=response_stays, date_now=date_now, accept_for=accept_for
)
class Lane:
    """See `gateway.listener.lane`.

    ``armed``: the client's next bytes may be a plain request.  ``closing``: the client wants the connection to end with
    its response.  ``raw``: the head of the request that is in it, as it was read, or ``None``.  ``opening``: that is
    for a WebSocket.  ``careful``: the request has a body, so it cannot be sent again.  ``received``, ``sent``: bytes of
    the request as it came and as it went on, ``answered``, ``passed``: those of the response.  ``status``,
    ``content_type``: of the response, once it has begun.  ``left``: bytes of its body that have not been seen here.
    ``trace_id``: of the latest request.
    """

    __slots__ = (
        "_backend", "_body", "_head_only", "_known", "_limits", "_most_body", "_prefix", "_request", "_stream",
        "answered", "armed", "careful", "closing", "content_type", "left", "opening", "passed", "raw", "received",
        "sent", "status", "trace_id",
    )  # fmt: skip

    def __init__(self, client: Stream, known: bytes, prefix: str, limits: HeadLimits, most_body: int) -> None:
        """``known``: field lines that are the same for each request; ``prefix``: 16 digits of trace ids; ``most_body``:
        bytes of a request's body. Raises ``ValueError`` if ``client`` has a lane."""
        if client.lane is not None or len(prefix) != _PREFIX:
            raise ValueError("a lane needs a stream that has none, and a prefix of 16 digits")
        self._stream: Any = client  # `None` once it is closed
        self._backend: Stream | None = None
        self._known = known.decode("latin-1")
        self._prefix = prefix
        self._limits = limits
        self._most_body = most_body
        self._body = b""
        self._head_only = False
        self._request: bytes | None = None  # while it waits for a connection
        self.armed = True
        self.closing = self.careful = self.opening = False
        self.raw: bytes | None = None
        self.received = self.sent = self.status = self.left = self.answered = self.passed = 0
        self.content_type = ""
        self.trace_id = ""
        client.lane = self

    @property
    def flying(self) -> bool:
        """A request is on its way, or waits for a connection."""
        return self._backend is not None or self._request is not None

    @property
    def waiting(self) -> bool:
        """The request waits for `go`."""
        return self._request is not None

    def head(self) -> RequestHead:
        """That of the request that is in it, made anew each time."""
        if self.raw is None:
            raise RuntimeError("there is no request")
        return parse_request(self.raw, self._limits)

    def body(self) -> bytes:
        """That of the request, while it is decided where it goes."""
        return self._body

    def go(self, transport: Any) -> None:
        """Send the request that waits for this; nothing where none does."""
        request, self._request = self._request, None
        if request is not None and not self._takes_off(transport, request):
            self.send()

    def detach(self) -> None:
        """What the backend says goes to its protocol. Idempotent."""
        self._detach()
        self.raw = None

    def close(self) -> None:
        """The same for the client, for ever. Idempotent."""
        self.armed = False
        if self._stream is not None:
            self._stream.lane = None
            self._stream = None
            self._detach()

    def _detach(self) -> None:
        self._request = None
        if self._backend is not None:
            self._backend.lane = None
            self._backend = None

    # -- what the streams call

    def hears(self, stream: Stream, data: bytes) -> bool:
        """The client's stream or the backend's has read this; false if its protocol has to be told. HOT

        What is not plain goes to the protocol, after those who know of the exchange have heard of it.
        """
        if stream is not self._stream:
            answer = self._open_up if self.opening else self._answer
            if self._go_on(data) if self.left else answer(data):
                return True
        elif self.armed and self._ask(data):
            return True
        self.armed = False
        if self.flying:
            self.resume()
        return False

    def _ask(self, data: bytes) -> bool:
        """The client has sent this; false where it is no plain request, and nothing was done."""
        end = data.find(b"\r\n\r\n")
        stream = self._stream
        limits = self._limits
        if not 0 <= end <= _MOST_HEAD or end + 4 > limits.head or not stream._direct:
            return False
        lines = str(data[:end], "latin-1").split("\r\n")
        start = _request_line(lines[0])
        if start is None or len(lines) > limits.fields + 1:
            return False
        method, target = start.groups()
        found = request_lines.read(lines)
        if found is None or len(target) > limits.target:
            return False
        passed, said = found
        host = said.get(HOST)
        end += 4
        size = len(data) - end
        if host is None:
            return False
        if UPGRADE in said:
            return self._ask_to_open(data, host)
        if size or LENGTH in said or method in _WITH_BODY:
            if method not in _WITH_BODY or said.get(LENGTH) != size or not 0 < size <= self._most_body:
                return False
            self._body = data[end:]
            length = f"Content-Length: {size}\r\n"
            self.raw = data[:end]
        else:
            self._body = b""
            length = ""
            self.raw = data
        self.trace_id = trace_id = f"{self._prefix}{next(_numbers):016x}"
        request = (
            f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{passed}{length}{self._known}X-Original-Host: {host}\r\n"
            f"X-Original-URL: {target}\r\nX-AppGW-Trace-Id: {trace_id}\r\n\r\n"
        ).encode("latin-1") + self._body
        self.received = len(data)
        self.sent = len(request)
        self.armed = False
        self.left = 0
        self.closing = said.get(CONNECTION, False)
        self.careful = size > 0
        self.opening = False
        self._head_only = method == "HEAD"
        self._pass_on(host, request)
        self._body = b""
        return True

    def _ask_to_open(self, data: bytes, host: str) -> bool:
        """As `_ask`, where there is an Upgrade: a valid handshake in which no subprotocol has to be looked at."""
        try:
            head = parse_request(data, self._limits)
            check_request(head)
        except GatewayError:
            return False
        if not _is_plain_upgrade(head, _NOT_ASKED):
            return False
        self.trace_id = trace_id = f"{self._prefix}{next(_numbers):016x}"
        named = f"X-Original-Host: {host}\r\nX-Original-URL: {head.target}\r\nX-AppGW-Trace-Id: {trace_id}\r\n"
        request = request_bytes(head, head.target, host, self._known + named, 0, True)
        self.raw = data
        self.received = len(data)
        self.sent = len(request)
        self.armed = self.closing = self.careful = self._head_only = False
        self.left = 0
        self.opening = True
        self._pass_on(host, request)
        return True

    def _pass_on(self, host: str, request: bytes) -> None:
        """Let it be decided where the request goes, and send it."""
        found = self.decide(host)
        if found is self:
            self._request = request
        elif found is None:
            self.raw = None
        elif not self._takes_off(found, request):
            self.send()
            self.raw = None

    def _takes_off(self, found: Any, request: bytes) -> bool:
        """Send it there, if that can be written to from here."""
        if self._stream is None or not self._can_answer(found):
            return False
        self._backend = found
        found.lane = self
        found.write(request)
        return True

    def _can_answer(self, found: Any) -> bool:
        """Whether this can be written to and read from here."""
        return (
            getattr(found, "_pump", None) is self._stream._pump and found.connected and found._direct
            and not found._deaf and found.lane is None
        )  # fmt: skip

    def _answer(self, data: bytes) -> bool:
        """The backend has sent the beginning of a response, or all of it: as `_ask`."""
        stream = self._stream
        end = data.find(b"\r\n\r\n")
        if end < 0 or not stream._direct:
            return False
        lines = str(data[:end], "latin-1").split("\r\n")
        start = _status_line(lines[0])
        if start is None or len(lines) > _RESPONSE_LIMITS.fields + 1 or end + 4 > _RESPONSE_LIMITS.head:
            return False
        found = response_lines.read(lines)
        if found is None:
            return False
        passed, said = found
        status = int(start[1])
        length = said.get(LENGTH, -1)
        end += 4
        size = len(data) - end
        if UPGRADE in said:
            return False
        bodiless = self._head_only or status == 304
        if said.get(CONNECTION) or not self._is_plain(status, length, size):
            return False
        framing = f"Content-Length: {length}\r\n" if length >= 0 else ""
        if self.closing:
            framing += "Connection: close\r\n"
        if DATE not in said:
            framing += f"Date: {date_now()}\r\n"
        response = f"HTTP/1.1 {status} {start[2] or ''}\r\n{passed}{framing}\r\n".encode("latin-1") + data[end:]
        self.content_type = said.get(TYPE, "")
        self.status = status
        self.left = left = 0 if bodiless or length <= size else length - size
        self.answered = len(data)
        self.passed = len(response)
        self._write(response, left)
        return True

    def _open_up(self, data: bytes) -> bool:
        """The backend agrees to open the WebSocket; false where it does anything else."""
        end = data.find(b"\r\n\r\n") + 4
        stream = self._stream
        if end < 4 or self.raw is None or not stream._direct:
            return False
        try:
            head = parse_response(data[:end], "GET", _RESPONSE_LIMITS)
            check_response(head, self.head())
        except GatewayError:
            return False
        if not _is_plain_upgrade(head, _NOT_ANSWERED):
            return False
        response = response_bytes(head, "1.1", 0, False, True)
        self.status = 101
        self.answered = len(data)
        self.passed = len(response)
        self._detach()
        stream.write(response)
        self.opened(data[end:])
        return True

    def _is_plain(self, status: int, length: int, size: int) -> bool:
        """Of a response without a body the length is that of another (RFC 9110 §8.6)."""
        if status < 200 or status == 426:
            return False
        if status == 204:
            return length < 0 and not size
        if self._head_only or status == 304:
            return not size
        return length >= size

    def _go_on(self, data: bytes) -> bool:
        """More of its body."""
        size = len(data)
        left = self.left - size
        if left < 0 or not self._stream._direct:
            return False
        self.left = left
        self.answered += size
        self.passed += size
        self._write(data, left)
        return True

    def _write(self, data: bytes, left: int) -> None:
        """Pass on a part of the response; the backend has done its part with the last of it."""
        if left:
            self.goes_on()
            self._stream.write(data)
            return
        self._detach()
        self.armed = not self.closing
        self._stream.write(data)
        self.ended()
        self.raw = None

    # -- what the subclass does

    def decide(self, host: str) -> Any:
        """The transport of the backend that gets the request; ``None`` if somebody else has it now.

        The lane itself if there will be a transport: the request waits for `go`, and is flying meanwhile.
        """
        raise NotImplementedError

    def goes_on(self) -> None:
        """A part of the response, and not the last, is about to be passed on."""
        raise NotImplementedError

    def ended(self) -> None:
        """The response has been written."""
        raise NotImplementedError

    def opened(self, early: bytes) -> None:
        """The 101 has been written, and ``early`` came behind it: the connections are the subclass's now."""
        raise NotImplementedError

    def send(self) -> None:
        """The transport that `decide` or `go` has named cannot be used here."""
        raise NotImplementedError

    def resume(self) -> Any:
        """Let the exchange go on without a lane."""
        raise NotImplementedError


def _is_plain_upgrade(head: RequestHead | ResponseHead, without: tuple[str, ...]) -> bool:
    index = head.index
    simple = head.keep_alive and not head.nominated and index["upgrade"].lower() == "websocket"
    return simple and not any(name in index for name in without)
