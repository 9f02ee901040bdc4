"""Finds the gateways of an ARM template: conditions, copy loops, symbolic names, nested deployments.

Resources that are not gateways are looked at only when a ``reference()`` asks for them (`gateway.config.inventory`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from gateway.config.cursor import Cursor
from gateway.config.evaluator import Scope, Shared
from gateway.config.expressions import ExpressionError, ExpressionLimit, UnknownValue, is_expression, short
from gateway.config.functions import to_bool
from gateway.config.inventory import Entry, Inventory
from gateway.config.lazy import Later, Unavailable, View, full
from gateway.config.parameters import FROM_VAULT, definition_of, is_secure, parameter_problem
from gateway.config.tree import Map, Place, Seq, line_of, nearest, show
from gateway.errors import Problem

__all__ = ["GATEWAY_TYPE", "Template"]

GATEWAY_TYPE = "microsoft.network/applicationgateways"
_DEPLOYMENT_TYPE = "microsoft.resources/deployments"


class _Content(NamedTuple):
    """What a deployment deploys: its template, where that stands, whether it is evaluated by itself, and its file."""

    template: Map
    place: Place
    inner: bool
    file: str


class Template:
    """One template, the outermost, a nested or a linked one. ``file``: where a linked one stands."""

    def __init__(
        self,
        node: Map,
        supplied: Mapping[str, Any],
        shared: Shared,
        problems: list[Problem],
        place: Place,
        left_out: list[tuple[bool, str]] | None = None,
        file: str = "",
    ) -> None:
        self._node = node
        self._place = place
        self._problems = problems
        self._shared = shared
        self._nested: dict[int, View | None] = {}
        self._left_out = left_out if left_out is not None else []
        self._file = file
        self.scope = Scope(node, supplied, shared, self._find)
        self._inventory = Inventory(lambda: self._entries(self._node, self.scope, self._place))

    def check_parameters(self, supplied: Mapping[str, Any], places: Mapping[str, Place]) -> None:
        """Report values that the template does not allow, and those that it has no parameter for."""
        declared = self._node.value("parameters")
        names = list(declared) if isinstance(declared, Map) else []
        for name, value in supplied.items():
            found = declared.find(name) if isinstance(declared, Map) else None
            place = places.get(name, Place(""))
            if found is None:
                close = nearest(name, names)
                hint = f"; did you mean {close!r}?" if close else ""
                self._problems.append(Problem("", f"the template has no parameter {name!r}{hint}", None, "warning"))
                continue
            definition = definition_of(self._node, declared[found])
            if is_secure(definition):
                self._shared.keep_secret(value)
            problem = parameter_problem(definition, name, value)
            if problem:
                self._problems.append(place.problem(problem))

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

    def _deployment(self, entry: Entry) -> Iterator[Cursor]:
        found = self._content(entry, self._problems)
        if found is None:
            return
        if found.inner:
            yield from self._inner(entry, found).gateways()
        else:
            yield from self._gateways(found.template, entry.scope, found.place)

    def _content(self, entry: Entry, problems: list[Problem]) -> _Content | None:
        """The template of a deployment, nested or linked."""
        properties = entry.node.value("properties")
        if not isinstance(properties, Map):
            return None
        place = entry.place.child(entry.node.find("properties") or "", line_of(entry.node, "properties"))
        key = properties.find("template")
        if key is not None and isinstance(properties[key], Map):
            place = place.child(key, line_of(properties, key))
            return _Content(properties[key], place, _is_inner(properties), self._file)
        link = properties.find("templateLink")
        place = place.child("templateLink" if link else "template", line_of(properties, link))
        template: Map | str = "it is not a file beside this one"
        file = ""
        files = self._shared.linked
        try:
            uri = self._link(entry.scope, properties[link]) if link is not None else None
        except ExpressionError as error:
            uri, template = None, str(error)
        if uri and files is not None:
            file, template = files.find(uri, self._file)
        if isinstance(template, Map):
            return _Content(template, place._replace(path=f"{place.path}({file})"), True, file)
        shown = f"{file!r}, " if file else ""
        message = f"a linked template is not followed: {shown}{template}; check it by itself"
        problems.append(place.problem(message, "warning"))
        return None

    @staticmethod
    def _link(scope: Scope, node: Any) -> str | None:
        """What a ``templateLink`` links to."""
        link = scope.resolve(node)
        if not isinstance(link, dict):
            return None
        found = {str(key).casefold(): value for key, value in link.items()}
        wanted = found.get("relativepath") or found.get("uri")
        return wanted if isinstance(wanted, str) else None

    def _inner(self, entry: Entry, content: _Content) -> Template:
        """The template of a deployment that is evaluated by itself, with the parameters that it is given."""
        supplied: dict[str, Any] = {}
        properties = entry.node.value("properties")
        key = properties.find("parameters")
        at = entry.place.child(entry.node.find("properties") or "")
        at = at.child(key or "parameters", line_of(properties, key))
        try:
            given = entry.scope.look(properties[key]) if key is not None else None
            if given is not None and not (isinstance(given, View) and given.is_object):
                raise ExpressionError(f'found {show(full(given))}, expected {{"NAME": {{"value": …}}}}')
            entries = given.entries().values() if given is not None else ()
        except ExpressionError as error:
            unknown = isinstance(error, UnknownValue)
            message = f"the parameters of this deployment: {error}"
            self._problems.append(at.problem(message, "warning" if unknown else "error"))
            entries = ()
        for name, value, scope in entries:
            if isinstance(value, Map) and value.find("value") is None and value.find("reference") is not None:
                supplied[name] = Unavailable(FROM_VAULT)
            else:
                where = at.child(name, line_of(properties[key], name))
                supplied[name] = Later(self._shared, partial(_given, name, scope, value, where))
        return Template(
            content.template, supplied, self._shared, self._problems, content.place, self._left_out, content.file
        )

    # resources

    def _entries(self, node: Map, scope: Scope, place: Place, parent: Entry | None = None) -> Iterator[Entry]:
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
                yield from self._resource(item, scope, place.child(path, line), symbol, parent)

    def _resource(
        self, node: Map, scope: Scope, place: Place, symbol: str, parent: Entry | None = None
    ) -> Iterator[Entry]:
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
        for turn, scope_of_turn in enumerate(self._turns(node, scope, place if relevant else None)):
            if not relevant or self._wanted(node, scope_of_turn, place):
                entry = Entry(node, kind, scope_of_turn, place, symbol, turn, parent)
                yield entry
                if kind != _DEPLOYMENT_TYPE and node.find("resources") is not None:
                    yield from self._entries(node, scope_of_turn, place, entry)

    def _wanted(self, node: Map, scope: Scope, place: Place) -> bool:
        key = node.find("condition")
        if key is None:
            return True
        where = place.child(key, line_of(node, key))
        try:
            wanted = to_bool(self._shared.budget, scope.resolve(node[key]))
            if not wanted:
                is_gateway = str(node.value("type")).casefold() == GATEWAY_TYPE
                self._left_out.append((is_gateway, f"{place.path} ({short(str(node[key]))})"))
            return wanted or self._shared.every_condition
        except ExpressionError as error:
            self._problems.append(where.problem(f"{error}; the condition is taken as true", "warning"))
            return True
        except ExpressionLimit as limit:
            limit.place = limit.place or where
            raise

    def _turns(self, node: Map, scope: Scope, place: Place | None) -> list[Scope]:
        """The scopes of the turns of a resource's copy loop; one for a resource without."""
        loop = node.value("copy")
        if loop is None:
            return [scope]
        where = (place or self._place).child("copy", line_of(node, node.find("copy")))
        name = ""
        try:
            if not isinstance(loop, Map):
                raise ExpressionError(f"found {show(loop)}, expected a loop {{name, count}}")
            name = str(full(scope.name_of(loop.value("name", ""))))
            return [scope.copy_of(name, index) for index in range(scope.count(loop))]
        except UnknownValue as error:
            if place is not None:
                self._problems.append(where.problem(f"{error}; one turn of this loop is read until then", "warning"))
            return [scope.copy_of(name, 0)]
        except ExpressionError as error:
            if place is not None:
                self._problems.append(where.problem(str(error)))
            return [scope.copy_of(name, 0)] if place is not None else []
        except ExpressionLimit as limit:
            limit.place = limit.place or where
            raise

    # what reference() asks for

    def _find(self, reference: str, whole: bool) -> View | None:
        found = self._inventory.find(reference)
        if found is None:
            return None
        label = _title(found, reference)
        if found.kind == _DEPLOYMENT_TYPE:
            if id(found) not in self._nested:
                self._nested[id(found)] = self._outputs(found, label)
            outputs = self._nested[id(found)]
            if outputs is None or not whole:
                return outputs
            full = Map(found.node.line)
            full.put("properties", Later(self._shared, lambda: outputs), None)
            return View(full, found.scope, label)
        if whole:
            return View(found.node, found.scope, label)
        properties = found.node.value("properties")
        return View(properties, found.scope, label) if isinstance(properties, Map) else None

    def _outputs(self, entry: Entry, label: str) -> View | None:
        """The properties of a deployment: the outputs of the template in it."""
        content = self._content(entry, [])
        if content is None:
            return None
        template = content.template
        scope = self._inner(entry, content).scope if content.inner else entry.scope
        declared = template.value("outputs")
        outputs = Map(template.line)
        for name, output in declared.items() if isinstance(declared, Map) else ():
            loop = output.value("copy") if isinstance(output, Map) else None
            if isinstance(loop, Map):
                made = Map(output.line)
                made.put("value", Later(self._shared, partial(_loop, scope, loop)), output.line)
                output = made
            outputs.put(name, output, line_of(declared, name))
        result = Map(template.line)
        result.put("outputs", outputs, template.line)
        return View(result, scope, label)


def _title(entry: Entry, reference: str) -> str:
    """The name of a resource, for what is not known of it; where that cannot be told, what it is referred to as."""
    try:
        name = entry.path()[1] if entry.symbol else ""
    except ExpressionError:
        name = ""
    return (name or reference.rstrip("/")).rsplit("/", 1)[-1]


def _is_inner(properties: Map) -> bool:
    """Whether a deployment's expressions are read in its own template, not in the one around it."""
    options = properties.value("expressionEvaluationOptions")
    return isinstance(options, Map) and str(options.value("scope", "")).casefold() == "inner"


def _loop(scope: Scope, loop: Map) -> View:
    return View(scope.loop(loop), scope)


def _given(name: str, scope: Scope, node: Any, place: Place) -> Any:
    """The value that a deployment gives to a parameter of its template; ``place``: where."""
    entry = scope.look(node)
    if entry is None:
        return None
    is_view = isinstance(entry, View)
    found = entry.entries() if is_view else entry if isinstance(entry, dict) else ()
    members = {str(key).casefold() for key in found}
    if "value" not in members and "reference" in members:
        raise UnknownValue(
            f"the parameter {name!r} {FROM_VAULT}; give the value that is made from it by an override", name
        )
    if "value" not in members:
        at = f" (line {place.line})" if place.line else ""
        raise ExpressionError(
            f"{place.path}{at} has no 'value'; a deployment gives its parameters as '{name}: {{\"value\": …}}'"
        )
    if is_view:
        return entry.member("value")
    return next(value for key, value in entry.items() if key.casefold() == "value")
