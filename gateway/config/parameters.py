"""Parameters: what a template allows them to be (type, allowed values, bounds), and files with their values.

Source: the template reference, "Parameters in ARM templates".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.config.expressions import is_expression
from gateway.config.lazy import Later, Unavailable, View
from gateway.config.tree import Map, Place, Seq, line_of, show
from gateway.errors import Problem

__all__ = ["FROM_VAULT", "definition_of", "is_secure", "parameter_problem", "parameters_beside", "supplied_parameters"]

FROM_VAULT = "comes from a Key Vault"

_SECURE = ("securestring", "secureobject")
_MAX_REFERENCES = 20
_SHOWN = 12
_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("text", lambda value: isinstance(value, str)),
    "securestring": ("text", lambda value: isinstance(value, str)),
    "int": ("a whole number", lambda value: _is_number(value) and value == int(value)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "secureobject": ("an object", lambda value: isinstance(value, dict)),
    "array": ("an array", lambda value: isinstance(value, list)),
}
_BOUNDS: tuple[tuple[str, str, Callable[[Any, float], bool], str], ...] = (
    ("minvalue", "int", lambda value, bound: value < bound, "at least {0:g}"),
    ("maxvalue", "int", lambda value, bound: value > bound, "at most {0:g}"),
    ("minlength", "", lambda value, bound: len(value) < bound, "at least {0:g} {1}"),
    ("maxlength", "", lambda value, bound: len(value) > bound, "at most {0:g} {1}"),
)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_secure(definition: Map) -> bool:
    """Whether values of the parameter are secrets."""
    return str(definition.value("type", "")).casefold() in _SECURE


def definition_of(template: Map, entry: Any) -> Map:
    """What is declared of a parameter, with what the user-defined types say that it refers to."""
    result = entry if isinstance(entry, Map) else Map()
    kind = result
    for _ in range(_MAX_REFERENCES):
        reference = kind.value("$ref")
        definitions = template.value("definitions")
        if not isinstance(reference, str) or not reference.startswith("#/definitions/"):
            break
        found = definitions.value(reference.rsplit("/", 1)[-1]) if isinstance(definitions, Map) else None
        if not isinstance(found, Map):
            break
        kind = found
        merged = Map(result.line)
        for source in (kind, result):
            for key, value in source.items():
                merged.put(key, value, source.lines.get(key))
        result = merged
    return result


def parameter_problem(definition: Map, name: str, value: Any) -> str | None:
    """Why a parameter cannot have a value, and what is allowed; ``None`` where it can, or where that is not known yet.

    Null is always allowed: it asks for the default.  Secrets are not shown.
    """
    if value is None or isinstance(value, (Later, View, Unavailable)):
        return None
    kind = str(definition.value("type", "")).casefold()
    secret = "password" if kind in _SECURE else ""
    wanted, fits = _TYPES.get(kind, ("", lambda value: True))
    title = f"the parameter {name!r}: found {show(value, secret or name)}"
    if not fits(value):
        return f"{title}, expected {wanted}, for it is declared as {definition.value('type')}"
    allowed = definition.value("allowedValues")
    if isinstance(allowed, list) and not _is_allowed(value, allowed):
        listed = ", ".join(map(show, allowed[:_SHOWN])) + (", …" if len(allowed) > _SHOWN else "")
        return f"{title}; allowed are {listed}"
    for key, only, breaks, words in _BOUNDS:
        bound = definition.value(key)
        applies = _is_number(value) if only else isinstance(value, (str, list))
        if _is_number(bound) and applies and breaks(value, bound):
            unit = "items" if isinstance(value, list) else "characters"
            return f"{title}; allowed is {words.format(bound, unit)}"
    return None


def _is_allowed(value: Any, allowed: list[Any]) -> bool:
    """An array may be any choice of what is allowed; text is compared without regard to case, as Azure does."""
    if any(isinstance(item, str) and is_expression(item) for item in allowed):
        return True
    if isinstance(value, list) and not any(isinstance(item, Seq) for item in allowed):
        return all(_is_allowed(item, allowed) for item in value)
    return any(_same(value, item) for item in allowed)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a.casefold() == b.casefold()
    return type(a) is type(b) and bool(a == b)


def supplied_parameters(
    document: Any, file: str, problems: list[Problem], places: dict[str, Place] | None = None
) -> dict[str, Any]:
    """The values of a parameter file. ``document`` is its tree; a Key Vault reference becomes `Unavailable`.

    ``file``: its name; ``places`` gets where each value stands.
    """
    if isinstance(document, Map) and isinstance(document.value("parameters"), Map):
        document = document.value("parameters")
    if not isinstance(document, Map):
        problems.append(Problem("", 'this is not a parameter file: expected {"parameters": {name: {"value": …}}}'))
        return {}
    supplied: dict[str, Any] = {}
    for name, entry in document.items():
        if name.startswith("$") or name.casefold() == "contentversion":
            continue
        line = line_of(document, name)
        if places is not None:
            places[name] = Place(f"parameters.{name}", None, f" (in {file}, line {line})")
        if isinstance(entry, Map) and entry.find("value") is not None:
            supplied[name] = entry.value("value")
        elif isinstance(entry, Map) and entry.find("reference") is not None:
            supplied[name] = Unavailable(FROM_VAULT)
        else:
            problems.append(Place(f"parameters.{name}", line).problem(f"the parameter {name!r} has no 'value'"))
    return supplied


def parameters_beside(deployment: Map) -> dict[str, Any]:
    """The values that a deployment outside of any template gives to the template in it (a request, a blueprint)."""
    given = deployment.value("parameters")
    supplied: dict[str, Any] = {}
    for name, entry in given.items() if isinstance(given, Map) else ():
        value = entry.value("value") if isinstance(entry, Map) else None
        if isinstance(entry, Map) and entry.find("reference") is not None:
            supplied[name] = Unavailable(FROM_VAULT)
        elif isinstance(value, str) and is_expression(value):
            supplied[name] = Unavailable("is given by what deploys the template")
        elif value is not None:
            supplied[name] = value
    return supplied
