"""What is done with strategies that fail or take their time: one mechanism for all kinds of them.

One request pays, the log has it under the strategy's name and is not flooded, everything is counted, and a strategy
that fails again and again is switched off for a while.  What then happens instead is in `INSTEAD`.

The strategies of the gateway itself are called directly: they are not measured and never switched off, so that a call
costs nothing more.  What they raise is contained and counted as with all others.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.errors import PluginFailed, PluginOff
from gateway.strategies.blame import brief, text_of

if TYPE_CHECKING:
    from gateway.config.model import Limits

__all__ = ["INSTEAD", "Accounts", "Containment", "Terms", "as_exception"]

INSTEAD: Final[Mapping[str, str]] = {
    "router": "its requests get 500",
    "middleware": "its requests get 500, or go on without it where it is optional",
    "selector": "round robin chooses",
    "probe strategy": "what it probes is unhealthy",
    "observer": "it is not told anything",
    "message filter": "its new sessions are closed with 1011",
    "discovery": "the last good members stay",
}
"""What happens while a strategy is switched off, by the word for its kind."""

_FRAMES = 5
_MOST_TEXT = 4000
_MOST_MESSAGE = 200
_EVERY = 100
_QUIET = 60.0
_OURS = "gateway"
_WAITS = (CoroutineType, Deferred)


class Terms(NamedTuple):
    """When a strategy is switched off; see the limits ``pluginFailures``, ``pluginPause`` and ``pluginBudget``."""

    failures: int = 20
    pause: float = 30.0
    budget: float = 0.1

    @classmethod
    def of(cls, limits: Limits) -> Terms:
        """Those that a configuration says."""
        return cls(limits.plugin_failures, limits.plugin_pause, limits.plugin_budget)


class Containment:
    """The account of one strategy in one place.

    ``kind`` is the word for what it is, ``name`` what the configuration calls it, ``where`` where it is used.
    ``ours``: it is the gateway's own.  ``package``: the first part of the name of its module, whose frames of a
    traceback are shown.

    ``calls``, ``seconds`` and ``exceeded`` (calls over the budget) are only counted for others than ours, ``failures``
    for all.  ``run``: failures since the last success.  ``off``: it is switched off.  ``terms`` and ``where`` become
    others with a configuration that keeps the strategy.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        where: str = "",
        *,
        log: Logger | None = None,
        terms: Terms = Terms(),  # noqa: B008  # immutable
        ours: bool = True,
        package: str = "",
        seconds: Callable[[], float] = time.monotonic,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.kind = kind
        self.name = name
        self.ours = ours
        self.where = where
        self.calls = self.failures = self.exceeded = self.run = 0
        self.seconds = 0.0
        self.off = False
        self._log = Logger("gateway.plugins") if log is None else log
        self.terms = terms
        self._package = package
        self._now = seconds
        self._timer = timer
        self._until = self._quiet_until = 0.0

    @property
    def subject(self) -> str:
        """What it is, for the log."""
        return f"{self.kind} {self.name!r} of {self.where}" if self.where else f"{self.kind} {self.name!r}"

    # -- what came of a call

    def failed(self, error: BaseException) -> PluginFailed:
        """Count ``error``, log the first and then every hundredth; return the exception to raise instead."""
        self.failures += 1
        self.run += 1
        kind, text = type(error).__name__, text_of(error)[:_MOST_MESSAGE]
        if self.failures % _EVERY == 1:
            self._log.error(
                "{subject} failed ({failures} so far): {kind}\n{trace}",
                subject=self.subject,
                failures=self.failures,
                kind=kind,
                trace=_trimmed(error, self._package),
            )
        if not self.ours and 0 < self.terms.failures <= self.run:
            self._switch_off()
        return PluginFailed(f"{self.subject} failed: {kind}: {text}")

    def succeeded(self) -> None:
        """A call came to a good end."""
        self.run = 0
        if self.off:
            self.off = False
            self._log.info("{subject} works again", subject=self.subject)

    def _switch_off(self) -> None:
        self._until = self._now() + self.terms.pause
        if self.off:
            return
        self.off = True
        self._log.error(
            "{subject} is switched off after {run} failures in a row: {instead}. It is tried again every {pause:g} s",
            subject=self.subject,
            run=self.run,
            instead=INSTEAD.get(self.kind, "it is not called"),
            pause=self.terms.pause,
        )

    def admits(self) -> bool:
        """Whether it may be called although it is ``off``: once after each pause, to see how it does."""
        if self._now() < self._until:
            return False
        self._until = self._now() + self.terms.pause
        return True

    def refusal(self) -> PluginOff:
        """What to raise where it is off and nothing can be done instead."""
        return PluginOff(f"{self.subject} is switched off after {self.run} failures in a row")

    # -- calls

    def guard(
        self,
        call: Callable[..., Any],
        instead: Callable[..., Any] | None = None,
        valid: Callable[..., bool] | None = None,
    ) -> Callable[..., Any]:
        """``call``, which is `measured` or `immediate`, with all this around it; itself, if it is ours.

        While it is off ``instead`` is called, or `PluginOff` raised.  ``valid(result, *args)`` says that the call was a
        success; where the result has to be looked at longer the caller says `succeeded`.  Whoever catches what it
        raises says `failed`.
        """
        if self.ours:
            return call

        def guarded(*args: Any) -> Any:
            if self.off and not self.admits():
                if instead is None:
                    raise self.refusal()
                return instead(*args)
            result = call(*args)
            if valid is not None and valid(result, *args):
                self.succeeded()
            return result

        return guarded

    def measured(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, its time measured; itself, if it is ours. A coroutine is run, each of its steps measured."""
        return self._called(function, self._run)

    def immediate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for what nobody waits for: a coroutine or a Deferred is given up, and a failure."""
        return self._called(function, partial(_refuse, getattr(function, "__name__", "the call")))

    def _called(self, function: Callable[..., Any], awaited: Callable[[Any], Any]) -> Callable[..., Any]:
        if self.ours:
            return function

        def called(*args: Any) -> Any:
            self.calls += 1
            began = self._timer()
            try:
                result = function(*args)
            except Exception:
                raise
            except BaseException as error:
                raise as_exception(error) from None
            finally:
                self.spent(self._timer() - began)
            return awaited(result) if isinstance(result, _WAITS) else result

        return called

    def _run(self, found: Any) -> Deferred[Any]:
        return found if isinstance(found, Deferred) else Deferred.fromCoroutine(self._steps(found))

    def _steps(self, coroutine: Any) -> Generator[Any, Any, Any]:
        step, value = coroutine.send, None
        while True:
            began = self._timer()
            try:
                awaited = step(value)
            except StopIteration as stop:
                return stop.value
            except Exception:
                raise
            except BaseException as error:
                raise as_exception(error) from None
            finally:
                self.spent(self._timer() - began)
            try:
                value = yield awaited
                step = coroutine.send
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                value, step = error, coroutine.throw

    def spent(self, seconds: float) -> None:
        """A call has kept everything else waiting for so long."""
        self.seconds += seconds
        if seconds <= self.terms.budget:
            return
        self.exceeded += 1
        now = self._now()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            self._log.warn(
                "{subject} kept everything else waiting for {seconds:.3f} s; the budget of a call is {budget:g} s "
                "({exceeded} calls were over it so far)",
                subject=self.subject,
                seconds=seconds,
                budget=self.terms.budget,
                exceeded=self.exceeded,
            )


class Accounts:
    """The accounts of all strategies of a gateway, for the metrics.

    ``terms`` are those of accounts that are opened from now on; ``seconds`` is a monotonic clock.
    """

    def __init__(self, terms: Terms | None = None, seconds: Callable[[], float] = time.monotonic) -> None:
        self.terms = Terms() if terms is None else terms
        self._seconds = seconds
        self._all: list[Containment] = []
        self._closed: dict[tuple[str, str], Containment] = {}

    def __iter__(self) -> Iterator[Containment]:
        return iter(self._all)

    def counted(self) -> list[Containment]:
        """All, and for each kind and name one with what those have counted that are closed: sums only grow."""
        return [*self._all, *self._closed.values()]

    def open(self, kind: str, name: str, where: str, strategy: object, ours: bool) -> Containment:
        """A new account; arguments as for `Containment`."""
        module = type(strategy).__module__.partition(".")[0]
        package = "" if module == _OURS else module  # else a stranger's within one of ours
        made = Containment(
            kind, name, where, terms=self.terms, ours=ours, package=package, seconds=self._seconds
        )  # fmt: skip
        self._all.append(made)
        return made

    def close(self, accounts: Iterable[Containment]) -> None:
        """These are not used any more."""
        gone = set(map(id, accounts))
        for each in self._all:
            if id(each) in gone and (each.failures or not each.ours):
                self._add(each)
        self._all = [each for each in self._all if id(each) not in gone]

    def _add(self, gone: Containment) -> None:
        total = self._closed.setdefault((gone.kind, gone.name), Containment(gone.kind, gone.name, ours=gone.ours))
        total.ours = total.ours and gone.ours
        total.calls += gone.calls
        total.failures += gone.failures
        total.seconds += gone.seconds
        total.exceeded += gone.exceeded


def as_exception(error: BaseException | None) -> Exception:
    """What a strategy has raised, as something that costs one call.

    What is no ``Exception`` is meant to end more than that: a process, a coroutine, somebody else's task.  No strategy
    may do so to the gateway, whichever way it says it: by a raise, or by a Deferred that fails.
    """
    if isinstance(error, Exception):
        return error
    assert error is not None  # a Failure has its value
    meant = "it wanted to end the process" if isinstance(error, SystemExit) else f"it raised {brief(error)}"
    return RuntimeError(meant).with_traceback(error.__traceback__)


def _refuse(name: str, found: Any) -> None:
    """Nobody will hear what comes of ``found``, so it ends here; a coroutine has not begun yet."""
    try:
        if isinstance(found, Deferred):
            found.addErrback(lambda failure: None)
            found.cancel()
        else:
            found.close()
    except BaseException:
        pass  # it has failed already
    kind = "Deferred" if isinstance(found, Deferred) else "coroutine"
    raise TypeError(
        f"{name}() returned a {kind}, and nobody waits for one there: it has to be immediate. "
        "Begin in it what takes time, with an errback, and do not return that"
    )


def _trimmed(error: BaseException, package: str) -> str:
    """The last frames of the traceback that are the strategy's own."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not package or str(frame.f_globals.get("__name__", "")).partition(".")[0] == package
    ]
    lines = traceback.format_list(traceback.StackSummary.extract(iter(frames[-_FRAMES:]), capture_locals=False))
    return f"{''.join(lines)}{type(error).__name__}: {text_of(error)}"[:_MOST_TEXT]
