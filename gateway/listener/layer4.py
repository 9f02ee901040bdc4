"""The client's side of a connection of a ``Tcp`` or ``Tls`` listener: find its backend, then pass bytes both ways.

::

    accepted ── route, lease ──> CONNECTING ──refused, another backend left──┐
                                     │  ^ ───────────────────────────────────┘
                                     │ connected
                                     v
                                  tunnel (`gateway.relay.splice`) ──> outcome

The client is not read before there is a backend.  Such a connection passes through the same router, pools and selectors
as a request does; what they see of it is a `RequestHead` of the method ``CONNECT`` whose host is the server name that
the client has sent (SNI), and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import (
    BackendClosed,
    BackendError,
    ClientGone,
    GatewayError,
    PluginFailed,
    PluginTimeout,
    SessionEnded,
    ShuttingDown,
    frameless,
)  # fmt: skip
from gateway.exchange.attempts import MOST_ATTEMPTS
from gateway.interfaces import ISecureFactory
from gateway.listener.admission import Admission
from gateway.listener.client_certificates import CertificateGate
from gateway.listener.handshakes import finding
from gateway.listener.revocation import RevocationGate
from gateway.observe.troubles import Troubles
from gateway.relay.flow import CONNECTING, FlowProtocol
from gateway.relay.proxy_header import proxy_header
from gateway.relay.sides import ClientSide
from gateway.relay.splice import Splice
from gateway.routing.rule_router import PATIENCE
from gateway.values import Context, NeedsAddress, Outcome, Peer, RequestHead, Route

if TYPE_CHECKING:
    from gateway.exchange.surroundings import Surroundings
    from gateway.interfaces import IBackend, ILease
    from gateway.upstream.layer4 import StreamUpstream

__all__ = ["Connect", "StreamConnection", "StreamFactory"]

Connect = Callable[[Route, "IBackend", str, bytes], "Deferred[StreamUpstream]"]
"""Connects to a backend of a route, for a client that has sent this server name, and sends these bytes first."""

_ESTABLISHED = 200
_log = Logger("gateway.listener")


@implementer(ISecureFactory)
class StreamFactory(Factory):
    """Makes a `StreamConnection` for each client; arguments are those of `ListenerFactory`, and ``connect``.

    Clients that are not let in are closed at once: there is nothing that could be said to them.
    """

    noisy = False
    plain = goodbye = None

    def __init__(
        self,
        listener: str,
        port: int,
        shared: Surroundings,
        connect: Connect,
        *,
        tls: bool = False,
        admission: Admission | None = None,
        lost: Callable[[StreamConnection], None] = lambda connection: None,
        troubles: Troubles | None = None,
    ) -> None:
        self.listener = listener
        self.port = port
        self.shared = shared
        self.connect = connect
        self.scheme = "tls" if tls else "tcp"
        self.connections: set[StreamConnection | ClientSide] = set()
        self.refused: tuple[FlowProtocol, ...] = ()
        self.lost = lost
        self.troubles = troubles or Troubles(shared.seconds)
        self._admission = admission or Admission(lambda: 0)

    def use(self, listener: str, shared: Surroundings, trusted: object = None) -> None:
        """For connections that are made from now on."""
        self.listener = listener
        self.shared = shared

    def buildProtocol(self, addr: IAddress | None) -> StreamConnection | None:  # type: ignore[override]
        refusal = self._admission.admit()
        if refusal is None:
            return StreamConnection(self)
        self.troubles.refused_connection(self.listener, "" if self.shared.stopping else refusal)
        return None

    def has_room(self, handshakes: int) -> bool:
        """See `ISecureFactory`, and `ListenerFactory.has_room`."""
        return self._admission.refusal(handshakes - self._admission.most_refused) is None

    def handshake_failed(self, peer: Any, error: BaseException) -> None:
        """See `ISecureFactory`."""
        reason, sentence = finding(error)
        self.troubles.failed_handshake(self.listener, getattr(peer, "host", "?"), reason, sentence)


class StreamConnection(FlowProtocol):
    """One client. ``deadline`` and ``review`` belong to `Deadlines`."""

    at_eof = False
    deadline = review = inf
    _route: Route | None = None
    _lease: ILease | None = None
    _awaited: Deferred[Any] | None = None
    _tried: tuple[IBackend, ...] = ()
    _ahead = b""
    _over = False

    def __init__(self, factory: StreamFactory) -> None:
        self.factory: StreamFactory = factory
        self._shared = factory.shared

    def connectionMade(self) -> None:
        """Find out where it goes, and connect."""
        super().connectionMade()
        transport, factory, shared = self.transport, self.factory, self._shared
        factory.connections.add(self)
        self.hold(CONNECTING)
        name = transport.server_name if factory.scheme == "tls" else ""
        self._head = RequestHead("CONNECT", "", "1.1", name, (), {})
        self.outcome = Outcome(
            peer=_peer(transport.getPeer()), scheme=factory.scheme, local_port=factory.port, listener=factory.listener,
            trace_id=shared.trace_id(), started=shared.seconds(), head=self._head, layer4=True,
            tls_version=transport.tls_version, tls_cipher=transport.tls_cipher,
            client_certificate=transport.client_certificate,
        )  # fmt: skip
        self._routed_by(shared.router.route, self._head, factory.listener)

    def _routed_by(self, decide: Callable[..., Any], *args: Any) -> None:
        """Go on with what the router, or a `NeedsAddress` of it, gives."""
        try:
            where = decide(*args)
        except Exception:
            self._not_routed(Failure())
        else:
            self._routed(where)

    def _not_routed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, GatewayError):
            name = self.factory.listener
            _log.failure("the router failed on a connection of listener {name}", failure, name=name)
            error = PluginFailed(f"the router failed: {type(error).__name__}: {error}")
        self._fail(error)

    def _routed(self, where: Any) -> None:
        if isinstance(where, Route):
            self._go(where)
        elif isinstance(where, NeedsAddress):
            self._routed_by(where.decide, self.outcome.peer.host)
        elif isinstance(where, Deferred):
            self._wait(where)
        else:
            self._fail(PluginFailed(f"the router returned {type(where).__name__} for a connection, not a Route"))

    def _wait(self, router: Deferred[Any]) -> None:
        """Go on when the router has an answer, if it has one in time."""
        shared = self._shared
        self._awaited = router
        shared.deadlines.set(self, shared.seconds() + self._patience())

        def over(result: Any) -> None:
            self._awaited = None
            shared.deadlines.forget(self)
            if self._over:
                return
            if isinstance(result, Failure):
                self._not_routed(result)
            else:
                self._routed(result)

        router.addBoth(over)

    def _patience(self) -> float:
        return self._shared.limits.middleware_timeout or PATIENCE

    def expired(self, now: float) -> None:
        """See `Deadlines`: only the router's answer has one here."""
        self._fail(PluginTimeout(f"the router had no answer after {self._patience():g} s"))

    def _go(self, route: Route) -> None:
        """There, if the gates let it."""
        self._route = self.outcome.route = route
        try:
            waiting = self._ask(route)
        except GatewayError as error:
            self._fail(error)
            return
        if waiting is None:
            self._attempt()
        else:
            self._awaited = waiting
            waiting.addCallbacks(self._admitted, self._refused)

    def _ask(self, route: Route) -> Deferred[None] | None:
        """Let the gates look at the client's certificate. They raise `GatewayError`, or the Deferred fails with it."""
        waiting = None
        for each in route.middleware:
            if isinstance(each, (CertificateGate, RevocationGate)):
                waiting = each.request(self._head, Context(self.outcome, route, self._shared.seconds))
        return waiting

    def _admitted(self, _: None) -> None:
        self._awaited = None
        if not self._over:
            self._attempt()

    def _refused(self, failure: Failure) -> None:
        self._awaited = None
        if not self._over:
            error = failure.value
            self._fail(error if isinstance(error, GatewayError) else PluginFailed(f"a gate failed: {error}"))

    def _attempt(self) -> None:
        """Lease a backend and connect to it."""
        route, outcome = self._route, self.outcome
        assert route is not None
        try:
            lease = self._lease = route.pool.lease(self._head, self._tried, outcome)
        except GatewayError as error:
            self._fail(outcome.error or error)
            return
        backend = outcome.backend = lease.backend
        outcome.attempts += 1
        preface = b""
        if route.settings.enable_l4_client_ip_preservation:
            preface = proxy_header(outcome.peer, _peer(self.transport.getHost()))
        self._awaited = self.factory.connect(route, backend, self._head.host, preface)
        self._awaited.addCallbacks(self._connected, self._not_connected)

    def _connected(self, upstream: StreamUpstream) -> None:
        self._awaited = None
        if self._over:
            if not upstream.lost:
                upstream.transport.abortConnection()
            return
        if upstream.lost:
            self._retry(BackendClosed("the backend closed the connection at once"))
            return
        outcome, lease, route = self.outcome, self._lease, self._route
        assert route is not None
        outcome.error = None
        if route.settings.secure:
            outcome.upstream_tls_version = upstream.transport.tls_version
            outcome.upstream_tls_cipher = upstream.transport.tls_cipher
        outcome.status = outcome.upstream_status = _ESTABLISHED
        outcome.connected = outcome.responded = self._shared.seconds()
        tunnel = Splice(self._shared, self, upstream, outcome, lease, route.settings)
        self._lease = None
        tunnel.open(upstream.take_early())
        if upstream.at_eof:
            tunnel.backend_eof()

    def _not_connected(self, failure: Failure) -> None:
        self._awaited = None
        error = failure.value
        if not isinstance(error, GatewayError):
            _log.failure("connecting to a backend failed in an unforeseen way", failure)
            error = BackendError(f"connecting failed: {failure.getErrorMessage()}")
        if not self._over:
            self._retry(error)

    def _retry(self, error: GatewayError) -> None:
        """Nothing was sent yet: another backend may be asked, a few times."""
        outcome, lease = self.outcome, self._lease
        if not error.retryable or outcome.attempts >= MOST_ATTEMPTS:
            self._fail(error)
            return
        assert lease is not None
        self._lease = None
        outcome.error = frameless(error)
        lease.release(outcome)
        self._tried = (*self._tried, lease.backend)
        self._attempt()

    # -- the end

    def _fail(self, error: GatewayError) -> None:
        """There will be no tunnel: record why, and reset the connection, for an end would look like an answer."""
        if self._over:
            return
        self._over = True
        outcome, lease, awaited = self.outcome, self._lease, self._awaited
        self._lease = self._awaited = None
        outcome.error, outcome.cause, outcome.status = frameless(error), error.cause, error.status
        outcome.ended = self._shared.seconds()
        self._shared.deadlines.forget(self)
        if awaited is not None:
            awaited.cancel()
        if lease is not None:
            lease.release(outcome)
        self._shared.ended(outcome)
        if not self.lost:
            self.transport.abortConnection()

    def uses(self, shared: Surroundings) -> bool:
        """Whether it is these surroundings that it was made with."""
        return self._shared is shared

    def stop(self, goodbye: SessionEnded) -> None:
        """The gateway stops: what is passed on may go on until `cut`."""

    def cut(self) -> None:
        """The time to stop is over."""
        self._fail(ShuttingDown("the gateway stops"))

    def readConnectionLost(self) -> None:
        """The client sends no more; it may still read."""
        self.at_eof = True

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone."""
        self.lost = True
        self.factory.connections.discard(self)
        self._fail(ClientGone("the client closed the connection before there was a backend for it"))
        self.factory.lost(self)

    # -- for the tunnel

    def dataReceived(self, data: bytes) -> None:
        """Bytes that came before the tunnel wait for it; reading is held."""
        self._ahead += data

    def enter(self, tunnel: Splice) -> tuple[ClientSide, bytes]:
        """``tunnel`` gets all bytes from now on. Its side, and what the client sent ahead."""
        self._over = True
        return ClientSide(tunnel, self, self.factory), self._ahead

    def counted(self) -> tuple[int, int]:
        """Bytes received and sent before the tunnel: none."""
        return 0, 0


def _peer(address: Any) -> Peer:
    return Peer(getattr(address, "host", ""), getattr(address, "port", 0))
