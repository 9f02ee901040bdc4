"""Finds the gateways of an ARM template: conditions, copy loops, symbolic names, nested deployments.

Resources that are not gateways are looked at only when a ``reference()`` asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from gateway.config.cursor import Cursor
from gateway.config.evaluator import Scope, Shared
from gateway.config.expressions import ExpressionError, is_expression
from gateway.config.functions import to_bool
from gateway.config.lazy import Later, Unavailable, View
from gateway.config.tree import Map, Place, Seq, line_of
from gateway.errors import Problem

__all__ = ["GATEWAY_TYPE", "Template", "supplied_parameters"]

GATEWAY_TYPE = "microsoft.network/applicationgateways"
_DEPLOYMENT_TYPE = "microsoft.resources/deployments"


class _Entry:
    """One resource, one turn of its copy loop."""

    __slots__ = ("kind", "node", "place", "scope", "symbol")

    def __init__(self, node: Map, kind: str, scope: Scope, place: Place, symbol: str) -> None:
        self.node = node
        self.kind = kind
        self.scope = scope
        self.place = place
        self.symbol = symbol


class Template:
    """One template, the outermost or a nested one."""

    def __init__(
        self,
        node: Map,
        supplied: Mapping[str, Any],
        shared: Shared,
        problems: list[Problem],
        place: Place,
        left_out: list[tuple[bool, str]] | None = None,
    ) -> None:
        self._node = node
        self._place = place
        self._problems = problems
        self._shared = shared
        self._index: dict[str, _Entry] | None = None
        self._nested: dict[int, tuple[Map, Scope]] = {}
        self._left_out = left_out if left_out is not None else []
        self.scope = Scope(node, supplied, shared, self._find)

    def parameter_names(self) -> list[str]:
        declared = self._node.value("parameters")
        return list(declared) if isinstance(declared, Map) else []

    def left_out(self) -> list[str]:
        """Gateways, or if there are none deployments, that `gateways` did not give because their condition is false."""
        return [text for gateway, text in self._left_out if gateway] or [text for _, text in self._left_out]

    def gateways(self) -> Iterator[Cursor]:
        """Every gateway that the template would deploy, those of nested deployments included."""
        yield from self._gateways(self._node, self.scope, self._place)

    def _gateways(self, node: Map, scope: Scope, place: Place) -> Iterator[Cursor]:
        for entry in self._entries(node, scope, place):
            if entry.kind == GATEWAY_TYPE:
                yield Cursor(entry.node, entry.scope, entry.place, self._problems)
            elif entry.kind == _DEPLOYMENT_TYPE:
                yield from self._deployment(entry)

    def _deployment(self, entry: _Entry) -> Iterator[Cursor]:
        properties = entry.node.value("properties")
        if not isinstance(properties, Map):
            return
        template = properties.value("template")
        if not isinstance(template, Map):
            link = "templateLink" if properties.find("templateLink") else "template"
            place = entry.place.child("properties", line_of(entry.node, "properties")).child(
                link, line_of(properties, properties.find(link))
            )
            self._problems.append(place.problem("a linked template is not followed; check it by itself", "warning"))
            return
        key, inner_key = entry.node.find("properties") or "", properties.find("template") or ""
        place = entry.place.child(key, line_of(entry.node, key)).child(inner_key, line_of(properties, inner_key))
        options = properties.value("expressionEvaluationOptions")
        inner = isinstance(options, Map) and str(options.value("scope", "")).casefold() == "inner"
        if inner:
            yield from self._inner(entry, properties, template, place).gateways()
        else:
            yield from self._gateways(template, entry.scope, place)

    def _inner(self, entry: _Entry, properties: Map, template: Map, place: Place) -> Template:
        given = properties.value("parameters")
        supplied: dict[str, Any] = {}
        for name, value in (given or {}).items() if isinstance(given, Map) else ():
            if isinstance(value, Map) and value.find("value") is not None:
                supplied[name] = Later(partial(entry.scope.resolve, value.value("value")))
            elif isinstance(value, Map) and value.find("reference") is not None:
                supplied[name] = Unavailable("comes from a Key Vault")
        return Template(template, supplied, self._shared, self._problems, place, self._left_out)

    def _entries(self, node: Map, scope: Scope, place: Place) -> Iterator[_Entry]:
        key = node.find("resources")
        resources = node[key] if key is not None else None
        if isinstance(resources, Map):
            listed = [
                (f"{key}.{symbol}", symbol, item, line_of(resources, symbol)) for symbol, item in resources.items()
            ]
        elif isinstance(resources, Seq):
            listed = [(f"{key}[{index}]", "", item, line_of(resources, index)) for index, item in enumerate(resources)]
        else:
            return
        for path, symbol, item, line in listed:
            if isinstance(item, Map):
                yield from self._resource(item, scope, place.child(path, line), symbol)

    def _resource(self, node: Map, scope: Scope, place: Place, symbol: str) -> Iterator[_Entry]:
        kind = node.value("type")
        if isinstance(kind, str) and is_expression(kind):
            try:
                kind = scope.evaluate(kind)
            except ExpressionError:
                kind = None
        kind = kind.casefold() if isinstance(kind, str) else ""
        relevant = kind in (GATEWAY_TYPE, _DEPLOYMENT_TYPE)
        if node.value("existing") is True and kind == GATEWAY_TYPE:
            return
        for turn in self._turns(node, scope, place if relevant else None):
            if not relevant or self._wanted(node, turn, place):
                yield _Entry(node, kind, turn, place, symbol)
                if kind != _DEPLOYMENT_TYPE and node.find("resources") is not None:
                    yield from self._entries(node, turn, place)

    def _wanted(self, node: Map, scope: Scope, place: Place) -> bool:
        key = node.find("condition")
        if key is None:
            return True
        try:
            wanted = to_bool(self._shared.budget, scope.resolve(node[key]))
            if not wanted:
                is_gateway = str(node.value("type")).casefold() == GATEWAY_TYPE
                self._left_out.append((is_gateway, f"{place.path} ({str(node[key])[:80]})"))
            return wanted
        except ExpressionError as error:
            where = place.child(key, line_of(node, key))
            self._problems.append(where.problem(f"{error}; the condition is taken as true", "warning"))
            return True

    def _turns(self, node: Map, scope: Scope, place: Place | None) -> list[Scope]:
        """The scopes of the turns of a resource's copy loop; one for a resource without."""
        loop = node.value("copy")
        if not isinstance(loop, Map) or loop.find("count") is None:
            return [scope]
        try:
            name = str(scope.resolve(loop.value("name", "")))
            return [scope.copy_of(name, index) for index in range(scope.count(loop))]
        except ExpressionError as error:
            if place is not None:
                self._problems.append(place.child("copy", line_of(node, node.find("copy"))).problem(str(error)))
            return []

    # what reference() asks for

    def _find(self, reference: str, whole: bool) -> View | None:
        if self._index is None:
            self._index = {}
            for entry in self._entries(self._node, self.scope, self._place):
                if entry.symbol:
                    self._index.setdefault(entry.symbol.casefold(), entry)
                try:
                    name = str(entry.scope.resolve(entry.node.value("name", "")))
                except ExpressionError:
                    continue
                self._index.setdefault(f"{entry.kind}|{name}".casefold(), entry)
                self._index.setdefault(name.casefold(), entry)
        key = _key(reference)
        found = self._index.get(key)
        if found is None:
            return None
        label = reference.rsplit("/", 1)[-1]
        if found.kind == _DEPLOYMENT_TYPE:
            return self._outputs(found, label)
        if whole:
            return View(found.node, found.scope, label)
        properties = found.node.value("properties")
        return View(properties, found.scope, label) if isinstance(properties, Map) else None

    def _outputs(self, entry: _Entry, label: str) -> View | None:
        properties = entry.node.value("properties")
        template = properties.value("template") if isinstance(properties, Map) else None
        if not isinstance(template, Map):
            return None
        options = properties.value("expressionEvaluationOptions")
        inner = isinstance(options, Map) and str(options.value("scope", "")).casefold() == "inner"
        known = self._nested.get(id(entry))
        if known is None:
            outputs = Map(template.line)
            outputs.put("outputs", template.value("outputs", Map()), template.line)
            scope = self._inner(entry, properties, template, entry.place).scope if inner else entry.scope
            known = self._nested[id(entry)] = (outputs, scope)
        return View(known[0], known[1], label)


def _key(reference: str) -> str:
    """The index key of what a reference names: a symbolic or plain name, or ``type|name`` of a resource id."""
    if "/providers/" not in reference:
        return reference.casefold()
    parts = reference.rsplit("/providers/", 1)[1].split("/")
    kind = "/".join([parts[0], *parts[1::2]])
    return f"{kind}|{'/'.join(parts[2::2])}".casefold()


def supplied_parameters(document: Any, place: Place, problems: list[Problem]) -> dict[str, Any]:
    """The values of a parameter file. ``document`` is plain; a Key Vault reference becomes `Unavailable`."""
    if isinstance(document, Map) and isinstance(document.value("parameters"), Map):
        document = document.value("parameters")
    if not isinstance(document, Map):
        problems.append(place.problem('this is not a parameter file: expected {"parameters": {name: {"value": …}}}'))
        return {}
    supplied: dict[str, Any] = {}
    for name, entry in document.items():
        if name.startswith("$") or name.casefold() == "contentversion":
            continue
        if isinstance(entry, Map) and entry.find("value") is not None:
            supplied[name] = entry.value("value")
        elif isinstance(entry, Map) and entry.find("reference") is not None:
            supplied[name] = Unavailable("comes from a Key Vault")
        else:
            problems.append(
                Place(f"parameters.{name}", line_of(document, name)).problem(f"the parameter {name!r} has no 'value'")
            )
    return supplied
