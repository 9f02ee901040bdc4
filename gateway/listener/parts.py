"""What the parts of a client's connection share.

A `ClientConnection` is one object, because there are many and each costs memory, and calls between objects cost time.
Its code is in parts, one base class each, that know of each other what stands here and nothing else::

    reading    requests come in: heads, bodies, what was sent ahead
    writing    responses go out: `IClientStream`
    slowness   the client does not read, and who has to wait because of that
    ending     how the connection ends: by us, by the client, by the clock
    http1      makes one connection of these; its exchanges, one after another
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.relay.flow import FlowProtocol

if TYPE_CHECKING:
    from gateway.errors import RequestError
    from gateway.exchange.exchange import Exchange
    from gateway.exchange.surroundings import Surroundings
    from gateway.http.heads import HeadBuffer
    from gateway.listener.factory import ListenerFactory
    from gateway.relay.read_ahead import ReadAhead
    from gateway.values import Outcome, Reply, RequestHead

__all__ = ["NEVER", "Part", "ignore"]

NEVER = float("inf")


class Part(FlowProtocol):
    """The base of each part: what more than one of them reads or sets, and what they ask of each other.

    ``_head`` is a request's head that is not complete, ``_request`` one that is, ``_method`` that of what is none (see
    `_bad_head`), ``_decoder`` what reads its body, and ``None`` when that is complete.  ``_ahead`` is what was read
    ahead, from ``_at`` on.  ``_exchange`` is the one in progress, unless it is in the lane (see `_current`),
    ``_outcome`` its, until it is recorded.  ``_source`` feeds the response; ``_room`` is what it takes of the memory to
    read it ahead.

    ``_close``: close after the response in progress; ``_closing``: no further request is read; ``at_eof``: the client
    sends no more.  ``_received`` and ``_sent`` are bytes of this request and its response, ``_taken`` those that the
    client had taken when that was last looked at.  ``deadline`` and ``review`` belong to `Deadlines`.

    What is rare among the attributes is left out of those that are `foreseen`: there is no room for all.
    """

    deadline = NEVER
    review = NEVER
    _head: HeadBuffer | None = None
    _request: RequestHead | None = None
    _method = "GET"
    _exchange: Exchange | None = None
    _outcome: Outcome | None = None
    _source: FlowProtocol | None = None
    _room: ReadAhead | None = None
    _decoder: Any = None
    _ahead = b""
    _at = 0
    _close = False
    _closing = False
    at_eof = False
    _received = 0
    _sent = 0
    _taken = -NEVER

    if TYPE_CHECKING:
        factory: ListenerFactory
        listener: str
        _shared: Surroundings

        # http1
        def _ask_no_more(self) -> None: ...
        def _current(self) -> Exchange | None: ...
        def _finished(self) -> None: ...
        def _forget_exchange(self) -> None: ...
        def _leave_lane(self) -> None: ...
        def _record(self, cut: bool = False) -> float: ...

        # reading
        def _bad_head(
            self, error: RequestError, size: int, request: RequestHead | None = None, method: str = "GET"
        ) -> None: ...
        def _run(self) -> None: ...

        # ending
        def expired(self, now: float) -> None: ...
        def shut(self, unread: bool = False, last: bool = False) -> None: ...

        # writing
        def abort(self) -> None: ...
        def reply(self, reply: Reply) -> None: ...

        # slowness
        def _leave_room(self) -> None: ...
        def _look_at_room(self) -> None: ...
        def _made_progress(self) -> bool: ...


def ignore(data: bytes) -> None:
    """The ``dataReceived`` of a connection from which nothing is read any more."""
