"""How a strategy behaves while it is asked, whatever it says: it is quick, changes nothing that it was handed, and does
not mix up those who ask.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import iscoroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from gateway.interfaces import IPool
from gateway.strategies.containment import Terms
from gateway.testing.cases import Case
from gateway.testing.fakes import FakeBackend, FakePool
from gateway.values import Context, Outcome, RequestHead, ResponseHead, Route
from gateway.websocket.frames import may_be_sent

__all__ = [
    "LONGEST", "asked", "begun", "check_close", "check_context", "described", "fresh", "image", "in_turns", "quick",
    "untouched",
]  # fmt: skip

LONGEST = 8 * Terms().budget
"""Seconds that a call may take here: far more than the gateway allows, for the machine may be busy."""

_MOST_REASON = 123  # bytes, RFC 6455 §5.5
_OF_A_CONTEXT = ("added", "address", "backend", "clock")
_SET_BY_MIDDLEWARE = frozenset(["client_certificate", "head", "user"])
_seconds = time.perf_counter

_BY_VALUE = (str, bytes, int, float, type(None))
_BY_PARTS = (FakeBackend, FakePool, Outcome)

_Head = TypeVar("_Head", RequestHead, ResponseHead)
_T = TypeVar("_T")


def fresh(head: _Head) -> _Head:
    """``head`` with lines and an index of its own, as the parser makes them: whoever changes them changes no other."""
    return head._replace(fields=list(head.fields), index=dict(head.index))


# -- what was handed over


def image(thing: Any) -> Any:
    """What tells by ``==`` whether ``thing`` has changed meanwhile: values with all their parts, else which object."""
    if isinstance(thing, _BY_VALUE):
        return thing
    if isinstance(thing, Mapping):
        return {name: image(value) for name, value in thing.items()}
    if isinstance(thing, (tuple, list)):
        return type(thing).__name__, [image(each) for each in thing]
    if isinstance(thing, Context):
        known = {name: value for name, value in vars(thing._outcome).items() if name not in _SET_BY_MIDDLEWARE}
        return image({**known, **{name: getattr(thing, name) for name in _OF_A_CONTEXT}})
    if isinstance(thing, _BY_PARTS):
        return {name: image(value) for name, value in vars(thing).items()}
    return type(thing).__name__, id(thing)


@contextmanager
def untouched(case: Case, *things: Any) -> Iterator[None]:
    """What is done here leaves ``things`` as they are; of a `Context` what is not for middleware to set."""
    before = [image(thing) for thing in things]
    try:
        yield
    finally:
        for thing, was in zip(things, before, strict=True):
            case.assertEqual(was, image(thing), f"it has changed the {type(thing).__name__} that it was handed")


# -- time


@contextmanager
def quick(case: Case, name: str) -> Iterator[None]:
    """What is done here keeps everybody else waiting, so it may not take long."""
    began = _seconds()
    try:
        yield
    finally:
        took = _seconds() - began
        why = f"{name}() kept everything else waiting for {took:.1f} s; the budget of a call is {Terms().budget:g} s"
        case.assertLess(took, LONGEST, why)


def asked(case: Case, method: Callable[..., Any], *arguments: Any) -> Any:
    """What ``method`` returns; it is quick, and leaves its arguments alone."""
    with untouched(case, *arguments), quick(case, _name(method)):
        return method(*arguments)


def begun(case: Case, method: Callable[..., Any], *arguments: Any) -> Any:
    """The same for what may wait for somebody: a coroutine has begun, and is a Deferred."""
    with untouched(case, *arguments), quick(case, _name(method)):
        found = method(*arguments)
        return Deferred.fromCoroutine(found) if iscoroutine(found) else found


def _name(method: Any) -> str:
    return str(getattr(method, "__name__", method))


# -- several at a time


def in_turns(case: Any, courses: Sequence[Generator[Any, None, _T]]) -> list[_T]:
    """What each of ``courses`` returns in the end, each going one step after the other.

    One that yields a Deferred goes on when that has its result, which ``case.answer`` has to bring about.
    """
    results: dict[int, _T] = {}
    going = dict(enumerate(courses))
    while going:
        waiting = False
        for number, course in list(going.items()):
            try:
                deferred = next(course)
            except StopIteration as stop:
                results[number] = stop.value
                del going[number]
            else:
                waiting = waiting or (deferred is not None and not deferred.called)
        if waiting:
            with quick(case, "answer"):
                case.answer()
    return [results[number] for number in range(len(courses))]


# -- what was decided


def described(decision: Any) -> Any:
    """A router's decision as another instance of that router would have made it: pools by their names."""
    if isinstance(decision, Route):
        pool, settings = decision.pool.name, decision.settings.name
        return decision._replace(pool=pool, settings=settings)  # type: ignore[arg-type]  # to be compared only
    return tuple([described(each) for each in decision]) if type(decision) is tuple else decision


def check_context(case: Case, context: Context) -> None:
    """What a middleware has set of it can be used."""
    route = context.route
    leads = route is None or (isinstance(route, Route) and IPool.providedBy(route.pool))
    case.assertTrue(leads, f"context.route is {route!r}, not a Route to a pool")
    case.assertIsInstance(context.user, str, "context.user")
    if context.ends_at is not None:
        case.assertIn(type(context.ends_at), (int, float), f"context.ends_at is {context.ends_at!r}")
        case.assertFalse(math.isnan(context.ends_at), "context.ends_at is no time")
    check_close(case, context.end_code, context.end_reason)


def check_close(case: Case, code: Any, reason: Any) -> None:
    """A close frame can have them."""
    case.assertIs(int, type(code), f"the close code is {code!r}")
    case.assertTrue(may_be_sent(code), f"{code} may not be sent (RFC 6455 §7.4)")
    case.assertIsInstance(reason, str, "the reason of a close")
    case.assertLessEqual(len(reason.encode()), _MOST_REASON, f"{reason[:20]!r}… is too long for a close frame")
