"""What is different between two configurations, in a few lines for the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.config.model import Gateway, Member, Pool
from gateway.http.authority import authority

__all__ = ["difference"]

_MOST = 8


def difference(old: Gateway, new: Gateway) -> list[str]:
    """One line for each part that has changed: what came (``+``), went (``-``) and is not as it was (``~``).

    Names only, but for the members of pools: values may be secrets.  Empty where the two are equal.
    """
    lines = []
    for field, info in Gateway.model_fields.items():
        before, after = getattr(old, field), getattr(new, field)
        if field == "not_honoured" or before == after:
            continue
        word = info.alias or field
        old_named, new_named = _named(before), _named(after)
        named = old_named is not None and new_named is not None
        lines.append(f"{word}: {_changes(old_named or {}, new_named or {}) if named else 'changed'}")
    return lines


def _named(values: Any) -> dict[str, Any] | None:
    """The members of a collection by name; ``None`` for what has no names."""
    if not isinstance(values, tuple):
        return None
    named = {value.name: value for value in values if hasattr(value, "name")}
    return named if len(named) == len(values) else None


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    marked = [f"+{name}" for name in after if name not in before]
    marked += [f"-{name}" for name in before if name not in after]
    marked += [
        f"~{name}{_members(before[name], value)}"
        for name, value in after.items()
        if name in before and before[name] != value
    ]
    return _some(marked) or "another order"


def _members(before: Any, after: Any) -> str:
    """The members that came and went, where ``before`` and ``after`` are pools."""
    if not isinstance(before, Pool) or not isinstance(after, Pool):
        return ""
    old, new = list(map(_place, before.members)), list(map(_place, after.members))
    marked = [f"+{place}" for place in new if place not in old] + [f"-{place}" for place in old if place not in new]
    return f" ({_some(marked)})" if marked else ""


def _place(member: Member) -> str:
    return authority(member.host, member.port)


def _some(marked: Iterable[str]) -> str:
    every = list(marked)
    more = f", and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + more
