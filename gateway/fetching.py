"""Fetches one small page over HTTP or HTTPS, or asks a small question, bounded in time and size."""

from __future__ import annotations

from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["SECONDS", "FetchFailed", "Fetched", "Request", "fetch"]

SECONDS = 10.0


class Fetched(NamedTuple):
    """A page. ``kind``: its media type."""

    kind: str
    body: bytes


class FetchFailed(Exception):
    """The page could not be had; the text says why, for the operator."""


class Request(NamedTuple):
    """What is asked for. ``body``: posted, with its media type ``kind``; ``None`` for a GET. ``kinds``: media types of
    an answer; ``seconds``: for all of it; ``vague``: media types that say nothing of a file, taken for the first of
    ``kinds``."""

    body: bytes | None = None
    kind: str = ""
    kinds: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    seconds: float = SECONDS
    vague: tuple[str, ...] = ()


_PAGE = Request(vague=("text/plain", "application/octet-stream", "binary/octet-stream"))
"""Places that keep files often do not know what is in them: source repositories say ``text/plain``, blob stores
``application/octet-stream`` of what was uploaded without a type."""


def fetch(reactor: Any, url: str, most: int, wanted: Request = _PAGE) -> Deferred[Fetched]:
    """What is at ``url``: an answer 200 of one of the media types, with at most ``most`` bytes.

    Redirects are not followed: what has moved gets its new URL in the configuration.  Fails with `FetchFailed`.
    """
    fetching = Deferred.fromCoroutine(_fetch(reactor, url, most, wanted))
    return fetching.addTimeout(wanted.seconds, reactor).addErrback(_say, wanted.seconds)


async def _fetch(reactor: Any, url: str, most: int, wanted: Request) -> Fetched:
    agent = Agent(reactor, connectTimeout=wanted.seconds)
    headers = Headers({"User-Agent": ["gateway"], "Accept": [wanted.kinds[0]]})
    sent = None
    if wanted.body is not None:
        headers.addRawHeader("Content-Type", wanted.kind)
        sent = _Body(wanted.body)
    method = b"GET" if sent is None else b"POST"
    response: Any = await agent.request(method, url.encode("ascii", "strict"), headers, sent)
    collector = _Collector(most)
    try:
        if response.code != 200:
            moved = response.headers.getRawHeaders("location", [""])[0]
            raise FetchFailed(f"status {response.code}" + (f", it has moved to {moved[:200]}" if moved else ""))
        kind = response.headers.getRawHeaders("content-type", [wanted.kinds[0]])[0]
        media, semicolon, parameters = kind.partition(";")
        if media.strip().lower() in wanted.vague or not media.strip():
            kind = wanted.kinds[0] + semicolon + parameters
        if not kind.lower().startswith(wanted.kinds):
            raise FetchFailed(f"it is {kind[:100]!r}, not {wanted.kinds[0]}")
    except FetchFailed:
        response.deliverBody(_Refuser())
        raise
    response.deliverBody(collector)
    body = await collector.done
    if not body.strip():
        raise FetchFailed("it is empty")
    return Fetched(kind, body)


def _say(failure: Failure, seconds: float) -> Any:
    error = failure.value
    if failure.check(ResponseNeverReceived, ResponseFailed) and error.reasons:  # type: ignore[union-attr]
        error = error.reasons[0].value  # type: ignore[union-attr]
    if isinstance(error, FetchFailed):
        raise error
    if isinstance(error, CancelledError):
        raise error
    if isinstance(error, TwistedTimeout):
        raise FetchFailed(f"no answer within {seconds:g} s")
    if isinstance(error, DNSLookupError):
        raise FetchFailed("its host is not known")
    if isinstance(error, (ConnectError, OSError)):
        raise FetchFailed(str(error))
    raise FetchFailed(f"{type(error).__name__}: {error}"[:300])


@implementer(IBodyProducer)
class _Body:
    """The body of a question, in one piece."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Everything has been said."""

    def resumeProducing(self) -> None:
        """Everything has been said."""

    def stopProducing(self) -> None:
        """Everything has been said."""


class _Refuser(Protocol):
    """Ends the connection of an answer that is of no use."""

    def connectionMade(self) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]


class _Collector(Protocol):
    """Collects a body up to a limit. ``done``: a Deferred of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._body = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self._abort())

    def dataReceived(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._most:
            self._end(Failure(FetchFailed(f"it has more than {self._most} bytes")))
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ResponseDone, PotentialDataLoss):
            self._end(bytes(self._body))
        else:
            self._end(Failure(FetchFailed("the answer is incomplete")))

    def _end(self, result: Any) -> None:
        if not self.done.called:
            self.done.callback(result)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
