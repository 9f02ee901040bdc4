"""Values of the expression language that are not there yet, or stand for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.config.expressions import ExpressionError, UnknownValue
from gateway.config.tree import Map, Seq, line_of, nearest, show

if TYPE_CHECKING:
    from gateway.config.evaluator import Scope, Shared

__all__ = ["Given", "Later", "StandIn", "Turns", "Unavailable", "View", "full", "only_deployed"]


_ENTRY = 32  # what a member that has been looked up weighs, in characters


class Given(str):
    """An override for a whole resource that is just a word: it stands for any member of that resource."""


class StandIn(str):
    """What only a deployment knows, where only a name is made from it: any text does, if it is always the same."""


class Later:
    """A value that is computed when it is asked for, once; once more where only names matter (`StandIn`).

    ``line``: where what it is made from stands, if not where its name does.
    """

    __slots__ = ("_busy", "_compute", "_shared", "_values", "line")

    def __init__(self, shared: Shared, compute: Callable[[], Any], line: int | None = None) -> None:
        self.line = line
        self._shared = shared
        self._compute = compute
        self._busy = False
        self._values: dict[bool, tuple[Any, bool]] = {}

    def __call__(self) -> Any:
        naming = self._shared.naming
        if naming not in self._values:
            if self._busy:
                raise ExpressionError("a value is defined by itself")
            self._busy = True
            try:
                self._values[naming] = self._shared.watched(self._compute)
            finally:
                self._busy = False
        return self._shared.recall(self._values[naming])


class View:
    """An object or an array whose members are evaluated only as far as they are asked for.

    ``node``: a `Map` or `Seq` of the template, or one of `Later`; ``scope``: what its expressions are read in.
    ``resource``: the name of the resource that it is a part of, if members that are not there are known in Azure.
    """

    __slots__ = ("_entries", "_full", "_members", "node", "resource", "scope")

    def __init__(self, node: Map | Seq, scope: Scope, resource: str = "") -> None:
        self.node = node
        self.scope = scope
        self.resource = resource
        self._entries: dict[bool, dict[str, tuple[str, Any, Scope]]] = {}
        self._members: dict[tuple[bool, Any], Later] = {}
        self._full: dict[bool, tuple[Any, bool]] = {}

    @property
    def is_object(self) -> bool:
        return isinstance(self.node, dict)

    def entries(self) -> dict[str, tuple[str, Any, Scope]]:
        """The members of an object under their folded names: the name, what stands there, the scope of that."""
        naming = self.scope.shared.naming
        if naming not in self._entries:
            found = self.scope.members(self.node) if isinstance(self.node, Map) else []
            self.scope.shared.budget.make(_ENTRY * len(found))
            self._entries[naming] = {key.casefold(): (key, item, scope) for key, item, scope in found}
        return self._entries[naming]

    def member(self, key: Any, lenient: bool = False) -> Any:
        """One member or item; ``lenient``: null where it is not there. Raises `ExpressionError`."""
        found: tuple[Any, Scope] | None = None
        at = key.casefold() if isinstance(key, str) else key
        if isinstance(self.node, Map) and isinstance(key, str):
            entry = self.entries().get(at)
            found = entry and entry[1:]
        elif isinstance(self.node, Seq) and isinstance(key, int) and 0 <= key < len(self.node):
            item = self.node[key]
            found = item if isinstance(self.node, Turns) else (item, self.scope)
        if found is not None:
            node, scope = found
            return self._once(at, lambda: scope.look(node, self.resource))
        if self.resource and self.scope.shared.has_overrides:
            known, value = self.scope.shared.override(f"{self.resource}.{key}")
            if known:
                return value
        if lenient and not self.resource:
            return None
        if self.resource and self.scope.shared.naming:
            return StandIn(f"{self.resource}.{key}")
        raise self._missing(key)

    def _once(self, key: Any, compute: Callable[[], Any]) -> Any:
        at = (self.scope.shared.naming, key)
        if at not in self._members:
            self._members[at] = Later(self.scope.shared, compute)
        return self._members[at]()

    def _missing(self, key: Any) -> ExpressionError:
        if "()" in self.resource:
            return only_deployed(f"{self.resource}.{key}")
        if self.resource:
            return UnknownValue(
                f"{show(key)} of {self.resource!r} is known only in Azure; give the value with overrides 'references: "
                f"{{{self.resource}: …}}'",
                self.resource,
            )
        if isinstance(self.node, Map) and isinstance(key, str):
            names = [name for name, _, _ in self.entries().values()]
            close = nearest(key, names)
            listed = ", ".join(map(repr, names[:8])) or "no members"
            return ExpressionError(
                f"there is no member {key!r}" + (f"; did you mean {close!r}?" if close else f"; it has {listed}")
            )
        if isinstance(self.node, Seq) and isinstance(key, int):
            return ExpressionError(f"there is no item {key} in an array of {len(self.node)}")
        return ExpressionError(f"{show(self.node)} has no member {show(key)}")

    def items(self) -> list[Any]:
        """The items of an array, each as far as it is evaluated."""
        return [self.member(index) for index in range(len(self.node))]

    def shell(self) -> Any:
        """Something of the same size and with the same names, for functions that look at nothing else."""
        self.scope.shared.budget.make(len(self.node))
        return {name: None for name, _, _ in self.entries().values()} if self.is_object else [None] * len(self.node)

    def full(self) -> Any:
        """Everything in it, evaluated."""
        shared = self.scope.shared
        if shared.naming not in self._full:
            self._full[shared.naming] = shared.watched(lambda: self.scope.resolve(self.node))
        return shared.recall(self._full[shared.naming])


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


def full(value: Any) -> Any:
    """A value with everything in it evaluated."""
    return value.full() if isinstance(value, View) else value


def only_deployed(path: str) -> UnknownValue:
    """What is raised for a member of ``resourceGroup()`` and the like that no override gives; ``path`` is its key."""
    return UnknownValue(
        f"{path} is known only to a deployment; give it with overrides 'references: {{\"{path}\": …}}'", path
    )
