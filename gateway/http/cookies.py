"""Cookies of a request, and Set-Cookie of a response (RFC 6265)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.values import RequestHead

__all__ = ["cookie", "set_cookie"]


def cookie(head: RequestHead, name: str) -> str | None:
    """The value of the first cookie ``name``, without quotes; ``None`` where there is none. HOT."""
    line = head.index.get("cookie")
    if line is None or name not in line:
        return None
    for pair in line.split(";"):
        key, mark, value = pair.partition("=")
        if mark and key.strip() == name:
            value = value.strip()
            return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return None


def set_cookie(
    name: str,
    value: str,
    *,
    path: str = "/",
    max_age: int | None = None,
    http_only: bool = True,
    secure: bool = False,
    same_site: str | None = None,
) -> tuple[str, str]:
    """A ``Set-Cookie`` field. ``max_age`` in seconds; ``None``: until the browser is closed."""
    parts = [f"{name}={value}", f"Path={path}"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if http_only:
        parts.append("HttpOnly")
    if secure:
        parts.append("Secure")
    if same_site is not None:
        parts.append(f"SameSite={same_site}")
    return "Set-Cookie", "; ".join(parts)
