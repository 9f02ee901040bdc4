"""The admin site: what the gateway is doing, for people and for programs.

``GET`` and ``HEAD``: ``/`` a page, ``/pools``, ``/backendhealth``, ``/sessions``, ``/config``, ``/ready`` and
``/health`` as JSON, ``/metrics`` for Prometheus.  ``POST /getBackendHealthOnDemand`` probes the members of a pool now,
``POST /reload`` has the configuration read again; nothing else can be changed.
The site is meant for a loopback or private address; a web page that gets at it through a visitor's browser is kept out
by `gateway.observe.host_guard`, and nothing here shows a secret.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from gateway.errors import ReloadFailed
from gateway.health.on_demand import Refused
from gateway.health.reports import health_report
from gateway.http.forwarding import SERVER, reply_bytes
from gateway.http.pages import REASONS
from gateway.observe.host_guard import may_ask, own_origin
from gateway.observe.listings import Listing, pools_listing, sessions_listing
from gateway.observe.metrics import CONTENT_TYPE
from gateway.observe.reports import config_report, pool_counts
from gateway.values import Reply

if TYPE_CHECKING:
    from gateway.config.model import Gateway
    from gateway.interfaces import IPool
    from gateway.observe.reports import ProbeHistory

__all__ = ["AdminSite"]

_log = Logger()

_JSON = "application/json; charset=utf-8"
_SESSIONS = 100
_MOST_SESSIONS = 10_000
_METHODS = "GET, HEAD"
_MOST_DROPPED = 1 << 20
"""Bytes of a body that nobody wants, before the connection is cut."""
_MOST_BODY = 16384

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_METRICS = b"/metrics"
_COUNTED = frozenset({b"/sessions", _METRICS})
_ON_DEMAND = b"/getBackendHealthOnDemand"
_RELOAD = b"/reload"
_POSTED = (_ON_DEMAND, _RELOAD)

_Answer = tuple[int, str, bytes]

SessionReports = Callable[[int], tuple[int, dict[str, int], Iterable[dict[str, Any]]]]


class _Request(Request):
    """A request whose body nobody wants is refused by its head, and the body is dropped, not kept.

    Only what is posted has one, and it is short.
    """

    _refused = False
    _dropped = 0

    def gotLength(self, length: int | None) -> None:
        """The head is here; ``length`` is ``None`` for a chunked body."""
        super().gotLength(0)
        posted = getattr(self.channel, "_path", b"") in _POSTED
        asks = getattr(self.channel, "_command", b"") == b"POST" and posted
        if length == 0 or (asks and length is not None and length <= _MOST_BODY):
            return
        self._refused = True
        self.requestHeaders.removeHeader(b"expect")
        method = getattr(self.channel, "_command", b"")
        status, content_type, body = (
            _TOO_LONG if asks else _NO_BODY if method in (b"GET", b"HEAD") else _NO_METHOD
        )
        fields = [("Allow", "POST" if posted else _METHODS), ("Content-Type", content_type), *_HEADERS.items()]
        reply = Reply(status, fields, body)
        self.channel.write(reply_bytes(reply, method.decode("latin-1"), "1.1", True))

    def handleContentChunk(self, data: bytes) -> None:
        """Bytes of a body. They are read, because unread ones would make a reset of the end."""
        if not self._refused:
            super().handleContentChunk(data)
            return
        self._dropped += len(data)
        if self._dropped > _MOST_DROPPED:
            self.channel.loseConnection()

    def process(self) -> None:
        """The request is complete."""
        if self._refused:
            self.channel.loseConnection()
        else:
            super().process()


class AdminSite(Site):
    """The ``IProtocolFactory`` to listen with.

    ``pools``: the `IPool` objects of the running configuration.  ``probes``: the health monitor.  ``sessions``: given a
    limit, how many are open, how many per pool, and reports of the newest.  ``exposition``: the page of metrics.
    ``ready``: whether the gateway may be sent traffic, and a sentence why (not).  ``model``: the running configuration.
    ``hosts``: names it may be addressed by besides addresses and ``localhost``.  ``refresh`` is called, and waited for,
    before sessions and metrics are asked for; with true where the counters of all open sessions will be.  ``on_demand``
    is `gateway.health.on_demand.OnDemand.ask`, ``reload`` that of `gateway.service.GatewayService`.
    """

    displayTracebacks = False
    noisy = False
    requestFactory = _Request

    def __init__(
        self,
        *,
        pools: Callable[[], Iterable[IPool]],
        probes: ProbeHistory | None,
        sessions: SessionReports,
        exposition: Callable[[], str],
        ready: Callable[[], tuple[bool, str]],
        model: Callable[[], Gateway],
        hosts: Collection[str] = (),
        refresh: Callable[[bool], Deferred[None]] = lambda counters: succeed(None),
        on_demand: Callable[[bytes], Deferred[dict[str, Any]]] | None = None,
        reload: Callable[[], Deferred[list[str]]] | None = None,
        reactor: Any,
    ) -> None:
        pages = _Pages(pools, probes, sessions, exposition, ready, model)
        root = _Root(pages, frozenset(host.lower() for host in hosts), refresh, on_demand, reload, reactor)
        super().__init__(root, reactor=reactor, parsePOSTFormSubmission=False)

    def log(self, request: Any) -> None:
        """Nothing: a scrape every few seconds is not worth a line."""


class _Root(Resource):
    """Answers every path."""

    isLeaf = True

    def __init__(
        self,
        pages: _Pages,
        hosts: frozenset[str],
        refresh: Callable[[bool], Deferred[None]],
        on_demand: Callable[[bytes], Deferred[dict[str, Any]]] | None,
        reload: Callable[[], Deferred[list[str]]] | None,
        clock: Any,
    ) -> None:
        super().__init__()
        self._reload = reload
        self._clock = clock
        self._pages = pages
        self._hosts = hosts
        self._refresh = refresh
        self._on_demand = on_demand

    def render(self, request: Request) -> int:
        if request.method == b"POST" and request.path == _ON_DEMAND and self._on_demand is not None:
            self._probe(request, self._on_demand)
        elif request.method == b"POST" and request.path == _RELOAD and self._reload is not None:
            self._read_again(request, self._reload)
        elif request.path in _COUNTED:
            self._refresh(request.path == _METRICS).addCallback(lambda _: self._respond(request))
        else:
            self._respond(request)
        return NOT_DONE_YET

    def _probe(self, request: Request, on_demand: Callable[[bytes], Deferred[dict[str, Any]]]) -> None:
        """Probe, and answer when that is done; whoever leaves meanwhile ends it."""
        refusal = self._not_for(request) or _not_posted(request)
        if refusal is not None:
            self._send(request, refusal)
            return
        assert request.content is not None
        try:
            probing = on_demand(request.content.read())
        except Refused as refused:
            self._send(request, _error(refused.status, str(refused)))
            return
        request.notifyFinish().addErrback(lambda _: probing.cancel())

        def failed(failure: Failure) -> _Answer:
            if not request._disconnected:
                _log.failure("the probe at somebody's request failed", failure)
            return _error(500, "the probe failed; the gateway's log says why")

        answering = probing.addCallbacks(lambda report: _json(200, report), failed)
        answering.addCallback(lambda answer: self._send(request, answer))

    def _read_again(self, request: Request, reload: Callable[[], Deferred[list[str]]]) -> None:
        """Reload, and answer when that is done. Whoever leaves meanwhile has asked for it all the same."""
        refusal = self._not_for(request) or _not_posted(request)
        if refusal is not None:
            self._send(request, refusal)
            return

        def failed(failure: Failure) -> _Answer:
            failure.trap(ReloadFailed)
            problems = getattr(failure.value, "problems", ())
            return _json(409, {"reloaded": False, "problems": problems})

        answering = reload().addCallbacks(lambda changed: _json(200, {"reloaded": True, "changed": changed}), failed)
        answering.addCallback(lambda answer: self._send(request, answer))

    def _respond(self, request: Request, listing: Listing | None = None) -> None:
        """Answer a request, or do some more of a long page."""
        if request._disconnected:
            return
        try:
            answer = self._answer(request) if listing is None else listing
            if isinstance(answer, Generator):
                listing = answer
                next(listing)
                self._clock.callLater(0, self._respond, request, listing)
                return
        except StopIteration as end:
            answer = 200, _JSON, f"{end.value}\n".encode()
        except Exception:
            _log.failure("the admin page {path!r} failed", path=request.path)
            answer = _error(500, "this page failed; the gateway's log says why")
        self._send(request, answer)

    def _send(self, request: Request, answer: _Answer) -> None:
        if request._disconnected:
            return
        request.setHeader("Server", SERVER)
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        status, content_type, body = answer
        request.setResponseCode(status, REASONS[status].encode())
        request.setHeader("Content-Type", content_type)
        request.setHeader("Content-Length", str(len(body)))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()

    def _not_for(self, request: Request) -> _Answer | None:
        """What to answer where the Host of a request says that it is for somebody else."""
        host = request.requestHeaders.getRawHeaders(b"host") or [b""]
        if len(host) != 1 or not may_ask(host[0].decode("latin-1"), self._hosts):
            return _error(421, "use an IP address or localhost for the admin port, or bind it to the name")
        return None

    def _answer(self, request: Request) -> _Answer | Listing:
        refusal = self._not_for(request)
        if refusal is not None:
            return refusal
        if self._on_demand is not None and request.path == _ON_DEMAND:
            request.setHeader("Allow", "POST")
            return _error(405, "ask for a probe with POST and a JSON body")
        if self._reload is not None and request.path == _RELOAD:
            request.setHeader("Allow", "POST")
            return _error(405, "ask for a reload with POST and Content-Type: application/json")
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", _METHODS)
            return _NO_METHOD
        page = self._pages.table.get(request.path)
        if page is None:
            paths = ", ".join([path.decode() for path in self._pages.table])
            served = (_ON_DEMAND, self._on_demand), (_RELOAD, self._reload)
            posted = " and ".join([path.decode() for path, function in served if function is not None])
            return _error(404, f"there is no such page; there are {paths}{posted and f', and for POST {posted}'}")
        return page(request)


class _Pages:
    """The pages. Each takes the request and returns status, content type and body, or how to make a long one."""

    def __init__(
        self,
        pools: Callable[[], Iterable[IPool]],
        probes: ProbeHistory | None,
        sessions: SessionReports,
        exposition: Callable[[], str],
        ready: Callable[[], tuple[bool, str]],
        model: Callable[[], Gateway],
    ) -> None:
        self._pools = pools
        self._probes = probes
        self._sessions = sessions
        self._exposition = exposition
        self._ready = ready
        self._model = model
        self._page = Path(__file__).with_name("admin.html").read_text("utf-8")
        self.table: dict[bytes, Callable[[Request], _Answer | Listing]] = {
            b"/": self._index,
            b"/pools": self._show_pools,
            b"/backendhealth": self._show_backend_health,
            b"/sessions": self._show_sessions,
            b"/config": self._show_config,
            b"/ready": self._show_ready,
            b"/health": self._show_health,
            _METRICS: self._show_metrics,
        }

    def _index(self, request: Request) -> _Answer:
        nonce = secrets.token_urlsafe(16)
        request.setHeader(
            "Content-Security-Policy",
            f"default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{nonce}'; "
            f"script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        return 200, "text/html; charset=utf-8", self._page.replace("{nonce}", nonce).encode()

    def _show_pools(self, request: Request) -> Listing:
        return pools_listing(self._model().name, self._pools(), self._probes)

    def _show_backend_health(self, request: Request) -> _Answer:
        return _json(200, health_report(self._model().name, self._pools()))

    def _show_sessions(self, request: Request) -> _Answer | Listing:
        asked = request.args.get(b"limit", [b"%d" % _SESSIONS])[-1]
        if not asked.isdigit() or not 1 <= int(asked[:9]) <= _MOST_SESSIONS or len(asked) > 9:
            return _error(400, f"limit is a number from 1 to {_MOST_SESSIONS}")
        return sessions_listing(*self._sessions(int(asked)))

    def _show_config(self, request: Request) -> _Answer:
        return _json(200, config_report(self._model()))

    def _show_ready(self, request: Request) -> _Answer:
        ready, reason = self._ready()
        pools = [pool_counts(pool) for pool in self._pools()]
        return _json(200 if ready else 503, {"ready": ready, "reason": reason, "pools": pools})

    def _show_health(self, request: Request) -> _Answer:
        return _json(200, {"status": "ok"})

    def _show_metrics(self, request: Request) -> _Answer:
        return 200, CONTENT_TYPE, self._exposition().encode()


def _not_posted(request: Request) -> _Answer | None:
    """What to answer to a POST that may come from a web page, or is not JSON, or too long.

    A page of another origin can only send what forms send without asking first (and asking is answered with 405), so
    the content type is a guard too.
    """
    fields = request.requestHeaders
    origins = fields.getRawHeaders(b"origin") or []
    hosts = fields.getRawHeaders(b"host") or [b""]
    if any(not own_origin(origin.decode("latin-1"), hosts[0].decode("latin-1")) for origin in origins):
        return _error(403, "web pages of other origins may not ask this")
    kinds = fields.getRawHeaders(b"content-type") or [b""]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != b"application/json":
        return _error(415, "the body is JSON: Content-Type is application/json")
    return None


def _json(status: int, value: Any) -> _Answer:
    return status, _JSON, (json.dumps(value, indent=2) + "\n").encode()


def _error(status: int, message: str) -> _Answer:
    return _json(status, {"error": message})


_NO_METHOD = _error(405, f"pages are for GET and HEAD; POST is for {b' and '.join(_POSTED).decode()}")
_NO_BODY = _error(413, "a request to this site has no body")
_TOO_LONG = _error(413, f"the body has a Content-Length of at most {_MOST_BODY}")
