"""The functions of the ARM expression language that know where they stand, or do not evaluate all their arguments.

`FORMS` maps a lower-case name to a function of the `gateway.config.evaluator.Scope` and the parsed arguments.  Those
that ask for what only a deployment knows are in `gateway.config.forms_azure`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.config.expressions import ExpressionError, Tree, UnknownValue
from gateway.config.functions import FUNCTIONS, integer, text, to_bool
from gateway.config.lazy import Later, StandIn, Unavailable, View, full
from gateway.config.parameters import definition_of, is_secure, parameter_problem
from gateway.config.tree import Map, Seq, show

if TYPE_CHECKING:
    from gateway.config.evaluator import Scope

__all__ = ["FORMS", "Form", "arity", "form", "same"]

Form = Callable[["Scope", list[Tree]], Any]
FORMS: dict[str, Form] = {}
_LATER = 100  # what a member that is computed later weighs, in characters


def form(name: str) -> Callable[[Form], Form]:
    """Register a function under its lower-case name."""

    def register(body: Form) -> Form:
        FORMS[name] = body
        return body

    return register


def arity(name: str, count: int, least: int, most: int | None) -> None:
    """See that a function has as many arguments as it takes. Raises `ExpressionError`."""
    if count < least or (most is not None and count > most):
        wanted = str(least) if most == least else f"{least} to {most}" if most is not None else f"at least {least}"
        raise ExpressionError(f"{name}() takes {wanted} arguments, {count} were given")


def _word(scope: Scope, arguments: list[Tree], name: str) -> str:
    arity(name, len(arguments), 1, 1)
    return text(scope.tree(arguments[0]), name)


def _map(value: Any) -> Map:
    return value if isinstance(value, Map) else Map()


# names of the template


@form("parameters")
def _parameters(scope: Scope, arguments: list[Tree]) -> Any:
    name = _word(scope, arguments, "parameters")
    declared = _map(scope.template.value("parameters"))
    found = declared.find(name)
    entry = definition_of(scope.template, declared[found]) if found is not None else Map()
    default = entry.find("defaultValue")
    if name.casefold() in scope.supplied:
        value = scope.supplied[name.casefold()]
        if isinstance(value, Unavailable):
            if scope.shared.naming:
                return StandIn(name.casefold())
            raise UnknownValue(
                f"the parameter {name!r} {value.reason}; give its value with overrides 'parameters: {{{name}: …}}'",
                name,
            )
        if isinstance(value, Later):  # given by a deployment; others have been looked at
            value = value()
            problem = parameter_problem(entry, name, value)
            if problem:
                raise ExpressionError(problem)
        if is_secure(entry):
            scope.shared.read_secret(value)
        if value is not None or default is None:
            return value  # null asks for the default, where there is one
    if found is None:
        hint = scope.shared.hint(name, list(declared))
        raise ExpressionError(f"the template has no parameter {name!r}{hint}")
    if default is None:
        if entry.value("nullable") is True:
            return None
        if scope.shared.naming:
            return StandIn(name.casefold())
        raise UnknownValue(
            f"the parameter {name!r} has no value and no default; give it with --parameters FILE "
            f"or with overrides 'parameters: {{{name}: …}}'",
            name,
        )
    return scope.once("parameter", name, lambda: _default(scope, entry, default))


def _default(scope: Scope, entry: Map, key: str) -> Any:
    value = scope.look(entry[key])
    if is_secure(entry):
        scope.shared.read_secret(value)
    return value


@form("variables")
def _variables(scope: Scope, arguments: list[Tree]) -> Any:
    name = _word(scope, arguments, "variables")
    declared = _map(scope.template.value("variables"))
    found = declared.find(name)
    if found is not None and found.casefold() != "copy":
        return scope.once("variable", name, lambda: scope.look(declared[found]))
    given = declared.value("copy")
    for loop in scope.loops(given):
        if str(loop.value("name")).casefold() == name.casefold():
            return scope.once("variable", name, partial(_turns, scope, loop, given))
    raise ExpressionError(f"the template has no variable {name!r}{scope.shared.hint(name, list(declared))}")


def _turns(scope: Scope, loop: Map, given: Any) -> View:
    return View(scope.loop(loop, given), scope)


@form("copyindex")
def _copy_index(scope: Scope, arguments: list[Tree]) -> Any:
    arity("copyIndex", len(arguments), 0, 2)
    values = [scope.tree(argument) for argument in arguments]
    name = values.pop(0) if values and isinstance(values[0], str) else ""
    if name.casefold() not in scope.copies:
        raise ExpressionError(
            f"copyIndex({name!r}): not inside that copy loop" if name else "copyIndex() outside a copy loop"
        )
    return scope.copies[name.casefold()] + (integer(values[0], "copyIndex") if values else 0)


# what evaluates only a part


@form("if")
def _if(scope: Scope, arguments: list[Tree]) -> Any:
    arity("if", len(arguments), 3, 3)
    return scope.tree(arguments[1 if _truth(scope, arguments[0]) else 2])


def _truth(scope: Scope, tree: Tree) -> bool:
    """Whether something holds; what is chosen by it is no secret, even if it looks at one."""
    before = scope.shared.secret_reads
    try:
        return to_bool(scope.shared.budget, full(scope.tree(tree)))
    finally:
        scope.shared.secret_reads = before


@form("and")
def _and(scope: Scope, arguments: list[Tree]) -> Any:
    return all(_truth(scope, argument) for argument in arguments)


@form("or")
def _or(scope: Scope, arguments: list[Tree]) -> Any:
    return any(_truth(scope, argument) for argument in arguments)


@form("coalesce")
def _coalesce(scope: Scope, arguments: list[Tree]) -> Any:
    for argument in arguments:
        value = scope.tree(argument)
        if value is not None:
            return value
    return None


@form("tryget")
def _try_get(scope: Scope, arguments: list[Tree]) -> Any:
    arity("tryGet", len(arguments), 2, None)
    tree = arguments[0]
    for key in arguments[1:]:
        tree = ("member", tree, key, True)
    return scope.tree(tree)


@form("createobject")
def _create_object(scope: Scope, arguments: list[Tree]) -> Any:
    if len(arguments) % 2:
        raise ExpressionError("createObject() wants pairs of a name and a value")
    scope.shared.budget.make(_LATER * len(arguments))
    result = Map()
    for index in range(0, len(arguments), 2):
        key = text(full(scope.tree(arguments[index])), "createObject")
        result.put(key, Later(scope.shared, partial(scope.tree, arguments[index + 1])), None)
    return View(result, scope)


@form("createarray")
def _create_array(scope: Scope, arguments: list[Tree]) -> Any:
    scope.shared.budget.make(_LATER * len(arguments))
    result = Seq()
    for argument in arguments:
        result.add(Later(scope.shared, partial(scope.tree, argument)), None)
    return View(result, scope)


@form("union")
def _union(scope: Scope, arguments: list[Tree]) -> Any:
    arity("union", len(arguments), 1, None)
    values = [scope.tree(argument) for argument in arguments]
    if any(isinstance(value, View) for value in values) and all(map(_is_object, values)):
        return _merged(scope, values)
    body = FUNCTIONS["union"][0]
    return body(scope.shared.budget, *(full(value) for value in values))


def _is_object(value: Any) -> bool:
    return value.is_object if isinstance(value, View) else isinstance(value, dict)


def _entries(item: Any) -> list[tuple[str, Any]]:
    if isinstance(item, View):
        return [(key, value) for key, value, _ in item.entries().values()]
    return list(item.items())


def _merged(scope: Scope, objects: list[Any]) -> View:
    """The union of objects: of members that are in several only the last counts, objects among them are merged."""
    parts: dict[str, tuple[str, list[Callable[[], Any]]]] = {}
    for item in objects:
        entries = _entries(item)
        scope.shared.budget.make(_LATER * len(entries))
        for key, value in entries:
            get = partial(item.member, key) if isinstance(item, View) else partial(same, value)
            parts.setdefault(key.casefold(), (key, []))[1].append(get)
    result = Map()
    for key, values in parts.values():
        compute = values[0] if len(values) == 1 else partial(_overlay, scope, values)
        result.put(key, Later(scope.shared, compute), None)
    return View(result, scope)


def _overlay(scope: Scope, values: list[Callable[[], Any]]) -> Any:
    last = values[-1]()
    if not _is_object(last):
        return last
    below: list[Any] = [last]
    for get in reversed(values[:-1]):
        value = get()
        if not _is_object(value):
            break
        below.insert(0, value)
    return _merged(scope, below)


def same(value: Any) -> Any:
    """The computation of what is known already."""
    return value


# lambdas


@form("lambdavariables")
def _lambda_variables(scope: Scope, arguments: list[Tree]) -> Any:
    name = _word(scope, arguments, "lambdaVariables")
    if name.casefold() not in scope.locals:
        raise ExpressionError(f"there is no lambda variable {name!r} here")
    return _now(scope.locals[name.casefold()])


def _now(value: Any) -> Any:
    return value() if isinstance(value, Later) else value


def _items(scope: Scope, tree: Tree, name: str, of: type = list, lazy: bool = False) -> Any:
    """The array (or object) that a function with a lambda goes through.

    ``lazy``: an item whose value is not known is `Later`, for the lambda may not need it.
    """
    value = scope.tree(tree)
    if isinstance(value, View) and not value.is_object:
        value = [_item(scope, value, index) for index in range(len(value.node))] if lazy else value.items()
    else:
        value = full(value)
    fits = isinstance(value, of)
    if not fits:
        what = "an array" if of is list else "an object"
        raise ExpressionError(f"{name}() wants {what} and a lambda(), found {show(value)}")
    scope.shared.budget.make(_LATER * len(value))
    return value


def _item(scope: Scope, view: View, index: int) -> Any:
    try:
        return view.member(index)
    except UnknownValue:
        return Later(scope.shared, partial(view.member, index))


def _lambda(scope: Scope, body: Tree, name: str) -> Callable[..., Any]:
    if body[0] != "call" or body[1] != "lambda" or not body[2]:
        raise ExpressionError(f"{name}() wants an array and a lambda()")
    words = [text(scope.tree(word), "lambda").casefold() for word in body[2][:-1]]

    def apply(*values: Any) -> Any:
        inner = scope.derived()
        inner.locals = {**scope.locals, **dict(zip(words, values, strict=False))}
        return inner.tree(body[2][-1])

    return apply


@form("map")
def _map_form(scope: Scope, arguments: list[Tree]) -> Any:
    arity("map", len(arguments), 2, 2)
    apply = _lambda(scope, arguments[1], "map")
    result = Seq()
    for index, item in enumerate(_items(scope, arguments[0], "map", lazy=True)):
        result.add(Later(scope.shared, partial(apply, item, index)), None)
    return View(result, scope)


@form("filter")
def _filter(scope: Scope, arguments: list[Tree]) -> Any:
    arity("filter", len(arguments), 2, 2)
    apply = _lambda(scope, arguments[1], "filter")
    result = Seq()
    for index, item in enumerate(_items(scope, arguments[0], "filter", lazy=True)):
        if to_bool(scope.shared.budget, full(apply(item, index))):
            result.add(Later(scope.shared, partial(_now, item)), None)
    return View(result, scope)


@form("reduce")
def _reduce(scope: Scope, arguments: list[Tree]) -> Any:
    arity("reduce", len(arguments), 3, 3)
    apply = _lambda(scope, arguments[2], "reduce")
    result = full(scope.tree(arguments[1]))
    for index, item in enumerate(_items(scope, arguments[0], "reduce")):
        result = full(apply(result, item, index))
    return result


@form("sort")
def _sort(scope: Scope, arguments: list[Tree]) -> Any:
    """Merge sort: the lambda says whether its first argument is smaller, and comparisons are paid for."""
    arity("sort", len(arguments), 2, 2)
    apply = _lambda(scope, arguments[1], "sort")
    runs = [[full(item)] for item in _items(scope, arguments[0], "sort")]
    while len(runs) > 1:
        pairs = [runs[index : index + 2] for index in range(0, len(runs), 2)]
        runs = [_merge_runs(scope, apply, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return runs[0] if runs else []


def _merge_runs(scope: Scope, less: Callable[..., Any], left: list[Any], right: list[Any]) -> list[Any]:
    result: list[Any] = []
    at = 0
    for item in left:
        while at < len(right) and to_bool(scope.shared.budget, full(less(right[at], item))):
            result.append(right[at])
            at += 1
        result.append(item)
    return result + right[at:]


@form("toobject")
def _to_object(scope: Scope, arguments: list[Tree]) -> Any:
    arity("toObject", len(arguments), 2, 3)
    key = _lambda(scope, arguments[1], "toObject")
    value = _lambda(scope, arguments[2], "toObject") if len(arguments) == 3 else _now
    result = Map()
    for item in _items(scope, arguments[0], "toObject", lazy=True):
        result.put(text(full(key(item)), "toObject"), Later(scope.shared, partial(value, item)), None)
    return View(result, scope)


@form("mapvalues")
def _map_values(scope: Scope, arguments: list[Tree]) -> Any:
    arity("mapValues", len(arguments), 2, 2)
    apply = _lambda(scope, arguments[1], "mapValues")
    result = Map()
    for key, item in _items(scope, arguments[0], "mapValues", dict).items():
        result.put(key, Later(scope.shared, partial(apply, item)), None)
    return View(result, scope)


@form("groupby")
def _group_by(scope: Scope, arguments: list[Tree]) -> Any:
    arity("groupBy", len(arguments), 2, 2)
    apply = _lambda(scope, arguments[1], "groupBy")
    result: dict[str, list[Any]] = {}
    for index, item in enumerate(_items(scope, arguments[0], "groupBy")):
        result.setdefault(text(full(apply(item, index)), "groupBy"), []).append(full(item))
    return result
