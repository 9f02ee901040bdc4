"""The pages of the gateway's own answers, and the reason phrases of all its status lines."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from http import HTTPStatus
from typing import Final

__all__ = ["REASONS", "error_page"]

REASONS: Final[dict[int, str]] = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    422: "Unprocessable Content",
    499: "Client Closed Request",
}
"""Reason phrases by status (RFC 9110 §15; names do not depend on the Python version)."""


@lru_cache(maxsize=64)
def error_page(status: int, detail: str = "", server: str = "gateway") -> bytes:
    """An HTML page that names the status and, if there is one, a sentence on what to do about it."""
    title = escape(f"{status} {REASONS.get(status, 'Unknown')}")
    sentence = f"<p>{escape(detail)}</p>\r\n" if detail else ""
    name = escape(server)
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        f"{sentence}<hr><center>{name}</center>\r\n</body>\r\n</html>\r\n"
    )
    return page.encode("utf-8")
