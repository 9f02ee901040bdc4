"""Names of users and claims on their way into fields."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from gateway.http.changes import FRAMING

__all__ = ["UserHeader", "user_text"]

_NAME = re.compile(r"[A-Za-z0-9-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 1024


def _header(name: str) -> str:
    if _NAME.fullmatch(name) is None or name.lower() in FRAMING or name.lower() == "host":
        raise ValueError("a field name of letters, digits and hyphens, and not one that frames the message")
    return name


UserHeader = Annotated[str, AfterValidator(_header)]
"""The name of a request field that a middleware sets; what a client sends under this name is taken out."""


def user_text(value: str) -> str:
    """``value`` as a field's value: UTF-8 in latin-1, control characters as ``?``, of bounded length."""
    return _CONTROL.sub("?", value.encode("utf-8", "surrogateescape").decode("latin-1")[:_LONGEST])
