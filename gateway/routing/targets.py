"""What the backend is asked for: target and host, with the overrides of the settings."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.http.authority import authority
from gateway.routing.readings import decoded, folded, has_dots, resolved

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings
    from gateway.interfaces import IBackend
    from gateway.values import RequestHead, Route

__all__ = ["is_verbatim", "upstream_host", "upstream_target"]

_SAFE = "!$&'()*+,/:;=@~-._"
_ANY_SLASH = r"/|\\|%2f|%5c"


def is_verbatim(settings: BackendSettings) -> bool:
    """Whether target and host go to the backend as the client sent them (`Route.verbatim`)."""
    overridden = settings.path or settings.host_name is not None or settings.pick_host_name_from_backend_address
    return not overridden


def upstream_target(head: RequestHead, route: Route) -> str:
    """The request target for the backend. HOT.

    Without ``path`` in the settings it is the client's, byte for byte.  With it, the literal part of the path pattern
    that matched is taken off (nothing for Basic rules and defaults) and the rest is put behind ``path`` with
    a single slash.  The query stays.
    """
    override = route.settings.path
    if not override or head.target == "*":
        return head.target
    return _overridden(head.target, override, route.matched)


def _overridden(target: str, override: str, matched: str) -> str:
    path, mark, query = target.partition("?")
    literal = _spellings(matched).match(path)
    rest = path[literal.end() :] if literal else ""
    # Dot segments would lead out of the override at the backend, also those that are only there when the literal part
    # has gone (/a* and /a../x): take the form that the rule was matched with, and encode it again.
    if literal is None or has_dots(path) or has_dots(f"/{rest}"):
        plain = decoded(path)
        prefix = _form(matched)
        # Lower case may have more characters than what it is made of.
        end = next((end for end in range(len(prefix) + 1) if plain[:end].lower() == prefix), 0)
        plain = plain[end:]
        plain = resolved(f"/{plain}")
        rest = quote(plain.encode("utf-8", "surrogateescape"), safe=_SAFE)
    base = override if override.startswith("/") else f"/{override}"
    return f"{base.rstrip('/')}/{rest.lstrip('/')}{mark}{query}"


def _form(literal: str) -> str:
    return folded(literal.encode("utf-8").decode("latin-1"))


@lru_cache(maxsize=1024)
def _spellings(literal: str) -> re.Pattern[str]:
    """What paths on the wire may have for the literal part of a pattern, if they have no dot segment: see `folded`."""
    return re.compile("".join(map(_spelling, _form(literal))), re.IGNORECASE)


def _spelling(character: str) -> str:
    if character == "/":
        return rf"(?:(?:;|%3b)(?:(?!{_ANY_SLASH}).)*)?(?:{_ANY_SLASH})+"
    forms = dict.fromkeys((character, character.lower(), character.upper()))
    return f"(?:{'|'.join(map(_bytes, forms))})"


def _bytes(text: str) -> str:
    return "".join(f"(?:%{byte:02x}|{re.escape(chr(byte))})" for byte in text.encode("utf-8", "surrogateescape"))


def upstream_host(head: RequestHead, route: Route, backend: IBackend) -> str:
    """The Host for the backend. HOT.

    ``hostName`` of the settings, or the member's own name with ``pickHostNameFromBackendAddress``, else the client's
    as it was sent; the member's name where an HTTP/1.0 client sent none.
    """
    settings = route.settings
    if settings.host_name is not None:
        return settings.host_name
    if settings.pick_host_name_from_backend_address or not head.host:
        return authority(backend.host)
    return head.host
