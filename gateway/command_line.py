"""The third spelling of the model: words of the command line.

``--listen tcp:8080 --backend http://127.0.0.1:9001 --backend http://127.0.0.1:9002`` is a whole gateway.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from gateway.config.model import BackendSettings, Gateway, HttpListener, Member, Pool, Rule
from gateway.errors import ConfigurationError, Problem

__all__ = ["parse_address", "small_gateway"]

_ENDPOINT = re.compile(r"tcp6?:(?P<port>[0-9]{1,5})(?::interface=(?P<host>.+))?", re.IGNORECASE)
_HOST_PORT = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[^\[\]:/]+):)?(?P<port>[0-9]{1,5})")


def parse_address(text: str, default_host: str = "") -> tuple[str, int]:
    """Host (without brackets) and port of an address.

    Takes ``tcp:8080``, ``tcp:8080:interface=127.0.0.1``, ``127.0.0.1:8080``, ``[::1]:8080`` and ``8080``.
    Raises ``ValueError`` with a sentence that says what would be right.
    """
    if text.lower().startswith(("ssl:", "tls:")):
        raise ValueError(f"{text!r}: TLS needs a certificate, and hence a configuration file")
    found = _ENDPOINT.fullmatch(text) or _HOST_PORT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an address; right would be tcp:8080, 127.0.0.1:8080 or [::1]:8080")
    port = int(found["port"])
    if port > 65535:
        raise ValueError(f"{text!r}: ports end at 65535")
    host = (found["host"] or default_host).replace("\\:", ":").strip("[]")
    if host == "localhost":
        host = "127.0.0.1"
    if host == "*":
        host = ""
    if host:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"{text!r}: {host!r} is not an IP address of this machine, nor localhost, nor *") from None
    return host, port


def small_gateway(listen: Sequence[str], backends: Sequence[str]) -> Gateway:
    """A gateway whose listeners all lead to one pool; raises `ConfigurationError` with every problem.

    ``listen``: addresses as `parse_address` takes them. ``backends``: URLs without a path.
    """
    problems: list[Problem] = []
    listeners = []
    for number, text in enumerate(listen, 1):
        try:
            host, port = parse_address(text)
            listeners.append(HttpListener(name=f"listen-{number}", address=host, port=port))
        except ValueError as error:
            problems.append(Problem("--listen", str(error)))
    if not listen:
        problems.append(Problem("--listen", "is missing; right would be --listen tcp:8080"))
    members = []
    schemes = set()
    for text in backends:
        try:
            url = _backend_url(text)
        except ValueError as error:
            problems.append(Problem("--backend", f"{text!r}: {error}"))
            continue
        schemes.add(url.scheme)
        port = url.port or (443 if url.scheme == "https" else 80)
        members.append(Member(host=url.hostname or "", port=port))
    if not backends:
        problems.append(Problem("--backend", "is missing; right would be --backend http://127.0.0.1:9001"))
    if len(schemes) > 1:
        problems.append(Problem("--backend", "all URLs must be http, or all https; a configuration file can mix them"))
    if problems:
        raise ConfigurationError(problems, "command line")
    https = schemes == {"https"}
    return Gateway(
        name="command-line",
        listeners=tuple(listeners),
        pools=(Pool(name="backends", members=tuple(members)),),
        settings=(
            BackendSettings(
                name="backends",
                port=443 if https else 80,
                protocol="Https" if https else "Http",
                pick_host_name_from_backend_address=https,
            ),
        ),
        rules=tuple(
            Rule(name=listener.name, listener=listener.name, pool="backends", settings="backends")
            for listener in listeners
        ),
    )


def _backend_url(text: str) -> SplitResult:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("is not a backend; right would be http://127.0.0.1:9001 or https://app.example:8443")
    if url.path not in ("", "/") or url.query or url.fragment or url.username is not None:
        raise ValueError("only scheme, host and port can be given; a path needs a configuration file")
    if url.port == 0:
        raise ValueError("port 0 is not a backend's")
    return url
