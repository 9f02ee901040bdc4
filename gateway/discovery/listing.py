"""A file that lists members: JSON, YAML, or one member a line.

A member is ``host:port`` or a mapping with the attributes of a member in a configuration; a list of them stands alone
or under ``members`` or ``backends``.  In other files each line is ``host:port``, perhaps with ``weight=3`` or
``priority=1`` behind it, and ``#`` begins a comment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.compact import parse_backend
from gateway.config.model import Member
from gateway.config.problems import unknown
from gateway.config.sources import read_tree
from gateway.config.tree import Map, line_of, plain, show
from gateway.errors import ConfigurationError, Problem

__all__ = ["read_members"]

_TREES = (".json", ".jsonc", ".yaml", ".yml")
_MOST_BYTES = 4 << 20


def read_members(path: str) -> tuple[Member, ...]:
    """The members, in the order of the file; the first of two with the same host and port counts.

    Raises `ConfigurationError` with what is wrong and the line.  A file that is empty is wrong, for it may not be
    written yet; an empty list is none.
    """
    problems: list[Problem] = []
    entries = _tree(path) if Path(path).suffix.lower() in _TREES else _lines(path)
    members: dict[tuple[str, int | None], Member] = {}
    for entry, line in entries:
        try:
            member = _member(entry)
        except ValueError as error:
            problems.append(Problem("", _sentence(error), line))
        else:
            members.setdefault((member.host, member.port), member)
    if problems:
        raise ConfigurationError(problems, path)
    return tuple(members.values())


def _tree(path: str) -> list[tuple[Any, int | None]]:
    tree = read_tree(path)
    if isinstance(tree, Map):
        key = tree.find("members") or tree.find("backends")
        if key is None:
            raise ConfigurationError([Problem("", "expected a list, alone or under 'members'", tree.line)], path)
        tree = tree[key]
    if not isinstance(tree, list):
        raise ConfigurationError([Problem("", f"found {show(tree)}, expected a list of members")], path)
    return [(plain(entry), line_of(tree, index)) for index, entry in enumerate(tree)]


def _lines(path: str) -> list[tuple[Any, int | None]]:
    try:
        with open(path, "rb") as stream:
            text = stream.read(_MOST_BYTES + 1).decode()
    except (OSError, ValueError) as error:
        raise ConfigurationError([Problem("", f"cannot read the file: {error}")], path) from error
    if len(text) > _MOST_BYTES:
        raise ConfigurationError([Problem("", f"the file has more than {_MOST_BYTES >> 20} MiB")], path)
    entries = list(_entries(text))
    if not entries:
        raise ConfigurationError([Problem("", "the file lists nobody")], path)
    return entries


def _entries(text: str) -> Iterator[tuple[Any, int | None]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        pairs = [word.partition("=") for word in words[1:]]
        wrong = next((key for key, mark, _ in pairs if not mark), None)
        if wrong is not None:
            yield wrong if len(wrong) > 80 else f"{words[0]} {wrong}", number  # a host with a space: refused as such
        else:
            yield {"host": words[0], **{key: value for key, _, value in pairs}}, number


def _member(entry: Any) -> Member:
    """Raises ``ValueError``, which a ``ValidationError`` is too."""
    given = {"host": entry} if isinstance(entry, str) else entry
    if not isinstance(given, dict) or not isinstance(given.get("host"), str):
        raise ValueError(f"found {show(entry)}, expected host:port or a mapping with 'host'")
    _, host, port = parse_backend(given["host"])
    return Member.model_validate({**({} if port is None else {"port": port}), **given, "host": host})


def _sentence(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(
            unknown(detail["loc"], Member)
            if detail["type"] == "extra_forbidden"
            else f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
            for detail in details[:3]
        )
    return str(error)
