"""The resources of one template by their names and types, for ``reference()``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.config.evaluator import Scope
from gateway.config.expressions import ExpressionError
from gateway.config.lazy import full
from gateway.config.tree import Map, Place

__all__ = ["Entry", "Inventory"]


class Entry:
    """One resource, one turn of its copy loop. ``kind``: its type, folded; ``symbol``: its symbolic name, if any."""

    __slots__ = ("kind", "node", "parent", "place", "scope", "symbol", "turn")

    def __init__(
        self, node: Map, kind: str, scope: Scope, place: Place, symbol: str = "", turn: int = 0,
        parent: Entry | None = None,
    ) -> None:  # fmt: skip
        self.node = node
        self.kind = kind
        self.scope = scope
        self.place = place
        self.symbol = symbol
        self.turn = turn
        self.parent = parent

    def path(self) -> tuple[str, str]:
        """Full type and full name, which for a resource inside another begin with those of that one."""
        name = str(full(self.scope.name_of(self.node.value("name", ""))))
        if self.parent is None:
            return self.kind, name
        kind, before = self.parent.path()
        if "/" in self.kind and "." in self.kind.split("/")[0]:
            return self.kind, name if "/" in name else f"{before}/{name}"
        return f"{kind}/{self.kind}", f"{before}/{name}"


class Inventory:
    """Looks resources up as ``reference()`` names them. ``entries`` is called when something is asked first."""

    def __init__(self, entries: Callable[[], Iterable[Entry]]) -> None:
        self._entries = entries
        self._index: dict[str, Entry] | None = None

    def find(self, reference: str) -> Entry | None:
        """The resource of a symbolic name (``name`` or ``name[2]``), a plain name or a resource id."""
        if self._index is None:
            self._index = {}
            for entry in self._entries():
                self._add(self._index, entry)
        return self._index.get(_key(reference))

    @staticmethod
    def _add(index: dict[str, Entry], entry: Entry) -> None:
        if entry.symbol:
            index.setdefault(entry.symbol.casefold(), entry)
            index.setdefault(f"{entry.symbol}[{entry.turn}]".casefold(), entry)
        try:
            kind, name = entry.path()
        except ExpressionError:
            return
        index.setdefault(f"{kind}|{name}".casefold(), entry)
        index.setdefault(name.casefold(), entry)


def _key(reference: str) -> str:
    """The index key of what a reference names: a symbolic or plain name, or ``type|name`` of a resource id."""
    reference = reference.strip("/")
    if "providers/" not in reference:
        return reference.casefold()
    parts = reference.rsplit("providers/", 1)[1].split("/")
    kind = "/".join([parts[0], *parts[1::2]])
    return f"{kind}|{'/'.join(parts[2::2])}".casefold()
