"""permessage-deflate, where the gateway itself is an end of the connection (RFC 7692).

Each leg negotiates for itself: the client's offer is answered here, and the backend gets an offer of the gateway's own.
Parameters and zlib are Autobahn's; what is added are bounds that hold while inflating.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

from autobahn.exception import PayloadCorruptError, PayloadExceededError
from autobahn.websocket.compress_deflate import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)

from gateway.errors import BackendProtocolError
from gateway.values import RequestHead, ResponseHead
from gateway.websocket.handshake import extensions

__all__ = ["Deflate", "accept_client", "accepted_by_backend", "with_extensions", "OFFER"]

_NAME = "permessage-deflate"
OFFER = PerMessageDeflateOffer().get_extension_string()
"""What the gateway offers to a backend."""

_WINDOWS = ("client_max_window_bits", "server_max_window_bits")
"""Base-2 logarithms of windows, from 8 to 15 (RFC 7692 §7.1.2): what the gateway deflates with, and the backend."""

_BITS = frozenset(map(str, range(8, 16)))
"""Without zeros in front (§7.1.2.1, §7.1.2.2); Autobahn takes whatever ``int`` takes."""

_Head = TypeVar("_Head", RequestHead, ResponseHead)


class Deflate(PerMessageDeflate):
    """Inflates what one peer sends and deflates what is sent to it.

    ``deflates``: false where the peer has too small a window for zlib; messages to it are not compressed then, as any
    message may not be (RFC 7692 §6).
    """

    deflates = True

    def start_decompress_message(self) -> None:
        if self._decompressor is not None and self._decompressor.eof:
            self._decompressor = None  # a final block ended the stream (RFC 7692 §7.2.3.4)
        super().start_decompress_message()

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """Inflate a piece of a message, up to one byte more than the message may have.

        Autobahn asks zlib for exactly what is left, and cannot tell a message that fits from one whose rest is still
        inside of zlib.
        """
        left = self.max_message_size - self._decompress_message_size
        inflater: Any = self._decompressor
        try:
            data = inflater.decompress(data, left + 1)
        except zlib.error as error:
            raise PayloadCorruptError("invalid permessage-deflate data") from error
        self._decompress_message_size += len(data)
        if len(data) > left:
            raise PayloadExceededError("message too big")
        if inflater.unused_data.strip(b"\0"):
            raise PayloadCorruptError("data behind the end of a deflate stream")
        return bytes(data)

    def compressed(self, pieces: Sequence[bytes]) -> list[bytes]:
        """The payloads of the frames of a message whose payloads are ``pieces``; the first frame has RSV1."""
        self.start_compress_message()
        frames = [self.compress_message_data(piece) for piece in pieces]
        frames[-1] += self.end_compress_message()
        return frames


def with_extensions(head: _Head, value: str) -> _Head:
    """``head`` with this Sec-WebSocket-Extensions instead of what it had; none where it is empty."""
    fields = [field for field in head.fields if field[0].lower() != "sec-websocket-extensions"]
    index = {name: found for name, found in head.index.items() if name != "sec-websocket-extensions"}
    if value:
        fields.append(("Sec-WebSocket-Extensions", value))
        index["sec-websocket-extensions"] = value
    return head._replace(fields=tuple(fields), index=index)


def accept_client(head: RequestHead, max_message: int) -> tuple[Deflate | None, str]:
    """What comes of the client's offers: the first that is acceptable, and the field value for the 101.

    An offer that cannot be met, or is none, is declined (RFC 7692 §5.1); without one nothing is compressed.
    """
    for name, parameters in extensions(head.index.get("sec-websocket-extensions", "")):
        if name == _NAME and _spelled(parameters):
            try:
                accept = PerMessageDeflateOfferAccept(
                    PerMessageDeflateOffer.parse(parameters), max_message_size=max_message
                )
            except Exception:  # Autobahn's word for a parameter that is unknown or wrong
                continue
            return Deflate.create_from_offer_accept(True, accept), accept.get_extension_string()
    return None, ""


def _spelled(parameters: Any) -> bool:
    """Whether sizes of windows are spelled as they must be; a parameter may have none."""
    return all(value is True or value in _BITS for name in _WINDOWS for value in parameters.get(name, ()))


def accepted_by_backend(head: ResponseHead, max_message: int) -> Deflate | None:
    """What the backend's 101 says to `OFFER`; ``None`` where it does not compress. Raises `BackendProtocolError`."""
    found: list[Any] = extensions(head.index.get("sec-websocket-extensions", ""))
    if not found:
        return None
    try:
        ((_, parameters),) = found
        if not _spelled(parameters):
            raise ValueError
        # zlib has no window of 8 bits without a header, and Autobahn takes none; one of 9 inflates what one of 8 made.
        small = [name for name in _WINDOWS if parameters.get(name) == ["8"]]
        response = PerMessageDeflateResponse.parse({**parameters, **dict.fromkeys(small, ["9"])})
        accept = PerMessageDeflateResponseAccept(response, max_message_size=max_message)
    except Exception:
        raise BackendProtocolError("the backend's permessage-deflate has parameters that are not acceptable") from None
    result: Deflate = Deflate.create_from_response_accept(False, accept)
    result.deflates = _WINDOWS[0] not in small
    return result
