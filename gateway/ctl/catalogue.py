"""What this installation can be told to use: strategies by group, whose they are, and their options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from gateway.config.problems import describe
from gateway.strategies.drop_ins import LeftOut
from gateway.strategies.factories import Factories, Listed
from gateway.strategies.groups import GROUPS

__all__ = ["catalogue", "catalogue_document", "catalogue_text", "options_of"]

_WIDTH = 100


def catalogue(factories: Factories) -> list[Listed]:
    """Every strategy, with what claims to be one and cannot be used, the groups in their order."""
    return [listed for group in GROUPS for listed in factories.listed(group)]


def options_of(factory: Any) -> list[dict[str, Any]]:
    """The options that a factory takes: name, type in words, whether it must be given, default, description."""
    if factory is None or factory.options is None:
        return []
    return [
        {
            "name": field.alias or attribute,
            "type": describe(field),
            "required": field.is_required(),
            "default": _default(field.get_default(call_default_factory=True)),
            "description": field.description or "",
        }
        for attribute, field in factory.options.model_fields.items()
    ]


def _default(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return None if value is PydanticUndefined else to_jsonable_python(value, by_alias=True, fallback=str)


def catalogue_document(found: list[Listed], broken: Sequence[LeftOut]) -> dict[str, Any]:
    """For machines."""
    return {
        "plugins": [
            {
                "group": listed.group,
                "name": listed.name,
                "distribution": listed.distribution or None,
                "version": listed.version or None,
                "where": listed.where,
                "problem": listed.problem or None,
                "options": options_of(listed.factory),
            }
            for listed in found
        ],
        "broken": [{"where": where, "problem": problem} for where, problem in broken],
    }


def catalogue_text(found: list[Listed], broken: Sequence[LeftOut]) -> str:
    """For people."""
    lines: list[str] = []
    for group in GROUPS:
        inside = [listed for listed in found if listed.group == group]
        lines.append(f"{group} ({GROUPS[group].word}){'' if inside else ': none'}")
        for listed in inside:
            lines += _strategy(listed)
    for where, problem in broken:
        lines.append(f"{where} {problem}")
    return "\n".join(lines) + "\n"


def _strategy(listed: Listed) -> Iterator[str]:
    source = f"{listed.distribution} {listed.version}" if listed.distribution else f"drop-in {listed.where}"
    yield f"  {listed.name:<20} {source}"
    if listed.problem:
        yield from textwrap.wrap(f"ERROR: {listed.problem}", _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8)
    for option in options_of(listed.factory):
        default = "required" if option["required"] else _spelled(option["default"])
        words = f"{option['type']}; {default}" if default else option["type"]
        text = f"{option['name']} ({words}): {option['description']}".rstrip(": ")
        yield from textwrap.wrap(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8)


def _spelled(value: Any) -> str:
    """A default in a configuration's words; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(_spelled, value))
    if isinstance(value, dict):
        inside = ", ".join([f"{key}: {text}" for key, each in value.items() if (text := _spelled(each))])
        return f"{{{inside}}}" if inside else ""
    return str(value)
