"""Requests of a listener that wants certificates of its clients: who has none that counts gets 400.

The handshake lets everybody through, as that of an Application Gateway does; the answer is in HTTP.  It is asked for
each request, for the handshake only knows the server name of SNI, and a request may name another host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from gateway.errors import CertificateRefused, Misdirected
from gateway.interfaces import IMiddleware
from gateway.listener.revocation import RevocationGate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.defer import Deferred

    from gateway.config.model import Gateway
    from gateway.listener.revocation import Revocations
    from gateway.listener.terms import Terms
    from gateway.strategies.places import Place
    from gateway.values import Context, RequestHead

__all__ = ["CertificateGate", "gates"]


@implementer(IMiddleware)
class CertificateGate:
    """Lets requests pass whose client has shown a certificate that the authorities of ``profile`` have issued."""

    traffic = frozenset({"http", "upgrade"})

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def request(self, head: RequestHead, context: Context) -> Deferred[None] | None:
        """Raises `Misdirected` where the handshake was another listener's, `CertificateRefused` without a good one."""
        shown = context.client_certificate
        if shown is None or shown.profile != self._profile:
            raise Misdirected("the handshake was that of a listener with other rules for certificates")
        if shown.verdict != "SUCCESS":
            why = shown.verdict.removeprefix("FAILED:")
            raise CertificateRefused(
                "the client shows no certificate" if why == "NONE" else f"the client certificate does not count: {why}"
            )
        return None

    def response(self, head: object, context: Context) -> None:
        """Nothing to do."""

    def body(self, head: object, context: Context) -> None:
        """Nothing to do."""


def gates(
    gateway: Gateway, terms: Mapping[str, Terms], revocations: Revocations
) -> dict[Place, tuple[IMiddleware, ...]]:
    """The gates of each listener whose profile is strict, by its place."""
    made: dict[Place, tuple[IMiddleware, ...]] = {}
    for listener in gateway.listeners:
        authorities = terms[listener.name].authorities
        if authorities is not None and authorities.strict:
            gate = CertificateGate(authorities.profile)
            more = (RevocationGate(revocations),) if authorities.revocation else ()
            made["listener", listener.name] = (gate, *more)
    return made
