"""What strategies are built with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from twisted.plugin import IPlugin
from zope.interface import alsoProvides, implementer

from gateway.interfaces import IStrategyFactory

if TYPE_CHECKING:
    from random import Random

    from gateway.config.model import BackendSettings, Gateway, Probe, Rule, Strategy
    from gateway.interfaces import IRoad
    from gateway.values import RequestHead, Route

__all__ = ["Factory", "Options", "Services"]


class Options(BaseModel):
    """For options of strategies: spelled in camel case as the rest of a configuration, and unknown ones are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


@implementer(IStrategyFactory)
class Factory:
    """A factory that calls ``make(options, services)``, which may be the strategy's class.

    ``group``, ``gateway.selectors`` say, is for drop-ins (see `gateway.plugins`): where there are entry points, they
    name it.
    """

    def __init__(
        self, name: str, options: type[BaseModel] | None, make: Callable[[Any, Any], Any], group: str | None = None
    ) -> None:
        self.name = name
        self.options = options
        self._make = make
        self.__module__ = make.__module__  # a drop-in's own, if it is made there, also without a group
        if group is not None:
            self.group = group
            alsoProvides(self, IPlugin)

    def build(self, options: Any, services: Any) -> Any:
        """See `IStrategyFactory.build`."""
        return self._make(options, services)


class Services(NamedTuple):
    """Passed to `IStrategyFactory.build`.

    ``clock`` (``IReactorTime``), ``reactor``, ``random`` and ``secret`` are always there; ``secret`` are random bytes,
    the same in all processes of a gateway and at each reload, until it stops.  Selectors also get ``model``, ``pool``
    (its name) and ``settings``; discoveries ``model``, ``pool`` and ``road``; routers ``model``, ``rule``, ``target``
    and ``otherwise``; middleware and observers ``model``; probes ``road``, ``tls_for``, ``probe`` and ``settings``.
    What a kind does not get is ``None``.

    ``make(name, value)`` builds the strategy that an option of one's own names: ``name`` is the attribute of the
    options class, whose type is ``Annotated[Strategy, group]``, and ``value`` what it holds.  Such options are checked
    together with the rest, at any depth.  Call it in ``build``, so that what cannot be built refuses the start.  A
    selector, which is asked in the reactor's thread, may call it later as well: what it gives is closed together with
    the selector.  It raises `gateway.errors.ConfigurationError`.

    ``target(pool, settings=None, *, matched="", name="")`` gives the `gateway.values.Route` to a pool, which is leased
    from, probed and listed from then on.  Call it in ``build``: later it only gives what it gave before.  ``settings``
    are those of the rule if not said; ``matched`` and ``name`` become `Route.matched` and `Route.path_rule`.  Raises
    ``ValueError`` where there is no such pool, or are no such settings.

    ``otherwise(head)`` gives what the rule does with a request without a router; raises `gateway.errors.NoRoute` where
    it does nothing.

    ``tls_for(settings, probe, member_host)`` makes the `gateway.transport.tls.ClientTLS` for a probe of that member,
    and raises `gateway.errors.BackendTLSFailed` where that cannot be done; `gateway.upstream.tls.probe_tls` with the
    trusted roots bound is one.
    """

    clock: Any
    reactor: Any
    random: Random
    secret: bytes = b""
    # Not optional for those who have them, so that a checker of types does not ask authors to look first.
    model: Gateway = None  # type: ignore[assignment]
    rule: Rule = None  # type: ignore[assignment]
    target: Callable[..., Route] = None  # type: ignore[assignment]
    otherwise: Callable[[RequestHead], Any] = None  # type: ignore[assignment]
    road: IRoad = None  # type: ignore[assignment]
    tls_for: Callable[[BackendSettings, Probe, str], Any] = None  # type: ignore[assignment]
    probe: Probe = None  # type: ignore[assignment]
    settings: BackendSettings = None  # type: ignore[assignment]
    pool: str = ""
    make: Callable[[str, Strategy], Any] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Without what is secret, and without whole configurations: it ends up in logs."""
        return f"Services(pool={self.pool!r}, rule={self.rule and self.rule.name!r}, ...)"
