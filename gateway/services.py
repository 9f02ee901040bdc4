"""What strategies are built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from random import Random

    from gateway.assembly import Place
    from gateway.config.model import BackendSettings, Gateway, Probe, Strategy
    from gateway.interfaces import IMiddleware, IPool, IRoad
    from gateway.websocket.filtering import NamedFilter

__all__ = ["Options", "Services"]


class Options(BaseModel):
    """For options of strategies: spelled in camel case as the rest of a configuration, and unknown ones are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Services(NamedTuple):
    """Passed to `IStrategyFactory.build`.

    ``clock`` (``IReactorTime``), ``reactor``, ``random`` and ``secret`` are always there; ``secret`` are random bytes,
    the same in all processes of a gateway and at each reload, until it stops.  Selectors also get ``model``, ``pool``
    (its name) and ``settings``; discoveries ``model`` and ``pool``; routers ``model``, ``pools`` (by pool name and
    settings name), ``middleware`` and ``filters`` (see `gateway.assembly`); middleware gets ``model``; probes get
    ``road``, ``tls_for``, ``probe`` and ``settings``.

    ``make(name, value)`` builds the strategy that an option of one's own names: ``name`` is the attribute of the
    options class, whose type is ``Annotated[Strategy, group]``, and ``value`` what it holds.  Such options are checked
    together with the rest, at any depth.

    ``tls_for(settings, probe, member_host)`` makes the `gateway.transport.tls.ClientTLS` for a probe of that member,
    and raises `gateway.errors.BackendTLSFailed` where that cannot be done; `gateway.upstream.tls.probe_tls` with the
    trusted roots bound is one.
    """

    clock: Any
    reactor: Any
    random: Random
    secret: bytes = b""
    model: Gateway | None = None
    pools: Mapping[tuple[str, str], IPool] = {}
    middleware: Mapping[Place, tuple[IMiddleware, ...]] = {}
    filters: Mapping[Place, tuple[NamedFilter, ...]] = {}
    road: IRoad | None = None
    tls_for: Callable[[BackendSettings, Probe, str], Any] | None = None
    probe: Probe | None = None
    settings: BackendSettings | None = None
    pool: str = ""
    make: Callable[[str, Strategy], Any] | None = None
