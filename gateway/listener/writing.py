"""A client's connection, writing: responses, in HTTP/1."""

from __future__ import annotations

from twisted.logger import Logger

from gateway.errors import PluginFailed
from gateway.http.bodies import chunk, last_chunk
from gateway.http.forwarding import reply_bytes, response_bytes
from gateway.listener.parts import Part
from gateway.values import CHUNKED, UNTIL_CLOSE, Fields, Reply, ResponseHead

__all__ = ["ResponseWriter"]

_log = Logger("gateway.listener")

_JOINED_BYTES = 32768


class ResponseWriter(Part):
    """The methods of `IClientStream` that send something; whether the connection can be used on after that.

    Each response that is complete ends with a call of `_finished`, within which the next request may begin.
    """

    _chunked = False
    _until_close = False

    def respond(self, head: ResponseHead, data: bytes, end: bool) -> None:
        """Send a response head with the first body bytes, or an informational one."""
        request = self._request
        assert request is not None
        if head.status < 200:
            if request.version == "1.1":
                self._write(response_bytes(head, "1.1", 0, False, head.status == 101))
            return
        body = head.body
        if body < 0:
            body = CHUNKED if request.version == "1.1" else UNTIL_CLOSE
            self._chunked = body == CHUNKED
            if body == UNTIL_CLOSE:
                self._close = self._until_close = True
            elif data:
                data = chunk(data)
            if end and self._chunked:
                data += last_chunk()
        if self._shared.stopping or self.at_eof or (self._decoder is not None and (end or head.status >= 300)):
            # A 2xx while the body is still coming may be its echo: the connection can be used on if both end.
            self._close = True
        out = response_bytes(head, request.version, body, self._close)
        if len(data) <= _JOINED_BYTES:
            self._write(out + data)
        else:
            self._write(out)
            self._write(data)
        if end:
            self._finished()

    def has_sent(self, size: int) -> None:
        """So much of the response was sent elsewhere."""
        self._sent = size

    def send(self, data: bytes, end: bool, trailers: Fields = ()) -> None:
        """Send more of the body."""
        if self._chunked:
            data = (chunk(data) if data else b"") + (last_chunk(trailers) if end else b"")
        if data:
            self._write(data)
        if end:
            self._finished()
        elif self._room is not None:
            self._look_at_room()

    def reply(self, reply: Reply) -> None:
        """Answer with something made here."""
        request = self._request
        if request is not None and request.upgrade:
            # What follows may be meant for the protocol that the client will not get.
            self._close = True
        if self._decoder is not None or self._shared.stopping or self.at_eof:
            self._close = True
        method, version = (request.method, request.version) if request is not None else (self._method, "1.1")
        server = self._shared.server
        try:
            data = reply_bytes(reply, method, version, self._close, server)
        except ValueError as error:
            data = reply_bytes(self._unwritable(error), method, version, self._close, server)
        self._write(data)
        self._finished()

    def _unwritable(self, error: ValueError) -> Reply:
        """What to say instead of a reply that a router or a plugin has made and that cannot be sent."""
        outcome = self._outcome
        assert outcome is not None
        outcome.error = failed = PluginFailed(f"the reply of a plugin cannot be sent: {error}")
        outcome.status, outcome.cause = failed.status, failed.cause
        _log.error("{reason}", reason=str(failed))
        return self._shared.error_reply(failed.status, self.listener, None)

    def abort(self) -> None:
        """Cut the connection."""
        self._closing = True
        if not self.lost:
            self.transport.abortConnection()
        self._record(cut=True)
        self._forget_exchange()

    def break_off(self) -> None:
        """End the connection behind what there is of the response, if its length or chunks show that some is missing
        (RFC 9112 §8).  What ends with the connection would seem complete, unless that is cut."""
        if self.lost or self._until_close:
            self.abort()
            return
        self._record()
        unread = self._decoder is not None or bool(self._ahead)
        self._forget_exchange()
        self.shut(unread)

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        self.transport.write(data)
