"""Redirects: answers of the gateway that send the client elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.errors import BadRequest
from gateway.routing.uris import clean
from gateway.values import Reply

if TYPE_CHECKING:
    from gateway.config.model import HttpListener, Redirect
    from gateway.interfaces import IMiddleware
    from gateway.values import RequestHead

__all__ = ["Redirection"]

_STATUS = {
    "Permanent": (301, "Moved Permanently"),
    "Found": (302, "Found"),
    "SeeOther": (303, "See Other"),
    "Temporary": (307, "Temporary Redirect"),
}
_DEFAULT_PORT = {"Http": 80, "Https": 443}
_host = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,255})(?=:[0-9]{0,5}\Z|\Z)")


class Redirection:
    """One redirect of a configuration, ready to answer requests.

    ``listener`` is the target listener where the redirect has one: its scheme and port count, and its first host
    name without wildcards; without one the host of the request stays.  Its requests pass through ``middleware``.
    """

    def __init__(
        self, redirect: Redirect, listener: HttpListener | None = None, middleware: tuple[IMiddleware, ...] = ()
    ) -> None:
        self._middleware = middleware
        self._status, phrase = _STATUS[redirect.redirect_type]
        self._path = redirect.include_path
        self._query = redirect.include_query_string
        self._body = (
            f"<html>\r\n<head><title>{self._status} {phrase}</title></head>\r\n"
            f"<body>\r\n<center><h1>{self._status} {phrase}</h1></center>\r\n</body>\r\n</html>\r\n"
        ).encode("ascii")
        self._base: str | None = None
        self._scheme = self._port = ""
        if listener is None:
            self._base = clean(redirect.target_url or "/")
        else:
            self._scheme = "https" if listener.protocol == "Https" else "http"
            self._port = f":{listener.port}" if listener.port not in (0, _DEFAULT_PORT[listener.protocol]) else ""
            names = [name for name in listener.host_names if "*" not in name and "?" not in name]
            if names:
                self._base = f"{self._scheme}://{names[0]}{self._port}"

    def __call__(self, head: RequestHead) -> Reply:
        """The answer to a request. Raises `BadRequest` where its Host is needed and is not one."""
        location = self.location(head)
        return Reply(self._status, (("Location", location),), self._body, "redirect", self._middleware)

    def location(self, head: RequestHead) -> str:
        """Where the client is sent; printable ASCII without spaces, whatever the request holds."""
        base = self._base
        if base is None:
            base = f"{self._scheme}://{_host_of(head)}{self._port}"
        path, _, query = head.target.partition("?")
        base, hash_mark, fragment = base.partition("#")
        base, _, own_query = base.partition("?")
        if self._path and path.startswith("/"):
            base = base.removesuffix("/") + clean(path)
        elif base.count("/") == 2:
            base += "/"
        queries = [own_query, clean(query) if self._query else ""]
        joined = "&".join([part for part in queries if part])
        return f"{base}?{joined}{hash_mark}{fragment}" if joined else f"{base}{hash_mark}{fragment}"


def _host_of(head: RequestHead) -> str:
    found = _host.match(head.host)
    if found is None:
        raise BadRequest("a redirect keeps the host of the request, and the request has none that can be used")
    return found[0]
