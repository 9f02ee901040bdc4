"""What may stand in the texts that reach a wire: hosts, paths, URLs and names of cookies.

Each function says what is wrong with a text and what would be right, or ``None``.  Whatever the spelling a text came
from, none of these may hold a line end, a space or another control character: it would end up in a head.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import quote, urlsplit

__all__ = [
    "cookie_problem", "host_port_problem", "host_problem", "is_address", "name_server", "path_problem", "url_problem",
]  # fmt: skip

_NAME = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\Z"
)
_LONGEST = 253
_NUMBERS = re.compile(r"[0-9.]+\Z")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def is_address(text: str) -> bool:
    """Whether a text is an IP address, of either version, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return not _bad(text)


def name_server(text: str) -> tuple[str, int | None]:
    """Address and port of ``address``, ``address:port`` or ``[address]:port``. Raises ``ValueError``."""
    host, port = text, ""
    if text.startswith("["):
        host, mark, port = text[1:].partition("]")
        host = host if mark else ""
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0 if port else None
    if not is_address(host) or (number is not None and not 0 < number < 65536):
        raise ValueError(f"found {text[:80]!r}; expected the address of a name server, with :port if it is not 53")
    return host, number


def _bad(text: str) -> str:
    """The first character that may stand in no head, named; empty where there is none."""
    for char in text:
        if char == " ":
            return "a space"
        if char in "\r\n\x85\u2028\u2029":
            return f"a line end (U+{ord(char):04X})"
        if char.isspace() or unicodedata.category(char) in ("Cc", "Cf", "Cs"):
            return f"a control character (U+{ord(char):04X})"
    return ""


def host_problem(host: str) -> str | None:
    """An address, or the name of one host; nothing else around it."""
    bad = _bad(host)
    if not host or bad:
        return f"{f'{bad} in it' if bad else 'it is empty'}; give an address or a host name"
    if is_address(host):
        return None
    if "://" in host:
        return "a URL; give the host alone: the scheme is the settings' 'protocol', the port is 'port'"
    if host.startswith("["):
        inside = host.strip("[]")
        if is_address(inside):
            return f"an address stands without brackets: {inside}"
        return "this looks like an expression without its end ']'; give an address or a host name"
    if "/" in host:
        network = re.fullmatch(r"[0-9a-fA-F.:]+/[0-9]+", host)
        return "a network; list its members one by one" if network else "a host has no path; give the host alone"
    if ":" in host:
        return "a port does not belong to the host; give it as 'port', of the member or of the settings"
    return _name_problem(host)


def _name_problem(host: str) -> str | None:
    if not host.isascii():
        return "write an international host name in its ASCII form (xn--…)"
    if _NUMBERS.match(host):
        return "not an IPv4 address: that is four numbers from 0 to 255"
    if not _NAME.match(host) or len(host) > _LONGEST:
        return "neither an address nor a host name"
    return None


def host_port_problem(text: str) -> str | None:
    """What a Host field takes: a host, perhaps with a port, an IPv6 address in brackets or without."""
    bad = _bad(text)
    if bad or "://" in text or is_address(text):
        return host_problem(text)
    if text.startswith("["):
        host, end, rest = text[1:].partition("]")
        mark, port = rest[:1], rest[1:]
        if not end or not is_address(host) or ":" not in host or mark not in ("", ":"):
            return "expected an IPv6 address in the brackets"
    else:
        host, mark, port = text.partition(":")
    if mark and not (port.isdigit() and port.isascii() and len(port) < 6 and 0 < int(port) < 65536):
        return "what follows the ':' is not a port"
    return host_problem(host)


def path_problem(path: str, query: bool = False) -> str | None:
    """A path in its encoded form; ``query``: one may follow it, and letters outside of ASCII are encoded later."""
    bad = _bad(path)
    unfit = bad or (not query and not path.isascii() and "a letter outside of ASCII") or ""
    if unfit:
        encoded = quote(path[:60], safe="/%?&=+,;:@!$*()~")
        return f"{unfit} in it; {f'percent-encode it: {encoded}' if path.isprintable() else 'take it out'}"
    if "#" in path or ("?" in path and not query):
        return "a path without '#'" if query else "a path without query and fragment ('?', '#')"
    return None


def url_problem(url: str) -> str | None:
    """An absolute URL that a client can be sent to."""
    bad = _bad(url)
    if bad:
        return f"{bad} in it; {'percent-encode it' if url.isprintable() else 'take it out'}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"{error}; a target is an absolute URL, http:// or https://"
    if parts.scheme.lower() not in ("http", "https") or not host:
        return "a target is an absolute URL, http:// or https://"
    return None


def cookie_problem(name: str) -> str | None:
    """The name of a cookie (RFC 6265 §4.1.1)."""
    return None if _TOKEN.match(name) else "a cookie's name has letters, digits and !#$%&'*+-.^_`|~ only"
