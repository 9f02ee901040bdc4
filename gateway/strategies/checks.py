"""What is wrong with the strategies that a configuration names, and with their options. Nothing is built here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ValidationError

from gateway.config.problems import describe, unknown
from gateway.errors import ConfigurationError, Problem
from gateway.strategies.blame import wrong
from gateway.strategies.groups import GROUPS
from gateway.strategies.places import uses

if TYPE_CHECKING:
    from gateway.config.model import Gateway, Strategy
    from gateway.strategies.factories import Factories, Found

__all__ = ["check_strategies", "checked_options", "nested", "option_path"]

_MOST_PROBLEMS = 20


class _Named(NamedTuple):
    """A strategy that a configuration names; ``path`` and ``options_path``: where its name and its options stand."""

    group: str
    name: str
    options: Mapping[str, object]
    path: str
    options_path: str


def check_strategies(factories: Factories, model: Gateway) -> list[Problem]:
    """What is wrong with the strategies that ``model`` names and with their options."""
    problems = [
        Problem(f"{path}.optional", "only middleware can be optional: what happens without it is for its kind to say")
        for group, path, strategy in _objects(model)
        if strategy.optional and group != "gateway.middleware"
    ]
    for named in _named(model):
        try:
            found = factories.find(named.group, named.name, named.path)
            checked_options(factories, found, named.options, named.options_path)
        except ConfigurationError as error:
            problems.extend(error.problems)
    return problems


def _named(model: Gateway) -> Iterator[_Named]:
    for number, pool in enumerate(model.pools):
        at = f"pools[{number}].selector"
        yield _Named("gateway.selectors", pool.selector, pool.selector_options, at, f"{at}Options")
    for number, probe in enumerate(model.probes):
        at = f"probes[{number}]"
        yield _Named("gateway.probes", probe.strategy, probe.options, f"{at}.strategy", f"{at}.options")
    for group, path, strategy in _objects(model):
        yield _Named(group, strategy.strategy, strategy.options, path, f"{path}.options")


def _objects(model: Gateway) -> Iterator[tuple[str, str, Strategy]]:
    for number, pool in enumerate(model.pools):
        if pool.discovery is not None:
            yield "gateway.discovery", f"pools[{number}].discovery", pool.discovery
    for field in ("middleware", "filters", "observers"):
        for _, path, strategies in uses(model, field):
            for number, strategy in enumerate(strategies):
                yield f"gateway.{field}", f"{path}[{number}]", strategy
    for number, rule in enumerate(model.rules):
        if rule.router is not None:
            yield "gateway.routers", f"rules[{number}].router", rule.router


def checked_options(
    factories: Factories, found: Found, options: Mapping[str, object], path: str = ""
) -> BaseModel | None:
    """``options`` of a configuration as the factory's options class; all that is wrong with them is reported."""
    word = GROUPS[found.group].word
    accepted = found.factory.options
    if accepted is None:
        if options:
            names = ", ".join([repr(name) for name in list(options)[:_MOST_PROBLEMS]])
            raise wrong(path, f"{word} {found.factory.name!r} takes no options, found {names}")
        return None
    try:
        checked: BaseModel = accepted.model_validate(dict(options))
    except ValidationError as error:
        raise ConfigurationError(_problems(error, path, accepted)) from None
    except BaseException as error:  # its text may quote a value
        blame = f"{word} {found.factory.name!r} ({found.source})"
        raise wrong(path, f"{blame}: its options cannot be checked: {type(error).__name__}") from error
    for field, group in nested(accepted).items():
        inner = getattr(checked, field)
        for place, strategy in _strategies(inner, option_path(accepted, field, path)):
            within = factories.find(group, strategy.strategy, place)
            checked_options(factories, within, strategy.options, f"{place}.options")
    return checked


def nested(options: type[BaseModel]) -> dict[str, str]:
    """The options that name strategies themselves, ``Annotated[Strategy, group]``, with the group."""
    found = {}
    for name, field in options.model_fields.items():
        group = next((word for word in field.metadata if isinstance(word, str) and word in GROUPS), None)
        if group is not None:
            found[name] = group
    return found


def option_path(options: type[BaseModel], field: str, path: str) -> str:
    """Where the option ``field`` of the options at ``path`` stands."""
    return f"{path}.{options.model_fields[field].alias or field}"


def _strategies(value: Any, place: str) -> Iterator[tuple[str, Strategy]]:
    """The strategies of such an option, with their places: one, none or several."""
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield f"{place}[{number}]", item
    elif value is not None:
        yield place, value


def _problems(error: ValidationError, path: str, accepted: type[BaseModel]) -> list[Problem]:
    problems = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]:
        missing = detail["type"] == "missing"
        place = path
        for part in detail["loc"][:-1] if missing else detail["loc"]:
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
        problems.append(Problem(place, _said(detail["type"], detail["loc"], accepted) or detail["msg"]))
    return problems


def _said(kind: str, location: tuple[int | str, ...], accepted: type[BaseModel]) -> str | None:
    """In the gateway's own words, where pydantic's are for programmers."""
    if kind == "missing":
        return _missing(location, accepted)
    return unknown(location, accepted, "option") if kind == "extra_forbidden" else None


def _missing(location: tuple[int | str, ...], accepted: type[BaseModel]) -> str:
    """What is said of an option that is not there; also what it takes, where that is easily said."""
    name = str(location[-1])
    fields = {field.alias or key: field for key, field in accepted.model_fields.items()}
    field = fields.get(name) if len(location) == 1 else None
    known = field is not None and field.annotation in (int, float, str, bool)
    return f"{name!r} is missing" + (f"; it takes {describe(field)}" if field is not None and known else "")
