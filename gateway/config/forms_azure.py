"""The functions of the ARM expression language that ask for what only a deployment knows; registered when imported.

``resourceGroup()`` and the like have members that an override gives; ``reference()`` and ``list…()`` have a value that
an override gives, or the template itself does (outputs of nested deployments, properties that stand in it).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.config.expressions import Tree, UnknownValue
from gateway.config.forms import Form, arity, form, same
from gateway.config.functions import FUNCTIONS, text
from gateway.config.lazy import Later, StandIn, View, full, only_deployed
from gateway.config.tree import Map, Seq

if TYPE_CHECKING:
    from gateway.config.evaluator import Scope

__all__ = ["ask_azure"]

_DEPLOYED = {
    "resourceGroup": ("name", "location"),
    "subscription": ("subscriptionId", "tenantId", "displayName"),
    "tenant": ("tenantId", "displayName"),
    "deployer": ("tenantId", "objectId"),
    "deployment": ("location",),
}
"""Members of which only a deployment knows the value; it is made up where only a name is made from it."""


def _deployed(name: str) -> Form:
    """``resourceGroup()`` and the like."""

    def known(scope: Scope, arguments: list[Tree]) -> Any:
        arity(name, len(arguments), 0, 0)
        result = Map()
        for key, value in FUNCTIONS[name.casefold()][0](scope.shared.budget).items():
            made_up = key in _DEPLOYED[name]
            compute = partial(_made_up, scope, f"{name}().{key}", value)
            result.put(key, Later(scope.shared, compute) if made_up else value, None)
        if name == "deployment":
            result.put("properties", result["properties"] | {"template": scope.template}, None)
        if name == "resourceGroup":
            result.put("tags", Later(scope.shared, partial(_tags, scope)), None)
        given, members = scope.shared.override(f"{name}()")
        for key in members if given and isinstance(members, dict) else ():
            result.put(result.find(key) or key, members[key], None)
        return View(result, scope)

    return known


def _made_up(scope: Scope, path: str, stand_in: Any) -> Any:
    known, value = scope.shared.override(path)
    if known or scope.shared.naming:
        return value if known else stand_in
    raise only_deployed(path)


def _tags(scope: Scope) -> Any:
    """Tags of the resource group: none is known."""
    path = "resourceGroup().tags"
    known, value = scope.shared.override(path)
    return value if known else View(Map(), scope, path)


for _name in _DEPLOYED:
    form(_name.casefold())(_deployed(_name))


@form("uniquestring")
def _unique_string(scope: Scope, arguments: list[Tree]) -> Any:
    return _hashed(scope, arguments, "uniqueString")


@form("guid")
def _guid(scope: Scope, arguments: list[Tree]) -> Any:
    return _hashed(scope, arguments, "guid")


def _hashed(scope: Scope, arguments: list[Tree], name: str) -> Any:
    """A stand-in, for which what is made up is good enough."""
    arity(name, len(arguments), 1, None)
    values = []
    for argument in arguments:
        try:
            values.append(full(scope.tree(argument)))
        except UnknownValue as error:
            if "()." not in error.what:
                raise
            values.append(_identity(scope, argument))
    return FUNCTIONS[name.casefold()][0](scope.shared.budget, *values)


@form("reference")
def _reference(scope: Scope, arguments: list[Tree]) -> Any:
    """The version of the API is not looked at: it is often computed from what only Azure knows."""
    arity("reference", len(arguments), 1, 3)
    whole = len(arguments) > 2 and str(full(scope.tree(arguments[2]))).casefold() == "full"
    return _runtime(scope, "reference", arguments, whole)


@form("references")
def _references(scope: Scope, arguments: list[Tree]) -> Any:
    """The resources of a copy loop, by its symbolic name."""
    arity("references", len(arguments), 1, 2)
    name = text(_identity(scope, arguments[0]), "references")
    known, value = scope.shared.override(f"references('{name}')", name)
    if known:
        return value
    whole = len(arguments) > 1 and str(full(scope.tree(arguments[1]))).casefold() == "full"
    result = Seq()
    while (found := scope.find_resource(f"{name}[{len(result)}]", whole)) is not None:
        scope.shared.budget.step()
        result.add(Later(scope.shared, partial(same, found)), None)
    if not result:
        raise _unknown("references", name)
    return View(result, scope)


def ask_azure(scope: Scope, name: str, arguments: list[Tree]) -> Any:
    """A function whose name begins with ``list``: what overrides say. Raises `ExpressionError` if they do not."""
    return _runtime(scope, name, arguments)


def _identity(scope: Scope, tree: Tree) -> Any:
    """The name or id of a resource, made of whatever is known."""
    before, scope.shared.naming = scope.shared.naming, True
    try:
        return full(scope.tree(tree))
    finally:
        scope.shared.naming = before


def _runtime(scope: Scope, name: str, arguments: list[Tree], whole: bool = False) -> Any:
    resource = text(_identity(scope, arguments[0]), name) if arguments else ""
    short = resource.rstrip("/").rsplit("/", 1)[-1]
    known, value = scope.shared.override(f"{name}('{resource}')", resource, short)
    if known:
        return value
    found = scope.find_resource(resource, whole) if name == "reference" else None
    if found is not None:
        known, value = scope.shared.override(found.resource) if found.resource != short else (False, None)
        return value if known else found
    if scope.shared.naming:
        return StandIn(short)
    raise _unknown(name, short)


def _unknown(name: str, short: str) -> UnknownValue:
    return UnknownValue(
        f"{name}() of {short!r} is known only in Azure; give the value with overrides 'references: {{{short}: …}}'",
        short,
    )
