"""Says where a request goes and why, with the very objects that decide about requests.

A `Trace` is the story of one request through a `gateway.routing.table.RoutingTable`: which listener, rule and path
rule, what rewrites would change, pool, settings, and why others did not match.  Nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import GatewayError
from gateway.http.forwarded import ForwardedFields, TrustedProxies, client_address
from gateway.routing.decisions import ByCondition, ByPath, Decision, Shared, resolve
from gateway.routing.readings import decoded
from gateway.routing.rewriting import Rewrites
from gateway.routing.targets import upstream_target
from gateway.values import Context, Outcome, Peer, Reply, RequestHead, Route

if TYPE_CHECKING:
    from gateway.routing.bindings import Binding
    from gateway.routing.table import RoutingTable

__all__ = ["Step", "Trace", "explain"]

_TRACE_ID = "0" * 32


class Step(NamedTuple):
    """One thing that was tried. ``kind``: listener, path rule, routing rule, distribution …"""

    kind: str
    name: str
    taken: bool
    why: str


class Trace:
    """What became of a request.

    ``steps``: in the order in which things are tried.  ``rewrites``: notes of the rewrite sets, ``responses``: what
    they would do to the response.  ``middleware``: plugins that it would pass through; what they do is not known.
     ``route`` or ``reply``, or ``error`` in the end.  ``head``: as it goes on, ``added``: the gateway's lines.
    """

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self.added = ""
        self.rule = ""
        self.steps: list[Step] = []
        self.rewrites: list[str] = []
        self.responses: list[str] = []
        self.middleware: list[str] = []
        self.route: Route | None = None
        self.reply: Reply | None = None
        self.error: GatewayError | None = None

    def step(self, kind: str, name: str, taken: bool, why: str) -> None:
        """Remember something that was tried."""
        self.steps.append(Step(kind, name, taken, why))

    @property
    def target(self) -> str:
        """What the backend is asked for."""
        return upstream_target(self.head, self.route) if self.route is not None else ""


_ROUTER = "it is asked first; what it decides is not known here, and what follows is what the rule does otherwise"


def explain(table: RoutingTable, head: RequestHead, port: Binding, peer: Peer, trusted: TrustedProxies) -> Trace:
    """The story of a request that arrives on ``port`` from ``peer``."""
    trace = Trace(head)
    outcome = Outcome(
        head=head, peer=peer, scheme=port.protocol.lower(), local_port=port.port, listener=port.listener,
        trace_id=_TRACE_ID,
    )  # fmt: skip
    fields = ForwardedFields(peer, outcome.scheme, port.port, trusted.trusts(peer.host))
    try:
        decision = _site(trace, table, port, head.host)
        if decision is None:
            table.route(head, port.listener)  # says itself that nobody answers
            return trace
        address = client_address(peer, head, trusted)
        _decide(trace, decision, head, address)
        found = resolve(decision, head, address)
        context = Context(
            outcome, found if isinstance(found, Route) else None, lambda: 0.0, address, fields.lines(head, _TRACE_ID)
        )
        _follow(trace, found, head, context)
    except GatewayError as error:
        trace.error = error
    return trace


def _site(trace: Trace, table: RoutingTable, port: Binding, host: str) -> Decision | None:
    chosen: Decision | None = None
    tried = set()
    asked = "a client that sends no server name" if port.layer4 and not host else repr(host)
    for name, site, matches in table.sites(port.listener).tried(host):
        tried.add(site.listener.name)
        priority = f", priority {site.rule.priority}" if site.rule.priority is not None else ""
        if matches:
            chosen, trace.rule = site.decision, site.rule.name
            everything = "takes every connection" if port.protocol == "Tcp" else "answers for every host"
            why = f"answers for {name!r}{priority}" if name else f"{everything}{priority}"
        else:
            why = f"answers for {name!r}, not for {asked}{priority}"
        trace.step("listener", site.listener.name, matches, why)
        if matches and site.rule.router is not None:
            trace.step("router", site.rule.router.strategy, False, _ROUTER)
    for listener in port.listeners:
        if listener.name not in tried:
            ruled = any(site.listener.name == listener.name for site in table.sites(port.listener).values())
            why = "not tried: one before it answers" if ruled and chosen is not None else "it has no rule"
            trace.step("listener", listener.name, False, why)
    return chosen


def _decide(trace: Trace, decision: Decision, head: RequestHead, address: str) -> None:
    """Tell which rules of a map were tried, down to the target."""
    if isinstance(decision, ByPath):
        path = decoded(head.path)
        compared = "" if path == head.path else f" (compared as {path!r})"
        found = decision.default
        taken = -1
        for taken, (value, matches) in enumerate(decision.paths.tried(head.target)):
            name, pattern, _ = decision.rules[taken]
            why = f"{pattern!r} {'matches' if matches else 'does not match'} {head.path!r}{compared}"
            trace.step("path rule", name, matches, why)
            if matches:
                found = value
        for name, pattern, _ in decision.rules[taken + 1 :]:
            trace.step("path rule", name, False, f"{pattern!r} was not tried: one before it matches")
        if found is decision.default:
            trace.step("path map", decision.name, True, "no path rule matches: its default")
        decision.paths.find(head.target)  # says itself where that depends on who reads the path
        _decide(trace, found, head, address)
    elif isinstance(decision, ByCondition):
        for number, rule in enumerate(decision.rules):
            failing = rule.conditions.failing(head, address)
            if failing is None:
                trace.step("routing rule", rule.name, True, f"all conditions of {rule.conditions.name} hold")
                for later in decision.rules[number + 1 :]:
                    trace.step("routing rule", later.name, False, "not tried: one before it holds")
                _decide(trace, rule.decision, head, address)
                return
            trace.step("routing rule", rule.name, False, f"condition set {rule.conditions.name} wants: {failing}")
        trace.step("routing map", decision.name, True, "no rule holds: its default")
        _decide(trace, decision.default, head, address)
    elif isinstance(decision, Shared):
        shares = decision.shares
        weights = shares.present()
        parts = [f"{route.pool.name} {weight}" for route, weight in zip(shares.routes, weights, strict=True)]
        trace.step("distribution", decision.name, True, f"{shares.algorithm} over {', '.join(parts)} (all healthy)")


def _follow(trace: Trace, found: Route | Reply, head: RequestHead, context: Context) -> None:
    """Through the middleware that is the configuration's own; what plugins do is not known here."""
    trace.added = context.added
    if isinstance(found, Route):
        for each in found.middleware:
            if not isinstance(each, Rewrites):
                trace.middleware.append(getattr(each, "name", type(each).__name__))
                continue
            made = each.run(head, context, trace.rewrites.append)
            if isinstance(made, Reply):
                trace.reply = made
                return
            trace.head, trace.added = made, context.added
            trace.responses = each.response_notes(context)
        trace.route = context.route
    else:
        trace.reply = found
