"""What a route with message filters does to a handshake, and which session it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.messages.session import Messages
from gateway.websocket.deflate import OFFER, Deflate, accept_client, accepted_by_backend, with_extensions

if TYPE_CHECKING:
    from gateway.messages.filtering import NamedFilter
    from gateway.values import RequestHead, ResponseHead

__all__ = ["MOST_MESSAGE_BYTES", "MessageDepth"]

MOST_MESSAGE_BYTES: Final = 16 << 20
"""The size of a message, inflated, that is held where the configuration has no limit."""


class MessageDepth:
    """The ``filters`` of a route, outermost first; made once for each route.

    ``compress``: messages are compressed on each leg whose other end can.  ``max_message``: bytes that a message may
    have, inflated; ``None`` for `MOST_MESSAGE_BYTES`.
    """

    def __init__(self, filters: Sequence[NamedFilter], compress: bool = False, max_message: int | None = None) -> None:
        self.filters = tuple(filters)
        self._compress = compress
        self._most = max_message or MOST_MESSAGE_BYTES

    def offered(self, head: RequestHead) -> RequestHead:
        """The handshake for the backend: of extensions it says what the gateway can do, not what the client can.

        An upgrade to anything but ``websocket`` is left out, as a server may ignore it (RFC 9110 §7.8): nobody here
        could look into what it leads to, and a backend may speak WebSocket there all the same.
        """
        if head.upgrade != "websocket":
            return head._replace(upgrade="")
        return with_extensions(head, OFFER if self._compress else "")

    def agreed(self, response: ResponseHead, request: RequestHead) -> tuple[ResponseHead, Callable[..., Messages]]:
        """The 101 for the client, and what makes the session.

        ``response`` is the backend's checked 101 to what `offered` has made, ``request`` the client's handshake.
        Raises `BackendProtocolError` where the backend's answer makes no sense.
        """
        ours: tuple[Deflate | None, Deflate | None] = None, None
        answer = ""
        if self._compress:
            towards_backend = accepted_by_backend(response, self._most)
            towards_client, answer = accept_client(request, self._most)
            ours = towards_client, towards_backend
        made = partial(Messages, filters=self.filters, max_message=self._most, deflate=ours)
        return with_extensions(response, answer), made
