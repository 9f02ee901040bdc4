"""Certificates of clients that may have been revoked: their authority is asked (``verifyClientRevocation: OCSP``).

It is asked once for all requests that come with a certificate, and again when its answer is out of date.  What is not
known counts as revoked: a client that could keep the authority from being asked would be let in otherwise.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import CertificateRefused
from gateway.fetching import Fetched, FetchFailed, Request, fetch
from gateway.interfaces import IMiddleware
from gateway.listener.ocsp import ANSWER_TYPE, QUESTION_TYPE, Answer, NoAnswer, judged, question, responder

if TYPE_CHECKING:
    from cryptography import x509

    from gateway.transport.tls import ClientCertificate
    from gateway.values import Context, RequestHead

__all__ = ["RevocationGate", "Revocations"]

_MOST_ANSWERS = 4096
_MOST_ASKED = 64
_MOST_BYTES = 65536
_SECONDS = 5.0
_AGAIN = 10.0
"""Seconds after which an authority is asked again that did not answer."""
_NONCE = 32

_log = Logger("gateway")


class _Known(NamedTuple):
    """``reason``: why the client is refused, if it is; ``until``: monotonic seconds."""

    reason: str
    until: float


class Revocations:
    """What authorities have said, for all gates of a gateway.

    ``seconds`` gives monotonic seconds, ``now`` the aware wall time; ``get`` is `gateway.fetching.fetch`.
    """

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        get: Callable[..., Deferred[Fetched]] = fetch,
    ) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._now = now
        self._get = get
        self._known: OrderedDict[x509.Certificate, _Known] = OrderedDict()
        self._asked: dict[x509.Certificate, tuple[Deferred[Any], list[Deferred[str]]]] = {}

    def reason(self, certificate: x509.Certificate, issuer: x509.Certificate | None) -> str | Deferred[str]:
        """Why a certificate does not count, or an empty text; or a Deferred of that, which can be cancelled.

        ``issuer``: the authority's certificate that it was verified with.
        """
        known = self._known.get(certificate)
        if known is not None and self._seconds() < known.until:
            return known.reason
        if certificate not in self._asked:
            if len(self._asked) >= _MOST_ASKED:
                return "too many authorities are being asked at the moment"
            asking = Deferred.fromCoroutine(self._settle(certificate, issuer))
            if asking.called:
                settled: list[str] = []
                asking.addCallback(settled.append)
                return settled[0]
            self._asked[certificate] = asking, []
            asking.addCallback(self._tell, certificate)
        waiting = self._asked[certificate][1]
        answer: Deferred[str] = Deferred(waiting.remove)  # who leaves does not stop it for the others
        waiting.append(answer)
        return answer

    def close(self) -> None:
        """Give up what is being asked."""
        for asking, _ in list(self._asked.values()):
            asking.cancel()

    def _tell(self, reason: str, certificate: x509.Certificate) -> None:
        for answer in self._asked.pop(certificate)[1]:
            answer.callback(reason)

    async def _settle(self, certificate: x509.Certificate, issuer: x509.Certificate | None) -> str:
        """Ask, and remember what came of it. Never raises."""
        try:
            answer = await self._ask(certificate, issuer)
        except (Exception, CancelledError) as error:
            reason, seconds = "it is not known whether it was revoked", _AGAIN
            if not isinstance(error, (NoAnswer, CancelledError)):
                _log.failure("asking whether a certificate was revoked failed", Failure(error))
            _log.warn(
                "the authority of client certificate {serial} of {issuer} cannot say whether it was revoked, "
                "so that it does not count: {why}",
                serial=f"{certificate.serial_number:X}",
                issuer=certificate.issuer.rfc4514_string()[:200],
                why=str(error) or type(error).__name__,
            )
        else:
            reason = answer.reason
            seconds = (answer.until - self._now()).total_seconds() if answer.until is not None else 0.0
        self._keep(certificate, _Known(reason, self._seconds() + seconds))
        return reason

    async def _ask(self, certificate: x509.Certificate, issuer: x509.Certificate | None) -> Answer:
        if issuer is None:
            raise NoAnswer("its issuer is not known")
        url, nonce = responder(certificate), os.urandom(_NONCE)
        wanted = Request(question(certificate, issuer, nonce), QUESTION_TYPE, (ANSWER_TYPE,), _SECONDS)
        try:
            found = await self._get(self._reactor, url, _MOST_BYTES, wanted)
        except FetchFailed as error:
            raise NoAnswer(f"{url[:200]}: {error}") from None
        return judged(found.body, certificate, issuer, nonce, self._now())

    def _keep(self, certificate: x509.Certificate, known: _Known) -> None:
        self._known[certificate] = known
        self._known.move_to_end(certificate)
        while len(self._known) > _MOST_ANSWERS:
            self._known.popitem(last=False)


@implementer(IMiddleware)
class RevocationGate:
    """Comes behind a `gateway.listener.client_certificates.CertificateGate` and lets pass whose certificate is good."""

    traffic = frozenset({"http", "upgrade"})

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations

    def request(self, head: RequestHead, context: Context) -> Deferred[None] | None:
        """Raises `CertificateRefused`, or the Deferred fails with it."""
        shown = context.client_certificate
        if shown is None or shown.certificate is None:
            raise CertificateRefused("the client shows no certificate")
        reason = self._revocations.reason(shown.certificate, shown.issuer)
        if isinstance(reason, Deferred):
            return reason.addCallback(_decide, context, shown)
        _decide(reason, context, shown)
        return None

    def response(self, head: object, context: Context) -> None:
        """Nothing to do."""

    def body(self, head: object, context: Context) -> None:
        """Nothing to do."""


def _decide(reason: str, context: Context, shown: ClientCertificate) -> None:
    if reason:
        context.client_certificate = shown._replace(verdict=f"FAILED:{reason}")
        raise CertificateRefused(f"the client certificate does not count: {reason}")
