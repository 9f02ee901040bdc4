"""Frames with data in them, made where Autobahn is (its native code masks what is large)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from autobahn.websocket.xormasker import create_xor_masker

from gateway import _native
from gateway.websocket.frames import masking_key, unmasked

__all__ = ["data_frame", "masked", "pieces"]

_SMALL: Final = 1024  # up to here integers are faster than Autobahn's native code


def data_frame(first: int, payload: bytes, mask: bool) -> bytes:
    """One frame with ``first`` as its first byte."""
    size = len(payload)
    bit = 0x80 if mask else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    if mask:
        key = masking_key()
        return head + key + masked(payload, key)
    return head + payload


def _masked(payload: bytes, key: bytes) -> bytes:
    if len(payload) <= _SMALL:
        return unmasked(payload, key)
    result: bytes = create_xor_masker(key, len(payload)).process(payload)
    return result


masked = unmasked if _native.masking is not None else _masked
"""As `unmasked`, by whatever is the fastest here."""


def pieces(payload: bytes, ends: Sequence[int]) -> list[bytes]:
    """``payload`` cut at these offsets, of which the last is its length."""
    starts = [0, *ends[:-1]]
    return [payload[start:end] for start, end in zip(starts, ends, strict=True)]
