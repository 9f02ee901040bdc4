"""Values of the expression language that are not there yet, or stand for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.config.expressions import ExpressionError
from gateway.config.tree import Map, Seq, line_of, show

if TYPE_CHECKING:
    from gateway.config.evaluator import Scope

__all__ = ["Given", "Later", "StandIn", "Turns", "Unavailable", "View"]


class Given(str):
    """An override for a whole resource that is just a word: it stands for any member of that resource."""


class StandIn(str):
    """A parameter without a value, where only a name is made from it: any text does, if it is always the same."""


class View:
    """Something of the template that is evaluated only as far as it is asked for."""

    def __init__(self, node: Any, scope: Scope, label: str = "it") -> None:
        self._node = node
        self._scope = scope
        self._label = label

    def member(self, key: Any) -> Any:
        if isinstance(self._node, Map) and isinstance(key, str):
            found = self._node.find(key)
            if found is not None:
                return self._scope.shallow(self._node[found], self._label)
        if isinstance(self._node, Seq) and isinstance(key, int) and 0 <= key < len(self._node):
            return self._scope.shallow(self._node[key], self._label)
        raise ExpressionError(
            f"{show(key)} of {self._label!r} is known only in Azure; give the value with overrides 'references: "
            f"{{{self._label}: …}}'"
        )

    def full(self) -> Any:
        """Everything in it, evaluated."""
        return self._scope.resolve(self._node)


class Turns(Seq):
    """The turns of a property copy loop: (input, scope) pairs, evaluated when they are looked at."""

    __slots__ = ()

    def resolve(self) -> Seq:
        result = Seq(self.line)
        for index, (node, scope) in enumerate(self):
            result.add(scope.resolve(node), line_of(self, index))
        return result


class Unavailable:
    """A parameter that a file mentions without giving its value."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Later:
    """A parameter of a nested deployment: evaluated in the outer scope when it is needed."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute = compute
        self._done = False
        self._value: Any = None

    def __call__(self) -> Any:
        if not self._done:
            self._value = self._compute()
            self._done = True
        return self._value
