"""HTTP/1 messages read off a `Wire`, by an independent and unforgiving reader.

It shares no code with the gateway: what the gateway sends must be readable by somebody else.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.integration.wire import Wire

__all__ = ["Answers", "Message", "chunked", "read_request", "read_response"]


class Message(NamedTuple):
    """A request or a response. ``line``: its first line; ``raw_head``: the head as it arrived."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]
    raw_head: bytes

    def all(self, name: str) -> list[str]:
        """The values of every field line of a name, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The value of a field that may be there once."""
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{name} is there {len(values)} times: {values}")
        return values[0] if values else None

    @property
    def status(self) -> int:
        """The status of a response."""
        version, status, _ = (self.line + " ").split(" ", 2)
        if version != "HTTP/1.1":
            raise AssertionError(f"not a status line: {self.line!r}")
        return int(status)

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """The target of a request."""
        return self.line.split(" ")[1]


def chunked(*pieces: bytes, trailers: str = "") -> bytes:
    """A chunked body of these chunks; ``trailers`` are field lines, each ended by CRLF."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return chunks + b"0\r\n" + trailers.encode("latin-1") + b"\r\n"


async def read_request(wire: Wire) -> Message:
    """Read a whole request."""
    line, fields, raw = await _head(wire)
    message = Message(line, fields, b"", [], raw)
    codings, length = message.all("transfer-encoding"), message.get("content-length")
    if codings:
        return await _read_chunked(wire, message, codings, length)
    return message._replace(body=await wire.exactly(int(length or 0)))


async def read_response(wire: Wire, method: str = "GET") -> Message:
    """Read a whole response, also an informational one."""
    line, fields, raw = await _head(wire)
    message = Message(line, fields, b"", [], raw)
    if method == "HEAD" or message.status in (204, 304) or message.status < 200:
        return message
    codings, length = message.all("transfer-encoding"), message.get("content-length")
    if codings:
        return await _read_chunked(wire, message, codings, length)
    if length is not None:
        return message._replace(body=await wire.exactly(int(length)))
    body = await wire.rest()
    if wire.was_reset:
        raise AssertionError("a body that lasts until the end of the connection was cut by a reset")
    return message._replace(body=body)


async def _head(wire: Wire) -> tuple[str, list[tuple[str, str]], bytes]:
    raw = await wire.until(b"\r\n\r\n")
    line, *rest = raw[:-4].decode("latin-1").split("\r\n")
    return line, [_field(each) for each in rest], raw


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
        raise AssertionError(f"not a field line: {line!r}")
    return name, value.strip(" \t")


async def _read_chunked(wire: Wire, message: Message, codings: list[str], length: str | None) -> Message:
    if [coding.lower() for coding in codings] != ["chunked"] or length is not None:
        raise AssertionError(f"ambiguous framing: {message.fields}")
    body = bytearray()
    while True:
        size = int((await wire.until(b"\r\n"))[:-2], 16)
        if size == 0:
            break
        body += await wire.exactly(size)
        if await wire.exactly(2) != b"\r\n":
            raise AssertionError("a chunk does not end with CRLF")
    trailers = []
    while (line := await wire.until(b"\r\n")) != b"\r\n":
        trailers.append(_field(line[:-2].decode("latin-1")))
    return message._replace(body=bytes(body), trailers=trailers)


class Answers:
    """What a well-behaved backend does: read requests, answer each with the next response.

    The last response is repeated.  ``requests``: what was asked, over all connections.
    """

    def __init__(self, *responses: bytes) -> None:
        self.responses = responses or (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",)
        self.requests: list[Message] = []

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await read_request(wire)
            number = min(len(self.requests), len(self.responses) - 1)
            self.requests.append(request)
            wire.write(self.responses[number])
