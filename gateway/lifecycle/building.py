"""What one configuration makes: all its parts, wired in one visible block; and the end of those that nobody uses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.exchange.surroundings import Surroundings
from gateway.http.forwarded import TrustedProxies
from gateway.http.forwarding import SERVER
from gateway.lifecycle.generation import Generation, Material
from gateway.lifecycle.registry import Registry, close_all
from gateway.relay.read_ahead import ReadAhead
from gateway.relay.upload import Uploads
from gateway.routing.rule_router import PATIENCE, ContainedRouter
from gateway.routing.table import RoutingTable
from gateway.strategies.contained import ContainedObserver
from gateway.strategies.containment import Terms

if TYPE_CHECKING:
    from gateway.config.model import Limits
    from gateway.interfaces import IOutcomeObserver
    from gateway.lifecycle.assembly import Steps
    from gateway.service import GatewayService

__all__ = ["Building"]


class Building:
    """Makes the generations of ``service``, of whose parts it takes those that last."""

    def __init__(self, service: GatewayService) -> None:
        self._service = service

    def generation(self, material: Material, registry: Registry) -> Steps[Generation]:
        """Make all parts of a configuration, then wire them: nothing looks another part up by a global name.

        Nothing of what runs changes.  Raises `ConfigurationError`, or what an overridden method does; what has been
        made is closed then.
        """
        now = Generation(material, registry)
        steps = self._fill(now)
        try:
            while self._step(now, steps):
                yield
        except BaseException:
            self.discard(now)
            raise
        registry.settled()
        return now

    def _fill(self, now: Generation) -> Steps[None]:
        service, model, limits, registry = self._service, now.model, now.model.limits, now.registry
        now.pools = yield from registry.pools_by_steps(model, service.loads)
        yield
        now.middleware = registry.middleware(model)
        now.filters = registry.filters(model)
        yield
        now.router = self._contained_router(now, service.make_router())  # which may ask for more pools
        yield
        now.checks = yield from registry.checks_by_steps(model, now.pools, service.road, now.roots)
        yield
        now.discoveries = registry.discoveries(model, now.pools, service.road)
        everywhere = model.global_configuration
        now.shared = Surroundings(
            router=now.router,
            upstream_for=partial(service.ways.upstream, now.roots),
            deadlines=service.deadlines,
            seconds=service.deadlines.now,
            limits=limits,
            sessions=service.sessions,
            soon=partial(service.reactor.callLater, 0),
            observers=[self._contained_observer(now, observer) for observer in service.make_observers()],
            trusted=TrustedProxies(limits.trusted_proxies),
            error_reply=now.error_pages.reply,
            uploads=self._uploads(limits) if everywhere.enable_request_buffering else None,
            read_ahead=ReadAhead(limits.response_buffer_bytes) if everywhere.enable_response_buffering else None,
            server="" if everywhere.disable_default_server_header_in_response else SERVER,
        )

    def _uploads(self, limits: Limits) -> Uploads:
        sizes = limits.request_buffer_bytes, limits.request_buffer_file_bytes
        return Uploads(*sizes, limits.request_buffer_directory, self._service.disk)

    def _step(self, now: Generation, steps: Steps[None]) -> bool:
        """Make some of ``now``; false when it is complete."""
        service = self._service
        before: Generation | None = getattr(service, "now", None)
        # Methods that may be overridden look at the service: it shows the new parts while they are made.
        service.now = now
        service.accounts.terms = Terms.of(now.model.limits)
        try:
            next(steps)
        except StopIteration:
            return False
        finally:
            if before is not None:
                service.now = before
        return True

    def _contained_router(self, now: Generation, router: Any) -> Any:
        if type(router) is RoutingTable:
            return router
        contained = now.registry.account("router", type(router).__name__, "the gateway", router, ours=False)
        patience = now.model.limits.middleware_timeout or PATIENCE
        return ContainedRouter(router, contained, patience=patience, now=self._service.deadlines.now)

    def _contained_observer(self, now: Generation, observer: IOutcomeObserver) -> IOutcomeObserver:
        ours = self._service.metrics, self._service.access_log
        if observer in ours or isinstance(observer, ContainedObserver):
            return observer
        contained = now.registry.account("observer", type(observer).__name__, "the gateway", observer, ours=False)
        return ContainedObserver(observer, contained)

    # -- what is left

    def discard(self, now: Generation) -> None:
        """Close what was made for a configuration that will not run."""
        running = self._service.now
        self._close(now, [] if running is now else [running])  # a first one fails alone

    def close_left(self, old: Generation) -> None:
        """Close what only ``old`` had: nobody uses it any more."""
        self._close(old, [self._service.now])

    def _close(self, old: Generation, others: Sequence[Generation]) -> None:
        others = [*others, *self._service.reloading.leaving]
        strategies, accounts = old.left_over(others)
        self._service.accounts.close(accounts)
        close_all(strategies)
        old.registry.retired([other.registry for other in others])
