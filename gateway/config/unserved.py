"""What the model can say and the gateway does not do yet, whatever the spelling: one line each, for the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.config.model import Gateway

__all__ = ["ENTRIES", "unserved"]

ENTRIES: tuple[tuple[str, str, Callable[[Any], bool], str], ...] = ()


def unserved(gateway: Gateway) -> list[str]:
    """Sentences for what this gateway asks for and does not get."""
    sentences = []
    for kind, key, asked, reason in ENTRIES:
        names = [item.name for item in getattr(gateway, kind) if asked(item)]
        if names:
            more = ", …" if len(names) > 6 else ""
            sentences.append(f"{key} ({', '.join(names[:6])}{more}): {reason}.")
    return sentences
