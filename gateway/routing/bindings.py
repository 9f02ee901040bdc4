"""Bound ports: listeners that share an address and a port are one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.config.model import Gateway, HttpListener

__all__ = ["Binding", "bindings"]


class Binding(NamedTuple):
    """One port to bind.

    ``address``: empty for all.  ``protocol``: ``Http``, ``Https``, ``Tcp`` or ``Tls``.
    ``listener``: the name of the first listener, which stands for the port (`IRouter.route`).  ``listeners``: all of
    them, in the order configured.
    """

    address: str
    port: int
    protocol: str
    listener: str
    listeners: tuple[HttpListener, ...]

    @property
    def secure(self) -> bool:
        """It speaks TLS."""
        return self.listeners[0].secure

    @property
    def layer4(self) -> bool:
        """It passes connections on, not requests."""
        return self.listeners[0].layer4


def bindings(model: Gateway) -> list[Binding]:
    """The ports that ``model`` needs, in the order of their first listeners.

    Each listener on port 0 (any free port) has a port of its own.
    """
    groups: dict[tuple[str, int, str], list[HttpListener]] = {}
    for listener in model.listeners:
        alone = "" if listener.port else listener.name
        groups.setdefault((listener.address, listener.port, alone), []).append(listener)
    return [
        Binding(first.address, first.port, first.protocol, first.name, (first, *others))
        for first, *others in groups.values()
    ]
