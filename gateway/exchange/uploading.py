"""An exchange that waits for its request's body before it asks a backend, where the configuration says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from gateway.http.bodies import chunk
from gateway.http.heads import index_of
from gateway.relay.flow import CONNECTING
from gateway.relay.upload import Feeding, Upload
from gateway.values import CHUNKED, Fields, Outcome, RequestHead, ResponseHead

if TYPE_CHECKING:
    from gateway.exchange.surroundings import Surroundings
    from gateway.listener.http1 import ClientConnection
    from gateway.upstream.http1 import UpstreamConnection

__all__ = ["Uploading"]

_CONTINUE = ResponseHead(100, "Continue", "1.1", (), {})


class Uploading:
    """The part of an `Exchange` that collects the body, and gives it to a backend's connection later.

    ``_upload`` has the body while it is waited for (``_collecting``), and afterwards, where some of it is in a file,
    until a backend has all of that.  A body that fits into memory becomes ``_pending`` again.  Where no more can be
    kept the rest streams: the client is held until the backend has what there is.
    """

    outcome: Outcome
    _shared: Surroundings
    _client: ClientConnection
    _head: RequestHead
    _upstream: UpstreamConnection | None
    _pending: bytes
    _trailers: Fields
    _complete: bool
    _replayable: bool
    _upload: Upload | None = None
    _feeding: Feeding | None = None
    _collecting = _collected = False

    if TYPE_CHECKING:  # the exchange

        def _attempt(self) -> None: ...
        def _last_chunk(self, trailers: Fields) -> bytes: ...
        def _allow(self, for_backend: bool) -> None: ...
        def _fail(self, error: GatewayError) -> None: ...

    def _collect(self) -> None:
        """Wait for the body if it is not here and may be kept, and go on."""
        self._collected = True
        uploads, head = self._shared.uploads, self._head
        assert uploads is not None
        if self._complete or not uploads.fits(head.body):
            if self._complete:
                self._unexpect()
            self._measure(len(self._pending))
            self._attempt()
            return
        self._upload = Upload(uploads)
        self._collecting = True
        if "expect" in head.index:
            if not self._pending:
                self._client.respond(_CONTINUE, b"", False)
            self._unexpect()
        pending, self._pending = self._pending, b""
        self._keep(pending)

    def _keep(self, data: bytes) -> None:
        """More of the body, and all of it if it is complete."""
        upload = self._upload
        assert upload is not None
        room = upload.add(data)
        if not self._collecting:
            return
        if room and not self._complete:
            shared = self._shared
            shared.deadlines.set(self._client, shared.seconds() + shared.limits.body_timeout)
            if self._client.held:
                self._client.let(CONNECTING)
            return
        self._collecting = False
        self.outcome.collected = self._shared.seconds()
        self._measure(upload.size)
        whole = upload.whole()
        if whole is not None:
            self._pending = whole
            self._discard()
        self._attempt()

    def _unexpect(self) -> None:
        """Nobody waits for a 100 any more: no backend is asked before the body is here, and who waited has got one."""
        head = self._head
        if "expect" in head.index:
            fields = [field for field in head.fields if field[0].lower() != "expect"]
            self._head = head._replace(fields=fields, index=index_of(fields))

    def _measure(self, size: int) -> None:
        """A chunked body that is complete can say how long it is; with trailers it has to stay as it is."""
        if self._complete and self._head.body == CHUNKED and not self._trailers:
            self._head = self._head._replace(body=size)

    def _feed(self) -> Any:
        """What feeds the backend's connection: the upload from here on, or the client if there is none."""
        upload, client = self._upload, self._client
        if upload is None:
            return client
        self._replayable = False
        if not self._complete:
            client.hold(CONNECTING)
        self._feeding = Feeding(upload, self._give, self._lost, self._shared.soon)
        self._feeding.go_on()
        return self._feeding

    def _give(self, piece: bytes, end: bool) -> None:
        """The next piece of the upload; with ``end`` the last."""
        upstream, client = self._upstream, self._client
        assert upstream is not None
        complete = end and self._complete
        if end:
            self._discard()
        if self._head.body == CHUNKED:
            piece = chunk(piece) + (self._last_chunk(self._trailers) if complete else b"")
        self._allow(complete or not end or upstream.stuck)
        upstream.send(piece)
        if end:
            upstream.fed_by(client)
            if not complete:
                client.let(CONNECTING)

    def _lost(self, error: OSError) -> None:
        """What was kept cannot be read."""
        reason = error.strerror or type(error).__name__
        self._fail(GatewayError(f"the request's body, which was kept in a file, cannot be read: {reason}"))

    def _discard(self) -> None:
        """Let go of the upload; nobody wants it any more, or the backend has all of it."""
        upload, feeding = self._upload, self._feeding
        self._upload = self._feeding = None
        if feeding is not None:
            feeding.stop()
        if upload is not None:
            upload.close()
