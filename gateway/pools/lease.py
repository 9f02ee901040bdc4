"""The right to use one backend for one exchange or session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger
from zope.interface import implementer

from gateway.errors import BackendError
from gateway.interfaces import ILease

if TYPE_CHECKING:
    from gateway.pools.backend import Backend, Load
    from gateway.values import Outcome

__all__ = ["Lease", "TimedLease"]

_log = Logger()

_NOT_SERVED = frozenset([502, 503, 504])
"""Statuses of a backend that has not done the work: its haste is no merit."""


@implementer(ILease)
class Lease:
    """Made by `Pool.lease`, which has counted it already; `release` counts it down, once."""

    __slots__ = ("_load", "backend")

    def __init__(self, backend: Backend, load: Load) -> None:
        self.backend = backend
        self._load: Load | None = load

    def release_quietly(self) -> bool:
        """See `ILease`. HOT."""
        load = self._load
        if load is None or self.backend.witness is not None:
            return False
        self._load = None
        load.active = active = load.active - 1
        for backend in load.backends:
            backend.active = active
        return True

    def release(self, outcome: Outcome) -> None:
        """Give the backend back. HOT.

        A second call changes nothing and is logged with its stack as what it is, a bug of the gateway; under trial
        a logged failure fails the test.
        """
        load = self._load
        if load is None:
            _released_twice(self.backend)
            return
        self._load = None
        load.active = active = load.active - 1
        for backend in load.backends:
            backend.active = active
        if outcome.error is not None and isinstance(outcome.error, BackendError):
            self.backend.failures += 1
        if self.backend.witness is not None:
            self.backend.witness.ended(outcome)


class TimedLease(Lease):
    """A lease that tells `IBackend.latency` how long the backend took to answer."""

    __slots__ = ("_seconds", "_since")

    def __init__(self, seconds: Callable[[], float], backend: Backend, load: Load) -> None:
        super().__init__(backend, load)
        self._seconds = seconds
        self._since = seconds()

    def release_quietly(self) -> bool:
        """The outcome says how long it took."""
        return False

    def release(self, outcome: Outcome) -> None:
        """Give the backend back."""
        latency, responded = self.backend.latency, outcome.responded
        if latency is not None and self._load is not None:
            answered = responded is not None and responded >= self._since
            if isinstance(outcome.error, BackendError) if not answered else outcome.upstream_status in _NOT_SERVED:
                latency.failed(self._since, self._seconds())
            elif answered and responded is not None:
                latency.add(responded - self._since, responded)
        super().release(outcome)


def _released_twice(backend: Backend) -> None:
    try:
        raise RuntimeError(f"a lease of backend {backend.name} was released twice")
    except RuntimeError:
        _log.failure("a bug of the gateway: a lease of backend {backend} was released twice", backend=backend.name)
