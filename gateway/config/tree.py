"""Documents as trees that know their lines.

Both readers (`lenient_json`, `yaml_reader`) give plain Python values, except that mappings are `Map` and
sequences are `Seq`: a ``dict`` and a ``list`` which remember on which line each value stands, so that an error
found much later still points into the user's file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from gateway.errors import ConfigurationError, Problem

__all__ = [
    "MAX_DEPTH",
    "Hints",
    "Map",
    "Place",
    "Seq",
    "decode",
    "is_secret",
    "line_of",
    "nearest",
    "plain",
    "show",
    "syntax_error",
]

MAX_DEPTH = 64
"""Levels of nesting that a document may have."""

_MAX_KNOWN = 2000
_USER = re.compile(r"(?<=//)[^/\s]*@|^[^/\s]*:[^/\s]*@")
"""User name and password in front of a host."""
_SECRET_WORDS = ("password", "data", "secret", "token")


class Map(dict[str, Any]):
    """A mapping: ``line`` where it starts, ``lines[key]`` where the key stands (one-based)."""

    __slots__ = ("_folded", "line", "lines")

    def __init__(self, line: int | None = None) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int | None] = {}
        self._folded: tuple[int, dict[str, str]] = (0, {})

    def put(self, key: str, value: Any, line: int | None) -> None:
        self[key] = value
        self.lines[key] = line
        self._folded = (0, {})

    def find(self, name: str) -> str | None:
        """The key as the document spells it, compared without regard to case; ``None`` if absent."""
        if name in self:
            return name
        if len(self) < 8:
            folded = name.casefold()
            return next((key for key in self if key.casefold() == folded), None)
        if self._folded[0] != len(self):
            self._folded = (len(self), {key.casefold(): key for key in reversed(self)})
        return self._folded[1].get(name.casefold())

    def value(self, name: str, default: Any = None) -> Any:
        key = self.find(name)
        return default if key is None else self[key]


class Seq(list[Any]):
    """A sequence: ``line`` where it starts, ``lines[i]`` where item ``i`` stands."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int | None = None) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int | None] = []

    def add(self, value: Any, line: int | None) -> None:
        self.append(value)
        self.lines.append(line)


class Place(NamedTuple):
    """Where something stands in the user's file. ``note`` says what it was made from, if not literally there."""

    path: str
    line: int | None = None
    note: str = ""

    def child(self, key: str, line: int | None = None) -> Place:
        path = f"{self.path}.{key}" if self.path else key
        return Place(path, self.line if line is None else line, self.note)

    def item(self, index: int, line: int | None = None) -> Place:
        return Place(f"{self.path}[{index}]", self.line if line is None else line, self.note)

    def problem(self, message: str, severity: str = "error") -> Problem:
        return Problem(self.path, message + self.note, self.line, severity)


def line_of(container: Any, key: Any) -> int | None:
    """The line of one value of a `Map` or `Seq`; ``None`` for values that come from elsewhere."""
    if isinstance(container, Map):
        return container.lines.get(key, container.line)
    if isinstance(container, Seq) and isinstance(key, int) and key < len(container.lines):
        return container.lines[key]
    return None


def plain(value: Any) -> Any:
    """The same value without lines, for what comes from a second file. Shared parts stay shared."""
    return _plain(value, {})


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, (dict, list)):
        if id(value) not in seen:
            if isinstance(value, dict):
                seen[id(value)] = {key: _plain(item, seen) for key, item in value.items()}
            else:
                seen[id(value)] = [_plain(item, seen) for item in value]
        return seen[id(value)]
    return value


def is_secret(key: str) -> bool:
    """Whether the value of a key must not be shown."""
    return any(word in key.casefold() for word in _SECRET_WORDS)


def show(value: Any, key: str = "") -> str:
    """A value as an error message shows it: short, typed, and never a secret."""
    if is_secret(key):
        return "a value (not shown)"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    if not isinstance(value, str):
        return str(value)[:40]
    value = _USER.sub("(not shown)@", value[:1000])
    return repr(value) if len(value) <= 80 else f"{repr(value[:80])[:-1]}…'"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is most like ``word``, or ``None``."""
    table = {item.casefold(): item for item in islice(known, _MAX_KNOWN)}
    found = difflib.get_close_matches(word.casefold()[:100], list(table), 1, cutoff)
    return table[found[0]] if found else None


class Hints:
    """`nearest` for the first mistakes of a document: looking for the word that is meant takes long."""

    def __init__(self, most: int = 40) -> None:
        self._left = most

    def nearest(self, word: str, known: Iterable[str]) -> str | None:
        self._left -= 1
        return nearest(word, known) if self._left >= 0 else None


def syntax_error(source: str, message: str, line: int | None, column: int | None = None) -> ConfigurationError:
    """A document that cannot be read at all."""
    where = f"column {column}: " if column is not None else ""
    return ConfigurationError([Problem("", where + message, line)], source)


def decode(data: bytes, source: str) -> str:
    """Text of a file: UTF-8 with or without byte order mark, or UTF-16 with one."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1 if encoding == "utf-8-sig" else None
        raise syntax_error(source, f"byte {error.start + 1} is not UTF-8 text; save the file as UTF-8", line) from None
