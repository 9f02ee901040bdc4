"""Counters in the Prometheus text format (version 0.0.4), without a dependency.

What ended is counted as it ends; sessions that are still open are added when the page is made, so that a
socket that lives for hours is seen all the time.  Labels come from the configuration and from bounded sets, never
from what a client sends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from zope.interface import implementer

from gateway.interfaces import ITally

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, IPool
    from gateway.observe.sessions import Sessions
    from gateway.observe.troubles import Troubles
    from gateway.strategies.containment import Accounts, Containment
    from gateway.values import Outcome, Route

__all__ = ["BUCKETS", "CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram in seconds; the last, open one is ``+Inf``."""

_SHORTEST = BUCKETS[0]

_SERIES = 10_000
"""Combinations of listener, rule, pool and backend that are told apart; of further ones the backend is ``other``, and
from twice as many on everything."""

_WORDS = 64
"""Causes, and closers of sessions, that are told apart."""

_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_Key = tuple[str, str, str, str]
_OTHER: _Key = ("other", "other", "other", "other")


class _Series:
    """The counters of one listener, rule, pool and backend."""

    __slots__ = ("buckets", "messages_in", "messages_out", "received", "seconds", "sent", "sessions", "statuses")

    def __init__(self) -> None:
        self.statuses = [0] * len(_CLASSES)
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.received = 0
        self.sent = 0
        self.sessions = 0
        self.messages_in = 0
        self.messages_out = 0

    def count(self, status: int, received: int, sent: int, seconds: float | None) -> None:  # HOT
        """One more. ``seconds``: ``None`` for what does not belong into a histogram of latencies."""
        try:
            self.statuses[status // 100] += 1
        except IndexError:
            self.statuses[5] += 1  # one above 599 is as bad as 500 (RFC 9110 §15)
        self.received += received
        self.sent += sent
        if seconds is not None:
            self.seconds += seconds
            self.buckets[0 if seconds <= _SHORTEST else bisect_left(BUCKETS, seconds)] += 1


@implementer(ITally)
class Metrics:
    """Counts outcomes and writes the exposition.

    ``pools`` gives the pools of the running configuration, ``sessions`` the open sessions, ``troubles`` what went wrong
    before there was a request, ``accounts`` what is known of plugins; they are asked only when `exposition` is called.
    How far open sessions have got is known from the last `Sessions.refresh`.
    """

    def __init__(
        self,
        pools: Callable[[], Iterable[IPool]] = tuple,
        sessions: Sessions | None = None,
        troubles: Troubles | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self._accounts = accounts
        self._pools = pools
        self._sessions = sessions
        self._troubles = troubles
        self._series: dict[_Key, _Series] = {}
        self._causes: dict[str, int] = {}
        self._closes: dict[tuple[str, str], int] = {}

    def opened(self, outcome: Outcome) -> None:
        """Nothing to count yet: open sessions are counted from the registry."""

    def ended(self, outcome: Outcome) -> None:  # HOT
        """Count an exchange or a session."""
        route = outcome.route
        backend = outcome.backend
        if route is None:
            key = (outcome.listener, "", "", "")
        else:
            key = (route.listener, route.rule, route.pool.name, "" if backend is None else backend.name)
        seconds = None
        if outcome.ended is not None and outcome.status != 101 and not outcome.layer4 and not outcome.websocket:
            # Sessions and other tunnels are not in the histogram: hours of an open socket say nothing about latency.
            seconds = outcome.ended - outcome.started
        series = self._series.get(key) or self._new(key)
        series.count(outcome.status, outcome.received_bytes, outcome.sent_bytes, seconds)
        if outcome.cause != "ok":
            self._failed(outcome.cause)
        if outcome.websocket:
            self._session_ended(series, outcome)

    def tally(self, route: Route, backend: IBackend, status: int, received: int, sent: int, seconds: float) -> None:
        """See `ITally`. HOT"""
        key = (route.listener, route.rule, route.pool.name, backend.name)
        series = self._series.get(key) or self._new(key)
        series.count(status, received, sent, seconds)

    def _new(self, key: _Key) -> _Series:
        return self._series.setdefault(self._found(key), _Series())

    def _found(self, key: _Key) -> _Key:
        """What ``key`` is counted as: itself, while there is room."""
        if key in self._series or len(self._series) < _SERIES:
            return key
        if key[3]:
            key = (*key[:3], "other")
        return key if key in self._series or len(self._series) < 2 * _SERIES else _OTHER

    def _failed(self, cause: str) -> None:
        if cause not in self._causes and len(self._causes) >= _WORDS:
            cause = "other"
        self._causes[cause] = self._causes.get(cause, 0) + 1

    def _session_ended(self, series: _Series, outcome: Outcome) -> None:
        series.sessions += 1
        series.messages_in += outcome.messages_in
        series.messages_out += outcome.messages_out
        key = (_close_label(outcome.close_code), outcome.closed_by or "unknown")
        if key not in self._closes and len(self._closes) >= _WORDS:
            key = (key[0], "other")
        self._closes[key] = self._closes.get(key, 0) + 1

    def exposition(self) -> str:
        """The page for ``GET /metrics``."""
        page = _Page()
        self._write_traffic(page)
        if self._troubles is not None:
            self._write_troubles(page, self._troubles)
        self._write_sessions(page)
        self._write_pools(page)
        self._write_plugins(page)
        return page.text()

    def _write_traffic(self, page: _Page) -> None:
        live = self._live()
        labels = {key: _labels(zip(("listener", "rule", "pool", "backend"), key, strict=True)) for key in self._series}
        page.family("gateway_requests_total", "counter", "Exchanges and sessions that have ended, by status class.")
        for key, series in self._series.items():
            for name, count in zip(_CLASSES, series.statuses, strict=True):
                if count:
                    page.sample(f'{labels[key]},code="{name}"', count)
        page.family("gateway_failures_total", "counter", "Exchanges and sessions by what went wrong.")
        for cause, count in self._causes.items():
            page.sample(_labels([("cause", cause)]), count)
        for name, text, part in (
            ("gateway_received_bytes_total", "Bytes from clients, heads included; open sessions too.", "received"),
            ("gateway_sent_bytes_total", "Bytes to clients, heads included; open sessions too.", "sent"),
            ("gateway_websocket_messages_in_total", "WebSocket messages from clients.", "messages_in"),
            ("gateway_websocket_messages_out_total", "WebSocket messages to clients.", "messages_out"),
        ):
            page.family(name, "counter", text)
            for key, series in self._series.items():
                page.sample(labels[key], getattr(series, part) + getattr(live.get(key, _NOTHING), part))
        self._write_latency(page)

    @staticmethod
    def _write_troubles(page: _Page, troubles: Troubles) -> None:
        page.family("gateway_connections_refused_total", "counter", "Client connections above limits.maxConnections.")
        for listener, count in troubles.refused.items():
            page.sample(_labels([("listener", listener)]), count)
        page.family("gateway_tls_handshake_failures_total", "counter", "TLS handshakes of clients that failed.")
        for (listener, reason), count in troubles.handshakes.items():
            page.sample(_labels([("listener", listener), ("reason", reason)]), count)

    def _write_latency(self, page: _Page) -> None:
        """One histogram per listener, rule and pool: per backend it would be too many lines."""
        sums: dict[tuple[str, ...], _Series] = {}
        for key, series in self._series.items():
            total = sums.setdefault(key[:3], _Series())
            total.seconds += series.seconds
            total.buckets = [a + b for a, b in zip(total.buckets, series.buckets, strict=True)]
        page.family("gateway_request_seconds", "histogram", "Seconds from a request to the end of its response.")
        for names, total in sums.items():
            labels = _labels(zip(("listener", "rule", "pool"), names, strict=True))
            count = 0
            for bound, more in zip((*BUCKETS, "+Inf"), total.buckets, strict=True):
                count += more
                page.sample(f'{labels},le="{bound}"', count, "_bucket")
            page.sample(labels, round(total.seconds, 6), "_sum")
            page.sample(labels, count, "_count")

    def _live(self) -> dict[_Key, _Series]:
        """Counters of the sessions that are open. Each has its place among the series before it ends: what is shown of
        it stays where it is."""
        live: dict[_Key, _Series] = {}
        for session in self._sessions or ():
            outcome: Outcome = session.outcome
            route = outcome.route
            if route is None:
                continue
            key = (route.listener, route.rule, route.pool.name, outcome.backend.name if outcome.backend else "")
            key = self._found(key)
            self._series.setdefault(key, _Series())
            series = live.setdefault(key, _Series())
            series.received += outcome.received_bytes
            series.sent += outcome.sent_bytes
            series.messages_in += outcome.messages_in
            series.messages_out += outcome.messages_out
        return live

    def _write_sessions(self, page: _Page) -> None:
        page.family("gateway_websocket_sessions", "gauge", "WebSocket sessions that are open.")
        counts = self._sessions.by_pool(websocket=True) if self._sessions is not None else {}
        for pool in dict.fromkeys([*(pool.name for pool in self._pools()), *counts]):
            page.sample(_labels([("pool", pool)]), counts.get(pool, 0))
        page.family("gateway_websocket_closes_total", "counter", "Ended WebSocket sessions, by close code and closer.")
        for (code, closer), count in self._closes.items():
            page.sample(_labels([("code", code), ("closed_by", closer)]), count)

    def _write_pools(self, page: _Page) -> None:
        members = [
            (_labels([("pool", pool.name), ("settings", pool.settings.name), ("backend", backend.name)]), backend)
            for pool in self._pools()
            for backend in pool.backends
        ]
        page.family("gateway_backend_up", "gauge", "1 if the backend is healthy and not ejected, else 0.")
        for labels, backend in members:
            page.sample(labels, int(backend.healthy))
        page.family("gateway_backend_active", "gauge", "Exchanges and sessions in progress.")
        for labels, backend in members:
            page.sample(labels, backend.active)
        page.family("gateway_backend_ejections_total", "counter", "How often traffic has taken the backend out.")
        for labels, backend in members:
            page.sample(labels, backend.ejections)
        page.family("gateway_backend_ejected", "gauge", "1 if traffic keeps the backend out, else 0.")
        for labels, backend in members:
            page.sample(labels, int(bool(backend.ejected)))
        page.family("gateway_pool_healthy_backends", "gauge", "Backends that are healthy and not ejected.")
        for pool in self._pools():
            labels = _labels([("pool", pool.name), ("settings", pool.settings.name)])
            page.sample(labels, sum(backend.healthy for backend in pool.backends))
        page.family("gateway_pool_serving_backends", "gauge", "Backends that may be chosen, also those of minServers.")
        for pool in self._pools():
            labels = _labels([("pool", pool.name), ("settings", pool.settings.name)])
            page.sample(labels, len(pool.candidates))

    def _write_plugins(self, page: _Page) -> None:
        """By kind and name, over all places. Of the gateway's own only what has failed: their calls are not counted."""
        found: dict[str, list[Containment]] = {}
        for each in self._accounts.counted() if self._accounts is not None else ():
            if each.failures or not each.ours:
                found.setdefault(_labels([("kind", each.kind), ("name", each.name)]), []).append(each)
        for name, kind, text, count in _PLUGINS:
            page.family(f"gateway_plugin_{name}", kind, text)
            for labels, accounts in found.items():
                page.sample(labels, round(sum(map(count, accounts)), 6))


_PLUGINS: tuple[tuple[str, str, str, Callable[[Containment], float]], ...] = (
    ("calls_total", "counter", "Calls of plugins.", lambda each: each.calls),
    ("failures_total", "counter", "Calls that raised, took too long or gave nonsense.", lambda each: each.failures),
    ("seconds_total", "counter", "Seconds in which plugins kept everything else waiting.", lambda each: each.seconds),
    ("budget_exceeded_total", "counter", "Calls that were over limits.pluginBudget.", lambda each: each.exceeded),
    ("off", "gauge", "In how many places a plugin is switched off.", lambda each: int(each.off)),
)


class _Page:
    """Lines of an exposition. A family's samples follow its HELP and TYPE."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._name = ""

    def family(self, name: str, kind: str, text: str) -> None:
        self._name = name
        self._lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")

    def sample(self, labels: str, value: float, suffix: str = "") -> None:
        self._lines.append(f"{self._name}{suffix}{{{labels}}} {value}")

    def text(self) -> str:
        return "\n".join([*self._lines, ""])


_NOTHING = _Series()


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _close_label(code: int | None) -> str:
    """Close codes are the peers' choice: those of RFC 6455 §7.4 by number, the others by range."""
    if code is None:
        return "none"
    if 1000 <= code <= 1015:
        return str(code)
    return f"{code // 1000}xxx" if 3000 <= code <= 4999 else "invalid"
