"""``gatewayctl explain``: where a request would go, in words or as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from zope.interface import alsoProvides

from gateway.config.model import BackendSettings, Gateway, Member
from gateway.config.texts import is_address
from gateway.errors import RequestError
from gateway.http.authority import authority
from gateway.http.forwarded import TrustedProxies
from gateway.http.forwarding import request_bytes
from gateway.http.heads import parse_request
from gateway.http.pages import REASONS
from gateway.interfaces import IPool
from gateway.routing.bindings import Binding
from gateway.routing.explain import Trace, explain
from gateway.routing.table import RoutingTable, needed_pools
from gateway.routing.targets import upstream_host
from gateway.strategies.places import uses
from gateway.upstream.tls import traffic_name
from gateway.values import Peer, RequestHead

__all__ = ["CONNECT", "Asked", "CannotAsk", "NoRequest", "as_document", "as_text", "ask"]

_SCHEMES = {"http": "Http", "https": "Https", "ws": "Http", "wss": "Https", "tcp": "Tcp", "tls": "Tls"}
_DEFAULT = {"Http": 80, "Https": 443}
_UPGRADE = (
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)  # fmt: skip


CONNECT = "CONNECT"
"""The method of a connection of plain TCP or TLS."""


class CannotAsk(ValueError):
    """The request cannot be made, or no port could get it; the text says why."""


class NoRequest(CannotAsk):
    """What was given is no request, whatever the configuration is."""


class _Member:
    """A member of a pool, healthy for the sake of the question."""

    healthy = True
    active = 0

    def __init__(self, host: str) -> None:
        self.host = host


class _Pool:
    """Stands for a pool: its name, settings and members; nothing can be leased."""

    middleware = ()
    returning = None

    def __init__(self, model: Gateway, name: str, settings: str) -> None:
        alsoProvides(self, IPool)  # a rewrite may send the request there
        (found,) = (pool for pool in model.pools if pool.name == name)
        self.name = name
        (self.settings,) = (item for item in model.settings if item.name == settings)
        port = self.settings.port
        self.members = [_spelled(member, port) for member in found.members]
        self.backends = [_Member(member.host) for member in found.members]


def _spelled(member: Member, port: int) -> str:
    """Who is meant, and where that is on this machine."""
    text = authority(member.host, member.port or port)
    if member.connect_host is None:
        return text
    return f"{text} (at {authority(member.connect_host, member.connect_port or member.port or port)})"


class _Plugin:
    """Stands for a middleware: what it would do is not known without building it."""

    traffic = frozenset(("http", "upgrade"))

    def __init__(self, name: str) -> None:
        self.name = name


class Asked:
    """A request, the port it arrives on, and its `Trace`."""

    def __init__(self, port: Binding, head: RequestHead, trace: Trace, peer: Peer, url: str, note: str) -> None:
        self.port, self.head, self.trace, self.peer, self.url, self.note = port, head, trace, peer, url, note

    @property
    def status(self) -> int | None:
        """What the gateway answers itself; ``None`` where it asks a backend."""
        trace = self.trace
        if trace.error is not None:
            return trace.error.status
        return trace.reply.status if trace.reply is not None else None

    @property
    def sent(self) -> list[str]:
        """The lines of the head that a backend would get; its Host too, where that does not depend on the member.

        Of a connection of plain TCP or TLS what it begins with, in words.
        """
        trace = self.trace
        if trace.route is None:
            return []
        backends = trace.route.pool.backends
        member: Any = backends[0] if backends else _Member("(member)")
        if self.port.layer4:
            return _beginning(trace.route.settings, member.host, self.head.host, self.peer)
        host = upstream_host(trace.head, trace.route, member)
        data = request_bytes(trace.head, trace.target, host, trace.added, trace.head.body, bool(trace.head.upgrade))
        return data.decode("latin-1").split("\r\n")[:-2]


def ask(model: Gateway, method: str, url: str, fields: Sequence[str] = (), client: str = "127.0.0.1") -> Asked:
    """Explain a request to ``url``; ``fields`` as ``Name: value``. Raises `CannotAsk`.

    With ``tcp://ADDRESS:PORT`` or ``tls://NAME:PORT`` it is a connection, whose method is `CONNECT`; the name is the
    one that the client sends in TLS.
    """
    protocol, port, host, target, given = _parts(url)
    pools: Any = {pair: _Pool(model, *pair) for pair in needed_pools(model)}
    plugins: Any = {
        place: tuple([_Plugin(each.strategy) for each in listed]) for place, _, listed in uses(model, "middleware")
    }
    table = RoutingTable(model, pools, plugins)
    binding, note = _binding(table.ports(), protocol, port)
    peer = _peer(client)
    trusted = TrustedProxies(model.limits.trusted_proxies)
    if binding.layer4:
        head = _connection(method, host, target, protocol, fields)
        trace = explain(table, head, binding, peer, trusted)
        trace.middleware.clear()  # that of the whole gateway, which looks at requests only
        return Asked(binding, head, trace, peer, url, note)
    lines = [_field(text) for text in fields]
    if given in ("ws", "wss"):
        lines += [field for field in _UPGRADE if field[0].lower() not in {name.lower() for name, _ in lines}]
    if not any(name.lower() == "host" for name, _ in lines):
        lines.insert(0, ("Host", host))
    data = "".join([f"{method} {target} HTTP/1.1\r\n", *[f"{name}: {value}\r\n" for name, value in lines], "\r\n"])
    try:
        head = parse_request(data.encode("utf-8", "surrogateescape"))
    except RequestError as error:
        raise CannotAsk(f"the request is refused with {error.status} before it is routed: {error}") from None
    return Asked(binding, head, explain(table, head, binding, peer, trusted), peer, url, note)


def _connection(method: str, host: str, target: str, protocol: str, fields: Sequence[str]) -> RequestHead:
    """What the router sees of a connection: the name that its client has sent in TLS, if any."""
    if method.upper() != CONNECT or fields or target != "/":
        raise NoRequest("a connection of plain TCP or TLS has no method, path and fields; give its URL alone")
    name = urlsplit(f"//{host}").hostname or ""
    return RequestHead(CONNECT, "", "1.1", name if protocol == "Tls" and not is_address(name) else "", (), {})


def _beginning(settings: BackendSettings, member: str, server_name: str, client: Peer) -> list[str]:
    lines = []
    if settings.enable_l4_client_ip_preservation:
        lines.append(f"a PROXY protocol header: the client is {client}")
    if settings.secure:
        name = traffic_name(settings, member, server_name)
        sent = "no server name" if is_address(name) else f"the server name {name}"
        lines.append(f"a TLS handshake with {sent}; the certificate has to be for {name}")
    return [*lines, "what the client sends"]


def _parts(url: str) -> tuple[str, int | None, str, str, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NoRequest(f"{url!r} is no URL: {error}") from None
    if parts.scheme.lower() not in _SCHEMES or not parts.netloc:
        raise NoRequest(f"{url!r} is no URL with a host; expected one such as http://shop.test/path")
    match = re.match(r"[A-Za-z]+://[^/?#]*([^#]*)", url)
    rest = match[1] if match else ""
    target = rest if rest.startswith("/") else f"/{rest}"
    scheme = parts.scheme.lower()
    return _SCHEMES[scheme], port, parts.netloc.rpartition("@")[2], target, scheme


def _binding(ports: Sequence[Binding], protocol: str, port: int | None) -> tuple[Binding, str]:
    """The port that a URL means; without one in the URL the only one of its protocol is meant."""
    wanted = port if port is not None else _DEFAULT.get(protocol)
    of_protocol = [each for each in ports if each.protocol == protocol]
    for each in of_protocol:
        if each.port == wanted:
            return each, ""
    if port is None and len(of_protocol) == 1:
        found = of_protocol[0]
        return found, f"there is no listener on port {wanted}; port {found.port} is taken" if wanted else ""
    there = ", ".join([f"{each.port} ({each.protocol})" for each in ports])
    where = f"no {protocol} listener is on port {wanted}" if wanted else f"which {protocol} listener? Give its port"
    raise CannotAsk(f"{where}; ports are: {there}")


def _field(text: str) -> tuple[str, str]:
    name, mark, value = text.partition(":")
    if not mark or not name or "\r" in text or "\n" in text:
        raise NoRequest(f"found {text!r}, expected a field such as 'Accept: text/html'")
    return name, value.strip(" \t")


def _peer(client: str) -> Peer:
    host, mark, port = client.rpartition(":")
    if not (mark and port.isdecimal() and (":" not in host or host.startswith("["))):
        host, port = client, "50000"
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not is_address(host.partition("%")[0]) or int(port) > 65535:
        raise NoRequest(f"{client!r} is no client's address; expected one such as 192.0.2.7, 192.0.2.7:50000 or ::1")
    return Peer(host, int(port))


def as_text(asked: Asked) -> list[str]:
    """The explanation for people, line by line."""
    trace, port = asked.trace, asked.port
    what = "connection to" if port.layer4 else asked.head.method
    lines = [f"{what} {asked.url} from {asked.peer.host}, on port {port.port} ({port.protocol})"]
    if asked.note:
        lines.append(f"  note: {asked.note}")
    for step in trace.steps:
        lines.append(f"  {'->' if step.taken else '  '} {step.kind} {step.name}: {step.why}")
        if step.kind == "listener" and step.taken:
            lines.append(f"  -> rule {trace.rule}")
    lines += [f"     middleware {name} (what it does is not known here)" for name in trace.middleware]
    lines += [f"     {note}" if note.startswith("rewrite set") else f"       {note}" for note in trace.rewrites]
    lines += [f"       {note}" for note in trace.responses]
    lines += _end(asked)
    return lines


def _end(asked: Asked) -> list[str]:
    trace = asked.trace
    if trace.error is not None and asked.port.layer4:
        return [f"  => the connection is reset: {trace.error}"]
    if trace.error is not None:
        return [f"  => {trace.error.status} {REASONS.get(trace.error.status, '')}: {trace.error}"]
    if trace.reply is not None:
        location = dict(trace.reply.fields).get("Location", "")
        where = f", {location}" if location else ""
        return [f"  => {trace.reply.status} {REASONS.get(trace.reply.status, '')}{where}"]
    route = trace.route
    if route is None:
        return []
    settings = route.settings
    members = getattr(route.pool, "members", [])
    idle = " without a byte" if asked.port.layer4 else ""
    return [
        f"  => pool {route.pool.name}: {', '.join(members) or 'no members'}",
        f"     settings {settings.name}: {settings.protocol}, {settings.request_timeout} s{idle}",
        "     the backend gets:",
        *[f"       {line}" for line in asked.sent],
    ]


def as_document(asked: Asked) -> dict[str, Any]:
    """The explanation for machines."""
    trace = asked.trace
    made: dict[str, Any] = {
        "request": {"method": asked.head.method, "url": asked.url, "from": asked.peer.host},
        "port": asked.port.port,
        "protocol": asked.port.protocol,
        "steps": [step._asdict() for step in trace.steps],
        "rule": trace.rule or None,
        "middleware": trace.middleware,
        "rewrites": trace.rewrites,
        "responseRewrites": trace.responses,
        "status": asked.status,
    }
    if asked.note:
        made["note"] = asked.note
    if trace.error is not None:
        made["error"] = str(trace.error)
    elif trace.reply is not None:
        made["location"] = dict(trace.reply.fields).get("Location")
    elif trace.route is not None:
        route = trace.route
        made |= {
            "listener": route.listener,
            "pathRule": route.path_rule or None,
            "pool": route.pool.name,
            "members": getattr(route.pool, "members", []),
            "settings": route.settings.name,
            "sent": asked.sent,
        }
    return made
