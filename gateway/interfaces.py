"""Every contract of the project, readable in one sitting.

Strategies (`IRouter`, `IAsyncRouter`, `IMiddleware`, `ISelector`, `IProbe`, `IDiscovery`, `IMessageFilter`,
`IOutcomeObserver`) are what strangers implement; each comes from an `IStrategyFactory` that is found by name.  The other
interfaces join the gateway's own rooms.  Unless a method says otherwise it is called in the reactor thread, must not block, and may be
called again before the first result is used.
"""

from __future__ import annotations

from zope.interface import Attribute, Interface

__all__ = [
    "IAffinity", "IAsyncRouter", "IBackend", "IBodyEncoder", "IClientStream", "IClosing", "IConversation",
    "IDiscovery", "IHostRouter", "ILasting", "ILatencyAware", "ILease", "IMessageFilter", "IMessages", "IMiddleware",
    "IOutcomeObserver", "IPeerSelector", "IPool", "IProbe", "IReturning", "IRoad", "IRouter", "ISecureFactory",
    "ISelector", "ISession", "IStrategyFactory", "ITally", "ITunnel", "IUpstreamListener",
]  # fmt: skip


class IStrategyFactory(Interface):
    """Makes one kind of strategy. Found through entry points, drop-ins, or ``module:object``."""

    name = Attribute("The word that selects it in a configuration (``str``); equals the entry point's name.")
    options = Attribute(
        "The options it takes: a pydantic ``BaseModel`` subclass, or ``None`` for none. "
        "They are validated before anything starts."
    )

    def build(options, services):
        """Make the strategy.

        Called once per use in the configuration, at start and at each reload (see `ILasting`); what was built before is
        closed (`IClosing`) when no exchange uses it any more.  ``options`` is an instance of
        the options class (``None`` where there is none).  ``services`` has ``clock`` (``IReactorTime``),
        ``reactor`` and ``random`` (``random.Random``).  May raise ``ValueError``: the start is refused with its text.
        """


class IClosing(Interface):
    """Optional, for strategies that hold something open: connections, files, threads."""

    def close():
        """The strategy is not used any more: the gateway has stopped, or goes on without it. May return a Deferred."""


class ILasting(Interface):
    """Optional, for strategies that know something which is worth keeping: counts, caches, connections.

    At a reload one that provides this goes on where its name and its options are the same as before, instead of being
    built anew: what it was given of the rest of the configuration (``services.model``) and what it has read of files
    is then that of the time when it was built.  What it has been made of (``services.make``) must provide this as well.
    """


class IRouter(Interface):
    """Decides where a request goes."""

    def route(head, listener):
        """Return a `gateway.values.Route` or a `gateway.values.Reply`.

        Called once per request, also for WebSocket handshakes.  ``head`` is a `RequestHead`, ``listener`` the
        name of the rule's listener; for the router of a whole gateway that of the bound port's first listener.  Pure
        and immediate: no I/O, no Deferred.  Raises `gateway.errors.NoRoute` where nothing matches.  A router that has
        to know the client's address returns a `gateway.values.NeedsAddress`.

        The router of a rule takes its routes from ``services.target``, or what ``services.otherwise`` gives (see
        `gateway.services.Services`): others would go round the middleware of the rule, and are refused (500).  A
        reply passes through that middleware, too, and cannot frame itself.
        """


class IHostRouter(IRouter):
    """A router that knows for some hosts that all their requests go the same way.

    Most of the cost of a small request is looking at it; so where nothing else has to be known, nothing else is read.
    Internal: only the gateway's own table is asked.  Routers of others see each request, also where they are subclasses
    of that table, which may decide otherwise in `route`.
    """

    def route_of(host, listener):
        """Return the `Route` that `route` would return for every head with this ``host``; ``None`` where that depends.

        ``listener`` as in `route`.  Called for plain requests, before `route`, which is not called where this knows.
        Must be immediate and may not raise.
        """


class IAsyncRouter(Interface):
    """Decides where a request goes when that takes time: it asks somebody."""

    def route(head, listener):
        """Return a Deferred (or a coroutine) of what `IRouter.route` returns; or that itself, where it is known at once.

        Called as `IRouter.route` is.  The client's body is not read meanwhile.  The Deferred is cancelled when the client
        leaves or when ``limits.middlewareTimeout`` has passed (500; 30 s where it is not set).
        """


class IMiddleware(Interface):
    """Looks at requests and responses of a route, and may change, answer or refuse them.

    A request passes through those of the gateway, the listener, the rule and the path rule, in this order, and its
    response through the same in reverse.  Heads are immutable: change one with `gateway.http.changes.with_fields` or
    ``_replace``.  What frames a message (Content-Length, Transfer-Encoding, Connection, Upgrade …) cannot be changed.
    What you set is sent, also where the client has sent the same and what it sends of that name is not passed on (it
    called it hop-by-hop, or it is X-Forwarded-User or the like).  So take the lines that stay from the head as they
    are: one whose name you make anew is one that you set.
    """

    traffic = Attribute(
        "Which requests it is asked about: a frozenset of ``http`` (plain requests) and ``upgrade`` (WebSocket "
        "handshakes). A request for any other upgrade is both, because servers may ignore it; a backend that answers a "
        "WebSocket handshake with a 2xx gets round nobody: where somebody is for ``http`` only, the client gets 400."
    )

    def request(head, context):
        """Called once per request, after routing and before a backend is chosen; the body may not be there yet.

        Return ``None`` to let it pass; a changed `RequestHead`; a `Reply` to answer it here; or a Deferred (or a
        coroutine) of one of these.  While it waits the client's body is not read; it is cancelled when the client leaves,
        or when ``limits.middlewareTimeout`` has passed (500).  ``context`` is the exchange's `gateway.values.Context`.
        """

    def response(head, context):
        """Called once for the final `ResponseHead`, or the 101 of an upgrade, of a request that came through `request`.

        A 101 is only for those with ``upgrade`` in their ``traffic``.

        Also for answers that the gateway gives itself: redirects, errors (502, 504), and the reply of a middleware
        further in; not for its own.  Return ``None`` or a changed head.  Must be immediate.

        Who has this method is taken to change something: of interim responses only ``Link`` goes on then, and trailers
        of the response are dropped.  Where that is not so, an attribute ``changes_responses = False`` says it.
        """

    def body(head, context):
        """Called after all `response` methods, where the response has a body; never for a 101.

        Return ``None`` to let the body pass as it is, or an `IBodyEncoder`.  Whoever encodes says so in `response`
        (Content-Encoding, Vary, ETag); the length is taken care of.
        """


class IBodyEncoder(Interface):
    """Changes the bytes of one response body."""

    def feed(data):
        """Return the bytes to send for ``data``; may be empty."""

    def end():
        """The body is complete: return what is left. Called once, and not at all where the response is cut."""


class ISelector(Interface):
    """Chooses a backend. Holds no counters: the pool owns them."""

    def select(candidates, head):
        """Return one of ``candidates``, or ``None`` to refuse all (the client gets 502).

        ``candidates`` is a non-empty tuple of `IBackend` that may be chosen: healthy, not draining, not full,
        not tried before by this exchange.  The tuple is the same object until membership or health changes.
        ``head`` is the `RequestHead`; ``None`` may be given where the method is marked with
        `gateway.pools.heedless.heedless`.  Called once per attempt; must be immediate.
        """


class IPeerSelector(ISelector):
    """A selector that also wants to know who asks.

    The head does not say it, and most selectors do not care; so it is a capability of its own, and the others do not
    pay for it.  `select` is still there, for callers that do not know the peer.
    """

    def select_for(candidates, head, peer):
        """As `select`, which the pool then does not call. ``peer`` is the client's `Peer`, as its connection says."""


class IAffinity(ISelector):
    """A selector that leaves a mark with the client, so that its next request comes to the same backend."""

    def mark(backend, head, secure):
        """Return field lines to add to the response, or ``()``.

        Called for each final response and for the 101 of an upgrade that ``backend`` has sent to the request ``head``;
        never for replies that the gateway makes itself.  ``secure`` says that the client came over TLS.  Must be
        immediate.
        """


class IReturning(IAffinity):
    """One that can tell beforehand which backend a client comes back to, for distributions over several pools.

    Without it a distribution chooses a pool whatever mark the client has.
    """

    def returning(candidates, head):
        """Return the one of ``candidates`` that the mark in ``head`` names, or ``None``.

        Arguments as for `ISelector.select`; the backend is not chosen by that.
        """


class ILatencyAware(Interface):
    """A capability of selectors: the pool measures response times, which `IBackend.latency` shows. Else it does not."""

    decay = Attribute("Seconds after which an old response time counts for a third (``float``).")


class IBackend(Interface):
    """One member of a pool, as selectors and observers see it."""

    name = Attribute("Stable identity, ``host:port`` as configured (``str``).")
    host = Attribute("Host name or address as configured (``str``).")
    port = Attribute("Port as configured (``int``).")
    connect_host = Attribute("Where to connect to: ``host`` unless an override maps it (``str``).")
    connect_port = Attribute("Where to connect to (``int``).")
    weight = Attribute("Relative share, 1 or more (``int``).")
    priority = Attribute("Group for failover, 0 is used first (``int``).")
    active = Attribute("Leases that are out: exchanges and sessions in progress (``int``).")
    healthy = Attribute("Its probes find it healthy, and its traffic has not ejected it (``bool``).")
    state = Attribute("``unknown``, ``up``, ``down`` or ``draining`` (``str``).")
    reason = Attribute("Why it is in that state, a sentence for the operator (``str``).")
    ejected = Attribute("Why traffic keeps it out for a while, see `PassiveHealth`; empty if it does not (``str``).")
    ejections = Attribute("How often traffic has ejected it (``int``).")
    since = Attribute("When it came into that state, in monotonic seconds (``float``).")
    latency = Attribute("`gateway.pools.latency.Latency` where the selector is `ILatencyAware`, else ``None``.")


class ILease(Interface):
    """The right to use one backend for one exchange or session."""

    backend = Attribute("The `IBackend`.")

    def release(outcome):
        """Give it back; called exactly once, when the exchange, the attempt or the session has ended.

        ``outcome`` is the `gateway.values.Outcome`; its ``error`` says whether the backend failed.
        """

    def release_quietly():
        """Give it back after an exchange in which the backend did not fail, without an outcome. Return ``True``.

        ``False`` where somebody wants the outcome (latencies, passive health): nothing was done, and `release` is called.
        """


class IPool(Interface):
    """The backends of one pool under one group of settings. Owns counters and health."""

    name = Attribute("The pool's name (``str``).")
    settings = Attribute("`gateway.config.model.BackendSettings`.")
    backends = Attribute("All members, a tuple of `IBackend`.")
    middleware = Attribute("`IMiddleware` that every request to it passes through, after that of its route (a tuple).")
    candidates = Attribute("Those that may be chosen now, also those that ``minServers`` keeps in (tuple).")
    heedless = Attribute("Whether `lease` may be given ``None`` as the head (``bool``): nobody there looks at it.")
    returning = Attribute(
        "Called with a head: whether its client comes back to one of ``candidates``. ``None`` where the selector is no "
        "`IReturning`."
    )

    def lease(head, tried=(), outcome=None):
        """Choose a backend and count it; return an `ILease`.

        ``tried`` are backends that this exchange has tried already; ``outcome`` is what is known of the exchange, for
        a selector that is an `IPeerSelector`.  Raises
        `gateway.errors.NoHealthyBackend` where none is left, and `gateway.errors.PluginFailed` where the selector fails.
        """


class IDiscovery(Interface):
    """Tells a pool who its members are, and when that changes."""

    def start(found):
        """Begin. Called once, when the gateway starts.

        Call ``found(members)`` whenever the members have changed, with all of them (`gateway.config.model.Member`); those
        that the configuration lists belong to the pool in any case and need not be among them.  It may be called
        within `start`, never raises, and compares for itself.  Members that stay keep their connections, sessions and
        health; those that are gone get no new requests.  Where nothing can be found out, do not call it: the last good
        members stay.

        Return ``None``, or a Deferred or coroutine that ends after the first attempt, whatever came of it: the gateway is not
        ready before.
        """

    def stop():
        """End, and let go of timers and connections. May return a Deferred or coroutine. ``found`` does nothing from now on."""


class IProbe(Interface):
    """Does one health check. Knows nothing of intervals or thresholds: the monitor does."""

    def check(backend, deadline):
        """Return a Deferred of `gateway.values.ProbeResult`, or a coroutine.

        ``deadline`` is in seconds from now; the monitor cancels the Deferred then, and the probe must let go of its
        connection.  A failure of the Deferred counts as an unhealthy result with the exception's text as reason.
        """


class IMessageFilter(Interface):
    """Sees the WebSocket messages of a route, and may change, drop or answer them, or end the session.

    Messages from the client pass through the filters of the rule and then those of the path rule, as they are listed;
    messages from the backend pass through the same in reverse.  A message is there as a whole, inflated, with text known to
    be UTF-8, and not larger than ``limits.maxMessageBytes``.  Pings, pongs and close frames are not shown.  Whatever
    a filter raises ends one session with 1011.
    """

    def open(conversation):
        """A session has begun: return the `IMessages` that will see its messages.

        Called once per session, after the 101 and before its first message.  ``conversation`` is the `IConversation`.  Must be
        immediate.  A filter that keeps nothing between messages may return ``self``.
        """


class IMessages(Interface):
    """One message filter in one session."""

    def message(payload, from_client):
        """Called for each message; ``payload`` is ``str`` for text and ``bytes`` for binary.

        Return ``None`` to let it pass as it is, frames and all; ``str`` or ``bytes`` to let that pass instead, in
        one frame; `gateway.values.DROP`; a `gateway.values.Answer`; a `gateway.values.Close`; or a Deferred or coroutine of
        one of these.  While that waits nothing more is read from this side, and it is cancelled when the session ends.
        """

    def closed(outcome):
        """The session is over. Called once, also when `message` has raised; ``outcome`` is complete. Must be immediate."""


class IConversation(Interface):
    """What a message filter knows of its session."""

    user = Attribute("Who the client is, as far as a middleware found out; else empty (``str``).")
    route = Attribute("The `gateway.values.Route`.")
    backend = Attribute("The `IBackend`.")
    head = Attribute("The handshake as the client sent it, a `gateway.values.RequestHead`.")
    peer = Attribute("The client's `gateway.values.Peer`.")
    trace_id = Attribute("As in the access log (``str``).")
    counters = Attribute("Messages from the client and from the backend, bytes from and to the client: four ``int``.")

    def end(code, reason=""):
        """End the session with a close code, at any time. Idempotent."""


class IOutcomeObserver(Interface):
    """Is told how exchanges and sessions ended. What it raises is logged under its name and dropped.

    Must be quick and immediate: nobody waits for a Deferred or a coroutine, which is a failure.
    """

    def opened(outcome):
        """A WebSocket session has been established; ``outcome`` is not complete yet."""

    def ended(outcome):
        """An exchange or a session has ended; ``outcome`` (`gateway.values.Outcome`) is complete."""


class ITally(IOutcomeObserver):
    """An observer that wants no more than numbers of an exchange that was like most.

    Making an outcome costs more than counting does, so where all observers are tallies most exchanges have none.
    """

    def tally(route, backend, status, received, sent, seconds):
        """A request was answered by ``backend``, the first one asked, and nothing went wrong. Instead of `ended`. HOT

        ``route`` and ``backend`` are never ``None``; bytes ``received`` from and ``sent`` to the client count heads too;
        it took ``seconds``.  Neither a WebSocket nor a connection of layer 4.
        """


class IRoad(Interface):
    """Carries bytes: the pump in production, Twisted's own transports where there is no epoll."""

    name = Attribute("``pump`` or ``twisted`` (``str``), for the log.")

    def server(host, port, tls=None, backlog=1024, sock=None):
        """Return an ``IStreamServerEndpoint``.

        ``host`` is an address (``""`` for all), ``port`` 0 for any; ``sock`` a socket that listens there already.  ``tls`` is ``None`` or an object
        with ``getContext() -> OpenSSL.SSL.Context`` (``twisted.internet.ssl.CertificateOptions``).
        ``listen(factory)`` fails with ``CannotListenError``.  With ``tls`` the factory may provide `ISecureFactory`.
        """

    def client(host, port, tls=None, timeout=5.0):
        """Return an ``IStreamClientEndpoint``.

        ``host`` is an address or a name (names are resolved).  ``tls`` is ``None`` or a
        `gateway.transport.tls.ClientTLS`.  ``timeout`` in seconds covers TCP and the TLS handshake.
        ``connect(factory)`` fails with a ``twisted.internet.error.ConnectError`` or, for TLS, a `gateway.errors.BackendTLSFailed`; it
        fires when the connection may be used, after TLS.

        The endpoint may also have ``attempt(build)``, for who needs many connections: it returns an object that begins at ``start()``
        and then tells its ``result``, which must be set before that and has the methods of a Deferred, what ``connect`` would have
        fired or failed with; never from within ``start``.  ``build`` is called as ``buildProtocol``, and no factory is told of the
        beginning and the end.  ``promise()`` makes a Deferred the ``result``, whose cancelling gives the attempt up.
        """

    def settled():
        """Return a Deferred that fires when no server's TLS handshake is in progress, after a second in any case.

        Called when no server listens any more.
        """

    def stop():
        """Release what the road holds and cut what is still on it: handshakes, connections that linger. Called last."""


class ISecureFactory(Interface):
    """What a factory behind a TLS port may provide besides ``IProtocolFactory``."""

    plain = Attribute(
        "``IProtocolFactory`` for connections whose first byte is not TLS; they are not encrypted. "
        "Where it is ``None`` their handshakes fail."
    )

    def has_room(handshakes):
        """Whether another handshake may begin where so many (``int``) are in progress, on all ports of the road.

        If not, the oldest of them is given up for it.
        """

    def handshake_failed(peer, error):
        """A handshake has failed and there will be no protocol for it.

        ``peer`` is an ``IAddress``; ``error`` what OpenSSL or the transport raised, ``TimeoutError`` if the client took too
        long.  Not called for connections that the road itself gives up when it stops.
        """


class IClientStream(Interface):
    """The client's side of one exchange, as the exchange and a tunnel see it. HTTP/1 today; HTTP/2 will be another.

    It is also an `Entry` of `gateway.transport.deadlines`, whose deadlines the exchange sets.
    """

    transport = Attribute("What the connection rides on, for middleware that asks (`gateway.values.Context`).")
    listener = Attribute("Name of the bound port's first listener (``str``), for `IRouter.route`.")
    stuck = Attribute("The client does not read: what is written now is queued (``bool``).")
    held = Attribute("Not zero while reading is held (``int``, reasons as in `gateway.relay.flow`).")
    lost = Attribute("The connection is gone (``bool``).")
    at_eof = Attribute("The client sends no more (``bool``).")
    goodbye = Attribute("What ends a session that opens on this connection; ``None`` unless the connection is to end.")

    def respond(head, data, end):
        """Send a final or informational (1xx, 101) response head with the first body bytes.

        ``head`` is a `ResponseHead`, ``data`` may be ``b""``; ``end`` says that the body is complete.  After the end the
        outcome is recorded and the next request may begin within this call.
        """

    def send(data, end, trailers=()):
        """Send more of the body; with ``end`` its end."""

    def has_sent(size):
        """So many bytes of the response, with all of its head, were written by the connection's lane."""

    def reply(reply):
        """Answer with a `gateway.values.Reply` made here, instead of `respond`."""

    def abort():
        """Cut the connection, with what it has not taken of a response that has begun."""

    def break_off():
        """End the connection: a response that has begun cannot be completed, and the client shall have what there is."""

    def hold(reason):
        """Stop reading from the client until `let` is called with the same reason."""

    def let(reason):
        """Take a reason back."""

    def fed_by(upstream, read_ahead=None):
        """The response comes in pieces from this backend connection: hold it while the client is stuck.

        With a `gateway.relay.read_ahead.ReadAhead` it is held when there is no room left.
        """

    def enter(tunnel):
        """After a 101 was sent: hand everything over to an `ITunnel`.

        Returns the `gateway.relay.sides.ClientSide` that takes the place of this object, and what the client sent ahead.
        """

    pins = Attribute("Backends, by `IPool`, that this client has connections of its own to (``dict``; do not add).")

    def own(upstream):
        """The `gateway.upstream.connections.Upstream` to use instead of this one, for nobody else; makes `pins`."""

    def counted():
        """Bytes received and sent for this exchange so far, heads included: a pair of ``int``."""

    def note_tls(outcome):
        """Put version and cipher of the connection's TLS into an `Outcome`; empty where there is none."""


class IUpstreamListener(Interface):
    """Is told by the backend's side of an exchange what happens there."""

    def upstream_response(head, data, end):
        """A response head arrived, with the first body bytes; ``end`` if the body is complete."""

    def upstream_data(data, end, trailers=()):
        """More of the body."""

    def upstream_stuck(stuck):
        """The backend takes no more of the request for now; or, with ``False``, takes on. Not told of a tunnel."""

    def upstream_failed(error):
        """The connection or the response failed with this `BackendError`. Nothing else is told after it."""


class ITunnel(Interface):
    """What owns both connections after a 101."""

    def from_client(data):
        """Bytes arrived from the client."""

    def from_backend(data):
        """Bytes arrived from the backend."""

    def client_eof():
        """The client sends no more."""

    def backend_eof():
        """The backend sends no more."""

    def client_lost(reason):
        """The client's connection is gone. ``reason`` is a ``Failure``."""

    def backend_lost(reason):
        """The backend's connection is gone."""


class ISession(Interface):
    """A WebSocket session in progress, as the list of sessions and the drain see it."""

    outcome = Attribute("`gateway.values.Outcome`, with counters that are up to date when `snapshot` has been called.")

    def snapshot():
        """Bring the outcome's counters up to date."""

    def end(error):
        """End it with the close code of a `gateway.errors.SessionEnded`. Idempotent."""

    def end_at(when, error):
        """End it with ``error`` (see `end`) at ``when``, in monotonic seconds, if it is still there then."""

    def cut():
        """End it at once, without a word; for those that did not end in time. Idempotent."""

    def uses(shared):
        """Whether it was made with this `gateway.exchange.surroundings.Surroundings`."""
