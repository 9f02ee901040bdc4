"""A pool: the members of one backend pool under one group of settings.

The pool owns what changes: health, draining and counts.  Selectors only see an immutable tuple of members that may
be chosen, which is made anew when one of these changes and never per request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from zope.interface import implementer

from gateway.errors import NoHealthyBackend, PluginFailed
from gateway.interfaces import IAffinity, ILatencyAware, IMiddleware, IPeerSelector, IPool, IReturning
from gateway.pools.affinity import Affinity
from gateway.pools.backend import DOWN, DRAINING, UP, Backend, Loads, name_of
from gateway.pools.heedless import is_heedless
from gateway.pools.latency import Latency
from gateway.pools.lease import Lease, TimedLease
from gateway.pools.round_robin import RoundRobin
from gateway.strategies.containment import Containment

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Member, PassiveHealth
    from gateway.interfaces import IBackend, ISelector
    from gateway.values import Outcome, RequestHead

__all__ = ["STATES", "Pool", "TransitionListener", "Verdict"]

STATES = "gateway.pools.pool"
"""The namespace of what is logged of states; a worker leaves it to its parent."""

TransitionListener = Callable[["Pool", Backend, str, str, str], None]
"""Called with the pool, the backend, its old state, its new state and the reason."""

Verdict = tuple[Backend, bool, str]
"""A member, whether its probes find it healthy, and a sentence for the operator."""

_MOST_NAMED = 8
_MOST_REASON = 160


@implementer(IPool)
class Pool:
    """Hands out leases of its members.

    ``members`` are `gateway.config.model.Member`; the first of two with the same host and port counts.
    ``loads`` is shared by all pools of the process; ``min_servers`` members are candidates whatever their probes
    say (a probe's ``minServers``); ``strategy`` is the selector's name for messages; ``passive`` is how traffic judges
    its members, for the health monitor; ``seconds`` is the time that outcomes are in; ``contained`` is the selector's
    account.
    """

    def __init__(
        self,
        name: str,
        settings: BackendSettings,
        members: Iterable[Member],
        selector: ISelector,
        log: Logger | None = None,
        *,
        loads: Loads | None = None,
        min_servers: int = 0,
        strategy: str = "",
        passive: PassiveHealth | None = None,
        seconds: Callable[[], float] = time.monotonic,
        contained: Containment | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.backends: tuple[Backend, ...] = ()
        self.candidates: tuple[Backend, ...] = ()
        self.min_servers = min_servers
        self.passive = passive
        self.selector = selector
        self.strategy = strategy or type(selector).__name__
        self._log = Logger(STATES) if log is None else log
        self._loads = Loads() if loads is None else loads
        self._seconds = seconds
        self._contained = contained or Containment("selector", self.strategy, f"pool {name!r}", log=self._log)
        guard, immediate, instead = self._contained.guard, self._contained.immediate, RoundRobin().select
        self._select = guard(immediate(selector.select), instead, _is_candidate)
        self._select_for: Callable[..., Any] | None = None
        if IPeerSelector.providedBy(selector):
            self._select_for = guard(
                immediate(selector.select_for), lambda found, head, peer: instead(found, head), _is_candidate
            )
        self.heedless = self._select_for is None and is_heedless(selector)
        self._simple = self.heedless and self._contained.ours  # it calls nobody, and chooses a candidate
        self._find: Callable[..., Any] | None = None
        if IReturning.providedBy(selector):
            self._find = guard(immediate(selector.returning), lambda found, head: None, _is_candidate)
        self._decay = selector.decay if ILatencyAware.providedBy(selector) else None
        self._leased: Callable[..., Lease] = Lease if self._decay is None else partial(TimedLease, seconds)
        self.middleware: tuple[IMiddleware, ...] = ()
        if IAffinity.providedBy(selector):
            self.middleware = (Affinity(selector, self._contained),)
        self._selecting = False
        self._choosable: frozenset[Backend] = frozenset()
        self._why: str | None = None
        self._members: tuple[Member, ...] | None = None  # those that the backends were made of
        self._listeners: tuple[TransitionListener, ...] = ()
        self.set_members(members)

    def __repr__(self) -> str:
        return f"<Pool {self.name}/{self.settings.name} {len(self.candidates)} of {len(self.backends)}>"

    # -- per request ---------------------------------------------------------------------------------------

    def lease(self, head: RequestHead | None, tried: Sequence[IBackend] = (), outcome: Outcome | None = None) -> Lease:
        """See `IPool.lease`. HOT."""
        candidates = self.candidates
        if self._simple and candidates and not tried:
            try:
                backend: Backend = self._select(candidates, None)
            except Exception as error:
                raise self._contained.failed(error) from error
        else:
            backend = self._chosen(candidates, head, tried, outcome)
        load = backend.load
        load.active = active = load.active + 1
        for shown in load.backends:
            shown.active = active
        backend.leases += 1
        return self._leased(backend, load)

    def _chosen(
        self,
        candidates: tuple[Backend, ...],
        head: RequestHead | None,
        tried: Sequence[IBackend],
        outcome: Outcome | None,
    ) -> Backend:
        """One of those that were not tried, by a selector that may do anything."""
        if tried:
            candidates = tuple([backend for backend in candidates if backend not in tried])
        if not candidates:
            raise NoHealthyBackend(self._explain(tried))
        if self._selecting:
            raise self._called_back()
        self._selecting = True
        try:
            if self._select_for is None or outcome is None:
                backend: Backend = self._select(candidates, head)
            else:
                backend = self._select_for(candidates, head, outcome.peer)
            chosen = backend in self._choosable and backend not in tried
        except Exception as error:
            raise self._contained.failed(error) from error
        finally:
            self._selecting = False
        if not chosen:
            raise self._not_chosen(backend)
        return backend

    @property
    def returning(self) -> Callable[[RequestHead], bool] | None:
        """See `IPool.returning`."""
        return None if self._find is None else self._knows

    def _knows(self, head: RequestHead) -> bool:
        """A selector that fails knows nobody."""
        assert self._find is not None
        try:
            return bool(self.candidates) and self._find(self.candidates, head) is not None
        except Exception as error:
            self._contained.failed(error)
            return False

    # -- health, draining, membership ----------------------------------------------------------------------

    def set_health(self, backend: Backend, healthy: bool, reason: str) -> None:
        """The verdict of the probes on ``backend``, with a sentence for the operator."""
        self.set_verdicts([(backend, healthy, reason)])

    def set_verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Those on several that are known together, which costs less than one after another."""
        self._refuse_selector()
        remarks = []
        for backend, healthy, reason in verdicts:
            backend.verdict = UP if healthy else DOWN
            backend.found = reason
            remarks.append((backend, reason))
        self._settle(*remarks)

    def note(self, backend: Backend, reason: str) -> None:
        """What the latest probe of ``backend`` found, where that does not change the verdict."""
        backend.found = reason
        self.remark(backend, reason)

    def remark(self, backend: Backend, reason: str) -> None:
        """A reason to show for the state that ``backend`` is in, until there is another."""
        if not backend.draining and not backend.ejected:
            backend.reason = reason
            self._why = None

    def eject(self, backend: Backend, reason: str) -> None:
        """Leave ``backend`` out whatever its probes say, until `let_in`. Leases that are out are not touched."""
        self._refuse_selector()
        backend.ejected = reason
        backend.ejections += 1
        self._settle((backend, reason))

    def let_in(self, backend: Backend, reason: str) -> None:
        """Its probes alone decide about ``backend`` again."""
        self._refuse_selector()
        backend.ejected = ""
        self._settle((backend, reason if backend.verdict == UP else backend.found))

    def set_draining(self, backend: Backend, draining: bool, reason: str = "") -> None:
        """Give ``backend`` no new leases, or let it have them again. Those that are out are not touched."""
        self._refuse_selector()
        backend.draining = draining
        self._settle((backend, reason or ("is being drained" if draining else "is not drained any more")))

    def set_members(self, members: Iterable[Member]) -> tuple[tuple[Backend, ...], tuple[Backend, ...]]:
        """Change who belongs to the pool; return the backends that came and those that went.

        A member that is reached where it was before keeps its object and state, also with another weight.  Leases
        of one that went stay valid, and are counted if it comes back.
        """
        self._refuse_selector()
        members = tuple(members)
        if members == self._members:
            return (), ()
        self._members = members
        before = {backend.name: backend for backend in self.backends}
        after: dict[str, Backend] = {}
        for member in members:
            backend = Backend(member, self.settings)
            known = before.get(backend.name)
            if known is not None and known.place == backend.place and backend.name not in after:
                known.weight, known.priority = backend.weight, backend.priority
                backend = known
            after.setdefault(backend.name, backend)
        came = tuple(backend for name, backend in after.items() if before.get(name) is not backend)
        went = tuple(backend for name, backend in before.items() if after.get(name) is not backend)
        for backend in came:
            self._loads.join(self.name, backend)
            backend.since = self._seconds()
            if self._decay is not None:
                backend.latency = Latency(self._decay)
        self._loads.leave(went)
        self.backends = tuple(after.values())
        self._rebuild()
        return came, went

    def needed_besides(self, members: tuple[Member, ...]) -> tuple[Member, ...]:
        """Who can be chosen and is not among ``members``, if none of these can be; nobody if there are none."""
        if not members or members == self._members:
            return ()
        able = {backend.name for backend in self.candidates}
        if any(name_of(member, self.settings) in able for member in members):
            return ()
        known = {name_of(member, self.settings): member for member in self._members or ()}
        return tuple([member for name, member in known.items() if name in able])

    def succeed(self, old: Pool) -> None:
        """Take the place of ``old``: its members, with all that is known of them, and its listeners are this pool's.

        This pool must not have any yet.  Who still asks the old one for a lease gets one of this one.
        """
        self._refuse_selector()
        self.backends, self._listeners = old.backends, old._listeners
        if old.settings.port == self.settings.port:
            self._members = old._members
        old._members = None
        for backend in self.backends:
            if self._decay is None:
                backend.latency = None
            elif backend.latency is None or self._decay != old._decay:
                backend.latency = Latency(self._decay)
        self._rebuild()
        old.backends, old._listeners = (), ()
        old._rebuild()
        old.lease = lambda *asked: self.lease(*asked)  # type: ignore[method-assign]

    def close(self) -> None:
        """The pool is not used any more: no members, no listeners. Leases that are out stay valid."""
        self.set_members(())
        self._listeners = ()

    def subscribe(self, listener: TransitionListener) -> Callable[[], None]:
        """Call ``listener`` at every change of a backend's state; return a function that ends this.

        It is called after the change, in the order of subscription; what it raises is logged and dropped.
        """
        self._listeners += (listener,)

        def unsubscribe() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return unsubscribe

    def find(self, name: str) -> Backend | None:
        """The member with this ``host:port``."""
        return next((backend for backend in self.backends if backend.name == name), None)

    # -- inside --------------------------------------------------------------------------------------------

    def _settle(self, *remarks: tuple[Backend, str]) -> None:
        """Let the state of each be what follows from what is known of it, and tell of those that change."""
        changed = []
        for backend, reason in remarks:
            old = backend.state
            if backend.draining:
                new = DRAINING
            elif backend.ejected:
                new, reason = DOWN, backend.ejected
            else:
                new = backend.verdict
            backend.healthy = backend.verdict == UP and not backend.ejected
            backend.state = new
            backend.reason = reason
            if old != new:
                backend.since = self._seconds()
                changed.append((backend, old, new, reason))
        self._why = None
        if not changed:
            return
        self._rebuild()
        well = [backend for backend, _, new, _ in changed if new == UP]
        many = len(well) > _MOST_NAMED
        if many:
            self._log.info(
                "pool {pool}, settings {settings}: {count} backends are up now, {named} and others",
                pool=self.name, settings=self.settings.name, count=len(well),
                named=", ".join([backend.name for backend in well[:_MOST_NAMED]]),
            )  # fmt: skip
        for backend, old, new, reason in changed:
            self._tell(backend, old, new, reason, quiet=many and new == UP)

    def _tell(self, backend: Backend, old: str, new: str, reason: str, quiet: bool) -> None:
        if not quiet:
            report = self._log.warn if new == DOWN else self._log.info
            report(
                "pool {pool}, backend {backend}, settings {settings}: {old_state} -> {new_state}: {reason}",
                pool=self.name,
                backend=backend.name,
                settings=self.settings.name,
                old_state=old,
                new_state=new,
                reason=reason,
            )
        for listener in self._listeners:
            try:
                listener(self, backend, old, new, reason)
            except Exception:
                self._log.failure("a listener of pool {pool} failed", pool=self.name)

    def _rebuild(self) -> None:
        able = [backend for backend in self.backends if not backend.draining]
        candidates = [backend for backend in able if backend.healthy]
        if len(candidates) < self.min_servers:
            others = [backend for backend in able if not backend.healthy]
            kept = {*candidates, *others[: self.min_servers - len(candidates)]}
            candidates = [backend for backend in able if backend in kept]
        self._why = None
        self.candidates = tuple(candidates)
        self._choosable = frozenset(candidates)

    def _refuse_selector(self) -> None:
        """The selector may not change what it was given to choose from, while it chooses."""
        if self._selecting:
            raise self._called_back()

    def _called_back(self) -> PluginFailed:
        return PluginFailed(f"selector {self.strategy!r} called back into pool {self.name!r} while it was choosing")

    def _not_chosen(self, backend: Any) -> Exception:
        if backend is None:
            return NoHealthyBackend(f"pool {self.name!r}: selector {self.strategy!r} refused all candidates")
        # Its type only: what a plugin returns may have any size, or a __repr__ that raises.
        wrong = TypeError(f"select() returned {type(backend).__name__!r} that is not one of its candidates")
        return self._contained.failed(wrong)

    def _explain(self, tried: Sequence[IBackend]) -> str:
        if self._why is None:
            self._why = _why(self)
        if not tried:
            return self._why
        names = ", ".join([backend.name for backend in tried[:_MOST_NAMED]])
        return f"{self._why}; already tried: {names}"


def _is_candidate(found: object, candidates: Sequence[IBackend], *_: object) -> bool:
    return found is None or any([found is backend for backend in candidates])


def _why(pool: Pool) -> str:
    where = f"no backend of pool {pool.name!r} (settings {pool.settings.name!r}) may be chosen"
    if not pool.backends:
        return f"{where}: the pool is empty"
    named = pool.backends[:_MOST_NAMED]
    parts = [f"{backend.name} is {backend.state}: {backend.reason[:_MOST_REASON]}" for backend in named]
    if len(pool.backends) > _MOST_NAMED:
        parts.append(f"and {len(pool.backends) - _MOST_NAMED} more")
    return f"{where}: " + "; ".join(parts)
