"""The end of strategies: they may take their time, but not for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

__all__ = ["LEAST_SECONDS", "Closing"]

_log = Logger("gateway")

LEAST_SECONDS = 1.0
"""What strategies get to end in, however little is left of the time to stop."""


class Closing:
    """Waits for strategies that end. ``clock`` is an ``IReactorTime``."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._until = 0.0
        self._waits: list[Callable[[], None]] = []

    def begin(self, seconds: float) -> None:
        """The time to stop begins, and is so long."""
        self._until = self._clock.seconds() + seconds

    def wait(self, ending: Iterable[tuple[str, Deferred[Any]]]) -> Deferred[None]:
        """Fires when all of ``ending``, pairs of a name and a Deferred, have fired, or their time is over.

        Those that are not waited for are named in the log.
        """
        done: Deferred[None] = Deferred()
        left = dict(enumerate(ending))

        def ended(_: object, number: int) -> None:
            left.pop(number, None)
            if not left and not done.called:
                finish()

        def give_up() -> None:
            names = ", ".join([name for name, _ in left.values()])
            _log.warn("not waited for any longer, the time to stop is over: {names}", names=names)
            finish()

        def finish() -> None:
            self._waits.remove(give_up)
            if timer.active():
                timer.cancel()
            done.callback(None)

        timer = self._clock.callLater(max(self._until - self._clock.seconds(), LEAST_SECONDS), give_up)
        self._waits.append(give_up)
        for number, (_, each) in tuple(left.items()):
            each.addBoth(ended, number)
        if not left and not done.called:
            finish()
        return done

    def hurry(self) -> None:
        """The time to stop is over: nobody is waited for any more, and who is asked to end from here on gets little."""
        self._until = 0.0
        for give_up in tuple(self._waits):
            give_up()
