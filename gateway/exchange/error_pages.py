"""Pages of the operator's own for errors that the gateway makes (reference §2.5).

Files are read when the gateway is built; pages of URLs are fetched once after the start and are not there before.
Where there is no page, or not yet, the gateway's own is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gateway.errors import Problem
from gateway.fetching import Fetched, FetchFailed, fetch
from gateway.http.forwarding import error_reply
from gateway.routing.bindings import bindings

if TYPE_CHECKING:
    from gateway.config.model import ErrorPage, Gateway
    from gateway.values import Reply, Route

__all__ = ["MOST_BYTES", "ErrorPages", "check_error_pages"]

MOST_BYTES = 1 << 20
_HTML = "text/html"
_log = Logger("gateway")


def check_error_pages(gateway: Gateway) -> list[Problem]:
    """What is wrong with the files, with paths in the model's spelling."""
    problems = []
    for path, _, page in _all(gateway):
        if page.file is not None:
            try:
                _read(page.file)
            except (OSError, ValueError) as error:
                problems.append(Problem(f"{path}.file", f"cannot use {page.file!r}: {_reason(error)}"))
    return problems


class ErrorPages:
    """Makes the answers to errors. ``fetching``: what `fetch_all` has begun, one Deferred for each URL."""

    def __init__(self, gateway: Gateway) -> None:
        self._pages: dict[tuple[str, int], Fetched] = {}
        self._wanted: dict[str, list[tuple[str, int]]] = {}
        self.fetching: list[Deferred[None]] = []
        # Before a route is known, only a listener that has its port for itself can be the one that was meant.
        self._alone = {port.listener for port in bindings(gateway) if len(port.listeners) == 1}
        for _, listener, page in _all(gateway):
            key = listener, int(page.status)
            if page.url is not None:
                self._wanted.setdefault(page.url, []).append(key)
            elif page.file is not None:
                try:
                    self._pages[key] = Fetched(_HTML, _read(page.file))
                except (OSError, ValueError) as error:
                    _log.warn("error page {file} cannot be used: {reason}", file=page.file, reason=_reason(error))

    def remember(self, before: ErrorPages) -> None:
        """Until they are fetched again, pages of URLs are what the ones before had fetched."""
        fetched = {
            url: before._pages[key] for url, keys in before._wanted.items() for key in keys if key in before._pages
        }
        for url, keys in self._wanted.items():
            if url in fetched:
                self._pages.update(dict.fromkeys(keys, fetched[url]))

    def reply(self, status: int, port: str, route: Route | None, advice: str = "") -> Reply:
        """The answer to an error.

        ``port``: name of the bound port's first listener; ``route``: if it is known; ``advice``: a sentence for the
        gateway's own page.
        """
        reply = error_reply(status, advice)
        if not self._pages:
            return reply
        listener = route.listener if route is not None else port if port in self._alone else ""
        page = self._pages.get((listener, status)) or self._pages.get(("", status))
        if page is None:
            return reply
        return reply._replace(fields=(("Content-Type", page.kind),), body=page.body)

    def fetch_all(self, reactor: Any, get: Callable[[Any, str, int], Deferred[Fetched]] = fetch) -> None:
        """Begin to fetch the pages of URLs, each once. A failure is logged with the URL and what it was for."""
        for url, keys in self._wanted.items():
            fetching = Deferred.fromCoroutine(self._fetch(get(reactor, url, MOST_BYTES), url, keys))
            self.fetching.append(fetching)

    def stop(self) -> None:
        """Give up what is still being fetched."""
        for fetching in self.fetching:
            fetching.cancel()

    async def _fetch(self, page: Deferred[Fetched], url: str, keys: list[tuple[str, int]]) -> None:
        try:
            self._pages.update(dict.fromkeys(keys, await page))
        except CancelledError:
            pass
        except FetchFailed as error:
            statuses = ", ".join([f"{status} of {listener or 'the gateway'}" for listener, status in keys])
            _log.warn(
                "the error page {url} ({statuses}) cannot be used, the gateway's own is sent: {reason}",
                url=url, statuses=statuses, reason=str(error),
            )  # fmt: skip
        except Exception:
            _log.failure("fetching the error page {url} failed", url=url)


def _all(gateway: Gateway) -> Iterator[tuple[str, str, ErrorPage]]:
    """Path, name of the listener (empty: all of them) and page."""
    for number, page in enumerate(gateway.error_pages):
        yield f"errorPages[{number}]", "", page
    for index, listener in enumerate(gateway.listeners):
        for number, page in enumerate(listener.error_pages):
            yield f"listeners[{index}].errorPages[{number}]", listener.name, page


def _read(name: str) -> bytes:
    with open(name, "rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    if not content.strip():
        raise ValueError("it is empty")
    return content


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
