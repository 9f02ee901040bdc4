"""The access log: one JSON object per line.

``event`` says what a line is about: ``exchange`` (a request and its response), ``websocket-open`` (a session has
been established) and ``websocket-end``, or ``tunnel-open`` and ``tunnel-end`` for upgrades to other protocols, or
``connection-open`` and ``connection-end`` for connections of plain TCP and TLS (`gateway.observe.connections`).
Field names are those of an Application Gateway's access log where it has them.  Header values other than User-Agent,
Host and the response's Content-Type never appear, so credentials in ``Authorization`` or ``Cookie`` cannot leak.  The
query string does appear, because the original log has it; ``hide_queries`` replaces it with ``-``.

Lines are made at once (an `Outcome` goes on changing after ``opened``) but written together, at most a second or
64 KiB later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as _quote
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import implementer

from gateway.http.authority import authority
from gateway.interfaces import IOutcomeObserver
from gateway.observe.certificate_fields import NO_CERTIFICATE, certificate_text
from gateway.observe.connections import connection_line
from gateway.observe.sinks import FileSink, LogSink, OutputSink

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from gateway.values import Outcome, RequestHead, Route

__all__ = ["AccessLog", "Sink", "open_access_log"]

_SINKS: dict[str, Callable[[], Sink]] = {"-": OutputSink, "log": LogSink}

_LONGEST = 4096
"""Characters of one client-made value that are logged; what is longer ends in ``...``."""

_ROUTES = 4096
"""Routes whose constant part is remembered; routes live as long as a configuration."""


class Sink(Protocol):
    """Where lines go: `gateway.observe.sinks`. ``write`` must neither raise nor wait."""

    def write(self, data: bytes) -> None:
        """Write whole lines."""

    def reopen(self) -> None:
        """Open the file again."""

    def close(self) -> None:
        """Close it."""


def open_access_log(where: str, clock: Any, **options: Any) -> AccessLog | None:
    """The access log for ``where``: a path, ``-`` for standard output, ``off`` or an empty string for ``None``.

    In a daemon, which has no standard output, ``-`` is what ``log`` is always: the log of the process, which ``twistd``
    writes.

    ``clock`` is an ``IReactorTime``; ``options`` go to `AccessLog`.  Raises ``OSError`` if a file cannot be opened.
    """
    if where in ("", "off"):
        return None
    make = _SINKS.get(where)
    return AccessLog(FileSink(where) if make is None else make(), clock, **options)


@implementer(IOutcomeObserver)
class AccessLog:
    """Writes outcomes to a `Sink`.

    ``clock`` is an ``IReactorTime`` for flushing, ``wall`` gives the seconds since 1970 for ``timeStamp``.
    ``hide_queries`` writes ``-`` for query strings.  ``delay`` (seconds) and ``batch`` (characters) bound the buffer.
    """

    __slots__ = (
        "_batch", "_clock", "_delay", "_flush_call", "_hide", "_lines", "_routes", "_second", "_second_text", "_sink",
        "_size", "_wall",
    )  # fmt: skip

    def __init__(
        self,
        sink: Sink,
        clock: Any,
        *,
        wall: Callable[[], float] = time.time,
        hide_queries: bool = False,
        delay: float = 1.0,
        batch: int = 65536,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._wall = wall
        self._hide = hide_queries
        self._delay = delay
        self._batch = batch
        self._lines: list[str] = []
        self._size = 0
        self._flush_call: IDelayedCall | None = None
        self._second = -1
        self._second_text = ""
        # The route is kept beside its text: its id stays its own as long as it is here.
        self._routes: dict[int, tuple[Route, str, str | None, bool]] = {}

    def opened(self, outcome: Outcome) -> None:
        """Log that a WebSocket session, or another tunnel, has been established."""
        if outcome.layer4:
            self._add("connection-open", outcome)
        else:
            self._add("websocket-open" if outcome.websocket else "tunnel-open", outcome)

    def ended(self, outcome: Outcome) -> None:
        """Log an exchange or the end of a session."""
        if outcome.websocket:
            self._add("websocket-end", outcome)
        elif outcome.layer4:
            self._add("connection-end", outcome)
        else:
            self._add("exchange" if outcome.status != 101 else "tunnel-end", outcome)

    def flush(self) -> None:
        """Write what has been collected."""
        if self._flush_call is not None:
            if self._flush_call.active():
                self._flush_call.cancel()
            self._flush_call = None
        if self._lines:
            data = "".join(self._lines).encode("ascii")
            self._lines.clear()
            self._size = 0
            self._sink.write(data)

    def reopen(self) -> None:
        """Open the file again, after logrotate has moved it. Lines collected so far go to the old file."""
        self.flush()
        self._sink.reopen()

    def close(self) -> None:
        """Write what is left and close the sink."""
        self.flush()
        self._sink.close()

    def _add(self, event: str, outcome: Outcome) -> None:  # HOT
        line = self._connection(event, outcome) if outcome.layer4 else self._line(event, outcome)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= self._batch:
            self.flush()
        elif self._flush_call is None:
            self._flush_call = self._clock.callLater(self._delay, self.flush)

    def _line(self, event: str, outcome: Outcome) -> str:  # HOT: one expression, few calls
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._tick(second)

        route = outcome.route
        backend = outcome.backend
        if route is None:
            names = f'"listenerName":{_quote(outcome.listener)},{_NO_ROUTE}'
            host_name, from_backend = None, False
        else:
            known = self._routes.get(id(route))
            _, names, host_name, from_backend = known if known is not None else self._learn(route)

        head = outcome.head
        if head is None:
            request = _NO_REQUEST
        else:
            if not host_name:
                host_name = backend.host if from_backend and backend is not None else head.host
            request = self._request(head, host_name, outcome.target)

        started = outcome.started
        ended = outcome.ended
        connected = outcome.connected
        ready = started if outcome.collected is None else outcome.collected
        responded = outcome.responded
        if ended is None:
            # A session that has just opened: so far it has taken as long as its handshake.
            ended = responded if responded is not None else started
        server = "" if backend is None else authority(backend.connect_host, backend.connect_port)
        if responded is None:
            header_time = latency = ""
        else:
            asked = ready if connected is None else connected
            header_time = format(responded - asked, ".3f")
            # What follows a 101 is no response.
            latency = header_time if outcome.status == 101 else format(ended - asked, ".3f")
        peer = outcome.peer
        error = outcome.error
        tls = outcome.tls_version
        shown = outcome.client_certificate
        upstream_status = outcome.upstream_status
        line = (
            f'{{"timeStamp":"{self._second_text}.{int((now - second) * 1000):03d}Z","event":"{event}",{names},'
            f'"clientIP":{_quote(peer.host)},"clientPort":{peer.port},{request},'
            f'"httpStatus":{outcome.status},"receivedBytes":{outcome.received_bytes},"sentBytes":{outcome.sent_bytes},'
            f'"timeTaken":{ended - started:.3f},"transactionId":{_quote(outcome.trace_id)},'
            f'"sslEnabled":"{"on" if tls or outcome.scheme == "https" else "off"}",'
            f'"sslCipher":{_quote(outcome.tls_cipher)},"sslProtocol":{_quote(tls)},'
            f'{NO_CERTIFICATE if shown is None else certificate_text(shown)},'
            f'"serverRouted":{_quote(server)},"serverStatus":"{"" if upstream_status is None else upstream_status}",'
            f'"serverConnectTime":"{"" if connected is None else format(connected - ready, ".3f")}",'
            f'"serverHeaderTime":"{header_time}","serverResponseLatency":"{latency}",'
            f'{_quoted_tls(outcome) if outcome.upstream_tls_version else _NO_BACKEND_TLS},'
            f'"upstreamReceivedBytes":{outcome.upstream_received},"upstreamSentBytes":{outcome.upstream_sent},'
            f'"contentType":{_quote(outcome.content_type)},"attempts":{outcome.attempts},'
            f'"cause":{_quote(outcome.cause)},"error_info":"{"ERRORINFO_NO_ERROR" if error is None else error.info}"'
        )
        if event == "exchange" and error is None and not outcome.user:
            return line + "}\n"
        return line + _more(event, outcome) + "}\n"

    def _tick(self, second: int) -> None:
        self._second = second
        self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))

    def _connection(self, event: str, outcome: Outcome) -> str:
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._tick(second)
        return connection_line(f"{self._second_text}.{int((now - second) * 1000):03d}Z", event, outcome)

    def _request(self, head: RequestHead, host: str, rewritten: str = "") -> str:  # HOT
        target = head.target
        path, mark, query = target.partition("?")
        if mark and self._hide:
            target = path + "?-"
            query = "-"
        if rewritten:
            path, mark, query = rewritten.partition("?")
            query = "-" if mark and self._hide else query
        agent = head.index.get("user-agent", "")
        if len(target) > _LONGEST:
            target, path, query = _cut(target), _cut(path), _cut(query)
        if len(agent) > _LONGEST:
            agent = _cut(agent)
        original = head.host
        quoted = _quote(original)
        return (
            f'"httpMethod":{_quote(head.method)},"originalRequestUriWithArgs":{_quote(target)},"requestUri":{_quote(path)},'
            f'"requestQuery":{_quote(query)},"userAgent":{_quote(agent)},"httpVersion":"HTTP/{head.version}",'
            f'"originalHost":{quoted},"host":{quoted if host is original else _quote(host)}'
        )

    def _learn(self, route: Route) -> tuple[Route, str, str | None, bool]:
        """What is constant for a route: its names, and what decides the Host that the backend gets."""
        settings = route.settings
        rule = f"{route.rule}/{route.path_rule}" if route.path_rule else route.rule
        names = (
            f'"listenerName":{_quote(route.listener)},"ruleName":{_quote(rule)},'
            f'"backendPoolName":{_quote(route.pool.name)},"backendSettingName":{_quote(settings.name)}'
        )
        known = (route, names, settings.host_name, settings.pick_host_name_from_backend_address)
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        self._routes[id(route)] = known
        return known


def _more(event: str, outcome: Outcome) -> str:
    """The user if one is known, the fields of a session's end, and the reason where something went wrong."""
    text = f',"user":{_quote(_cut(outcome.user))}' if outcome.user else ""
    if event == "websocket-end":
        code = outcome.close_code
        text += (
            f',"messagesIn":{outcome.messages_in},"messagesOut":{outcome.messages_out},'
            f'"closeCode":{"null" if code is None else code}'
        )
    if event.endswith("-end"):
        text += f',"closedBy":{_quote(outcome.closed_by)}'
    if outcome.error is not None:
        text += f',"reason":{_quote(_cut(str(outcome.error)))}'
    return text


def _quoted_tls(outcome: Outcome) -> str:
    version, cipher = outcome.upstream_tls_version, outcome.upstream_tls_cipher
    return f'"backendSslProtocol":{_quote(version)},"backendSslCipher":{_quote(cipher)}'


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


_NO_BACKEND_TLS = '"backendSslProtocol":"","backendSslCipher":""'

_NO_ROUTE = '"ruleName":"","backendPoolName":"","backendSettingName":""'

_NO_REQUEST = (
    '"httpMethod":"","originalRequestUriWithArgs":"","requestUri":"","requestQuery":"","userAgent":"","httpVersion":"",'
    '"originalHost":"","host":""'
)
