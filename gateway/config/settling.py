"""What a reader of ARM documents makes of what it does not know: a warning that says what happens instead."""

from __future__ import annotations

from gateway.config.cursor import Cursor
from gateway.errors import Problem

__all__ = ["failed", "merged", "settle"]

_TEXT = "text"


def settle(problems: list[Problem], start: int, words: str) -> bool:
    """Make warnings of what is not known, from a problem on. Whether there is any.

    ``words``: what happens instead.
    """
    found = [index for index in range(start, len(problems)) if problems[index].severity == "unknown"]
    for index in found:
        message = f"{problems[index].message}; until then {words}"
        problems[index] = problems[index]._replace(message=message, severity="warning")
    return bool(found)


def failed(problems: list[Problem], start: int) -> bool:
    """Whether there are errors from a problem on."""
    return any(problem.severity == "error" for problem in problems[start:])


def merged(cursor: Cursor) -> dict[str, Cursor]:
    """The members of an object and those of its ``properties``.

    Without those that are others once more as text, as PowerShell prints them (``ProbesText`` beside ``Probes``).
    """
    members = cursor.members()
    inner = members.get("properties")
    if inner is not None:
        for key, value in inner.members().items():
            if key != "name" or "name" not in members:
                members[key] = value
    copies = [key for key in members if key.endswith(_TEXT) and key.removesuffix(_TEXT) in members]
    for key in copies:
        del members[key]
    return members
