"""What becomes of two connections when a backend agrees to an upgrade: how deep the gateway looks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import BackendProtocolError
from gateway.relay.splice import Splice
from gateway.relay.watch import Watch
from gateway.websocket.handshake import check_response, reserved_bits

if TYPE_CHECKING:
    from gateway.messages.depth import MessageDepth
    from gateway.values import RequestHead, ResponseHead

__all__ = ["agreed"]


def agreed(
    request: RequestHead, answer: ResponseHead, filters: MessageDepth | None, asked: RequestHead
) -> tuple[ResponseHead, Any]:
    """The 101 for the client, and what makes the tunnel: messages where there are filters, else frames, else bytes.

    ``request`` is what the backend got, ``asked`` what the client sent.  Raises `BackendProtocolError` for a 101 that
    does not answer the request.
    """
    if not request.upgrade or answer.upgrade != request.upgrade:
        wanted = request.upgrade or "no upgrade"
        raise BackendProtocolError(f"status 101 for {answer.upgrade or 'nothing'}, the client asked for {wanted}")
    if request.upgrade != "websocket":
        return answer, Splice
    check_response(answer, request)
    if filters is not None:
        return filters.agreed(answer, asked)
    reserved = reserved_bits(answer)
    return answer, partial(_watch, reserved) if reserved else Watch


def _watch(reserved: int, *others: Any) -> Watch:
    watch = Watch(*others)
    watch.reserved = reserved
    return watch
