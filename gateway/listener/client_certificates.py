"""Requests of a listener that wants certificates of its clients: who has none that counts gets 400.

The handshake lets everybody through, as that of an Application Gateway does; the answer is in HTTP.  It is asked for
each request, for the handshake only knows the server name of SNI, and a request may name another host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from gateway.http.forwarding import error_reply
from gateway.interfaces import IMiddleware
from gateway.values import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.assembly import Place
    from gateway.config.model import Gateway
    from gateway.listener.terms import Terms
    from gateway.values import Context, RequestHead

__all__ = ["CertificateGate", "gates"]


@implementer(IMiddleware)
class CertificateGate:
    """Lets requests pass whose client has shown a certificate that the authorities of ``profile`` have issued."""

    traffic = frozenset({"http", "upgrade"})

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def request(self, head: RequestHead, context: Context) -> Reply | None:
        """421 where the handshake was another listener's (RFC 9110 §15.5.20), else 400 or ``None``."""
        shown = context.client_certificate
        if shown is None or shown.profile != self._profile:
            return error_reply(421)._replace(cause="misdirected")
        if shown.verdict == "SUCCESS":
            return None
        return error_reply(400)._replace(cause="client_certificate")

    def response(self, head: object, context: Context) -> None:
        """Nothing to do."""

    def body(self, head: object, context: Context) -> None:
        """Nothing to do."""


def gates(gateway: Gateway, terms: Mapping[str, Terms]) -> dict[Place, CertificateGate]:
    """A gate for each listener whose profile is strict, by its place."""
    return {
        ("listener", listener.name): CertificateGate(authorities.profile)
        for listener in gateway.listeners
        if (authorities := terms[listener.name].authorities) is not None and authorities.strict
    }
