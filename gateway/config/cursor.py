"""Walks an ARM document lazily: a `Cursor` is one value, where it stands, and the scope its expressions are read in.

Only what is asked for is evaluated, so an expression in a part the gateway does not use cannot stop it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gateway.config.evaluator import Scope
from gateway.config.expressions import ExpressionError, ExpressionLimit, UnknownValue, is_expression, short
from gateway.config.lazy import Later, Turns, View
from gateway.config.tree import Place, is_secret, line_of, show
from gateway.errors import Problem

__all__ = ["Cursor"]

_MAX_ITEMS = 5000
_SHALLOW = ("@{", "Microsoft.Azure.Commands.", "System.Collections.")
"""How text begins that PowerShell prints instead of an object."""
_HARMLESS = re.compile(r"\[\s*(?:parameters|variables)\(\s*'[^']*'\s*\)\s*\]")


class Cursor:
    """One value of an ARM document. ``scope`` is ``None`` where everything has been evaluated.

    What is not known (`UnknownValue`) is reported with the severity ``unknown``, for the reader to decide what becomes
    of it; ``unknown`` is then the name of what is not known.
    """

    __slots__ = ("_naming", "_opened", "_origin", "_raw", "_scope", "place", "problems", "unknown")

    def __init__(self, raw: Any, scope: Scope | None, place: Place, problems: list[Problem]) -> None:
        self._raw = raw
        self._scope = scope
        self._origin = (raw, scope)
        self.unknown = ""
        self._opened = False
        self._naming = False
        self.place = place
        self.problems = problems

    def fail(self, message: str, severity: str = "error") -> None:
        self.problems.append(self.place.problem(message, severity))

    def quiet(self) -> Cursor:
        """The same value, but what goes wrong is not reported."""
        return Cursor(self._raw, self._scope, self.place, [])

    def text(self) -> str:
        """What stands in the document, unevaluated; a sign for what does not stand there by itself."""
        return self._raw if isinstance(self._raw, str) else "[…]" if isinstance(self._raw, Later) else ""

    def name(self) -> Any:
        """The value, of which only its being the same elsewhere matters: a name, or the id of an object."""
        if not self._opened and self._scope is not None and isinstance(self._raw, (str, Later)):
            self._naming = True
        return self.value()

    def _within(self, work: Callable[[], Any]) -> Any:
        """Evaluate something; what asks for too much is known by this place."""
        try:
            return work()
        except ExpressionLimit as error:
            error.place = error.place or self.place
            raise

    def peek(self) -> Any:
        """This value, evaluated, but not what is in it. Errors are reported and give ``None``."""
        if self._opened:
            return self._raw
        self._opened = True
        raw, scope = self._raw, self._scope
        if scope is None or not isinstance(raw, (str, Later)):
            return raw
        shown = self._shown(raw) if isinstance(raw, str) else ""
        if isinstance(raw, str) and is_expression(raw):
            self.place = self.place._replace(note=f" (from {shown})")
        try:
            value = self._within(partial(self._named if self._naming else scope.look, raw))
        except ExpressionError as error:
            at = f" (in {shown})" if shown else self.place.note.replace(" (from ", " (in ", 1)
            self.place = self.place._replace(note="")
            self._report(error, at)
            value = None
        if isinstance(value, View):
            self._raw = value.node
            self._scope = None if isinstance(value.node, Turns) else value.scope
        else:
            self._raw, self._scope = value, None
            if self.place.path.rpartition(".")[2].casefold() in ("data", "password"):
                scope.shared.keep_secret(value)
        return self._raw

    def _named(self, raw: Any) -> Any:
        assert self._scope is not None
        try:
            return self._scope.name_of(raw)
        except ExpressionError:  # a stand-in does not fit there; what is wrong is said without
            return self._scope.look(raw)

    def _report(self, error: ExpressionError, at: str = "") -> None:
        if isinstance(error, UnknownValue):
            self.unknown = error.what
        self.fail(f"{error}{at}", "unknown" if isinstance(error, UnknownValue) else "error")

    def stand_in(self) -> str:
        """A text that stands for this value, which is not known: always the same for the same expression."""
        try:
            made = self._origin[1].name_of(self._origin[0]) if self._origin[1] is not None else ""
        except ExpressionError:
            made = ""
        return made if isinstance(made, str) and made else self.unknown

    def _shown(self, expression: str) -> str:
        """An expression for a message; for a secret only if there can be none in it."""
        secret = is_secret(self.place.path.rpartition(".")[2])
        return "an expression" if secret and not _HARMLESS.fullmatch(expression) else short(expression)

    def value(self) -> Any:
        """The value, evaluated through and through; ``None`` for null and where it cannot be evaluated."""
        raw = self.peek()
        try:
            if self._scope is None:
                return self._within(raw.resolve) if isinstance(raw, Turns) else raw
            return self._within(partial(self._scope.resolve, raw))
        except ExpressionError as error:
            self._report(error)
            return None

    def is_empty(self) -> bool:
        """Whether this is null, false or an empty collection, as far as can be seen; unknown counts as not empty."""
        value = self._raw
        if self._scope is not None and isinstance(value, (str, Later)) and not self._opened:
            try:
                value = self._within(partial(self._scope.look, value))
            except ExpressionError:
                return False
        if isinstance(value, View):
            return not value.node
        return value in (None, "", [], {}, False)

    def members(self) -> dict[str, Cursor]:
        """The members of a mapping under their lower-case names, each knowing how the document spells it."""
        raw = self.peek()
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            shallow = isinstance(raw, str) and raw.startswith(_SHALLOW)
            hint = "; PowerShell has left out what is in it, export with 'ConvertTo-Json -Depth 20'" if shallow else ""
            self.fail(f"found {show(raw)}, expected a mapping{hint}")
            return {}
        try:
            entries: list[tuple[str, Any, Scope | None]] = (
                self._within(partial(self._scope.members, raw))
                if self._scope is not None
                else [(key, item, None) for key, item in raw.items()]
            )
        except ExpressionError as error:
            self._report(error)
            return {}
        result = {}
        for key, item, scope in entries:
            child = Cursor(
                item,
                None if isinstance(item, Turns) else scope,
                self.place.child(key, line_of(raw, key) if key in raw else getattr(item, "line", None)),
                self.problems,
            )
            result[str(key).casefold()] = child
        return result

    def items(self) -> Iterator[Cursor]:
        """The items of a sequence."""
        raw = self.peek()
        if raw is None:
            return
        if not isinstance(raw, list):
            if raw != "[]":
                self.fail(f"found {show(raw)}, expected a list")
            return
        if len(raw) > _MAX_ITEMS:
            self.fail(f"found {show(raw)}; at most {_MAX_ITEMS} are allowed")
            return
        for index, item in enumerate(raw):
            scope = self._scope
            if isinstance(raw, Turns):
                item, scope = item
            yield Cursor(item, scope, self.place.item(index, line_of(raw, index)), self.problems)
