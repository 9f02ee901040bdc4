"""The gateway of ``--listen`` and ``--backend``, without any file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gateway.config.check import findings
from gateway.config.compact import parse_backend
from gateway.config.model import BackendSettings, Gateway, HttpListener, Match, Member, Pool, Probe, Rule
from gateway.config.texts import is_address
from gateway.config.tree import show
from gateway.errors import ConfigurationError, Problem

__all__ = ["from_command_line"]


def from_command_line(listen: Sequence[str], backends: Sequence[str]) -> Gateway:
    """The gateway of ``--listen tcp:8080 --backend http://127.0.0.1:9001``, without any file.

    ``listen``: ``8080``, ``address:8080``, ``tcp:8080`` or ``tcp:8080:interface=address``.
    ``backends``: ``host:port`` or URLs, all with the same scheme; HTTPS ones are asked for by their own names, HTTP
    ones for what the client asked for.  Any answer below 500 is a healthy one.  Raises `ConfigurationError`.
    """
    problems: list[Problem] = []
    listeners = []
    for index, text in enumerate(listen):
        try:
            address, port = _parse_listen(text)
            listeners.append(HttpListener(name=f"listener{index + 1}", address=address, port=port))
        except ValueError as error:
            problems.append(Problem("--listen", f"found {show(text)}: {error}"))
    members, schemes = [], set()
    for text in backends:
        try:
            scheme, host, given = parse_backend(text)
            schemes.add(scheme or "http")
            members.append(Member(host=host, port=given))
        except ValueError as error:
            problems.append(Problem("--backend", f"found {show(text)}: {error}"))
    if not listen:
        problems.append(Problem("--listen", "missing; say where to listen, such as --listen tcp:8080"))
    if not backends:
        problems.append(
            Problem("--backend", "missing; say where the backends are, such as --backend http://127.0.0.1:9001")
        )
    if len(schemes) > 1:
        problems.append(
            Problem(
                "--backend", "http and https backends cannot be mixed; a configuration file can have a pool for each"
            )
        )
    if problems:
        raise ConfigurationError(problems, "command line")
    gateway = _gateway(listeners, members, schemes == {"https"})
    errors = [Problem("--listen", item.message) for item in findings(gateway) if item.severity == "error"]
    if errors:
        raise ConfigurationError(errors, "command line")
    return gateway


def _gateway(listeners: Sequence[HttpListener], members: Sequence[Member], secure: bool) -> Gateway:
    """All listeners lead to one pool of these members, which speak TLS if ``secure``."""
    protocol: Literal["Http", "Https"] = "Https" if secure else "Http"
    settings = BackendSettings(
        name="default",
        protocol=protocol,
        port=443 if secure else 80,
        probe="default",
        pick_host_name_from_backend_address=secure,
    )
    # Nothing can be said here about a health page, so whoever answers is alive: a WebSocket server says 400 or 426.
    probe = Probe(
        name="default",
        protocol=protocol,
        pick_host_name_from_backend_http_settings=secure,
        match=Match(status_codes=("200-499",)),
    )
    rules = tuple(
        Rule(name=f"rule{index + 1}", listener=item.name, pool="default", settings="default")
        for index, item in enumerate(listeners)
    )
    return Gateway(
        listeners=tuple(listeners),
        pools=(Pool(name="default", members=tuple(members)),),
        settings=(settings,),
        probes=(probe,),
        rules=rules,
    )


def _parse_listen(text: str) -> tuple[str, int]:
    wanted = "expected tcp:8080, tcp:8080:interface=127.0.0.1, 127.0.0.1:8080 or 8080"
    address = ""
    rest = text.strip()
    if rest.lower().startswith("tcp:"):
        parts = rest[4:].replace("\\:", "\0").split(":")
        rest = parts[0]
        for part in parts[1:]:
            key, mark, value = part.partition("=")
            if key != "interface" or not mark:
                raise ValueError(f"{part!r} is not known; {wanted}")
            address = value.replace("\0", ":").strip("[]")
    elif ":" in rest:
        address, _, rest = rest.rpartition(":")
        address = address.strip("[]")
    address = "127.0.0.1" if address.lower() == "localhost" else address
    if address and not is_address(address):
        raise ValueError(f"{address!r} is not an address; {wanted}")
    if not rest.isdigit() or not rest.isascii() or len(rest) > 5 or int(rest) > 65535:
        raise ValueError(wanted)
    return address, int(rest)
