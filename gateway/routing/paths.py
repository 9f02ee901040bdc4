"""Path maps: which rule a path belongs to. What of a path counts for that is in `gateway.routing.readings`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from gateway.routing.readings import folded, is_odd, settled

__all__ = ["PathMap", "literal"]

_T = TypeVar("_T")


def literal(pattern: str) -> str:
    """The literal part of a pattern: without its final ``*``, as written."""
    return pattern[:-1] if pattern.endswith("*") else pattern


class PathMap(Generic[_T]):
    """The first pattern in the order listed that matches gives the value, otherwise ``default``.

    ``rules`` are pairs of a pattern and its value.  A pattern begins with ``/``; a ``*`` at its end stands for anything
    (also nothing), without it the whole path must be equal.  ``names``: of the rules that the patterns belong to; it
    does not matter which pattern of a rule a path is read as.  Without them patterns with the same value belong
    together.
    """

    def __init__(self, rules: Iterable[tuple[str, _T]], default: _T, names: Sequence[str] | None = None) -> None:
        self._values: list[_T] = [default]
        self._patterns: list[tuple[str, bool]] = []
        # The first number of each text: of whole paths, and of beginnings, which are looked up by their lengths.
        self._whole: dict[str, int] = {}
        self._beginnings: dict[str, int] = {}
        for number, (pattern, value) in enumerate(rules, 1):
            # Patterns are text from a file; encoded like this they are what a client would send.
            text = folded(literal(pattern).encode("utf-8").decode("latin-1"))
            begins = pattern.endswith("*")
            (self._beginnings if begins else self._whole).setdefault(text, number)
            self._patterns.append((text, begins))
            self._values.append(value)
        self._lengths = sorted({len(text) for text in self._beginnings})
        self._kin: Sequence[object] = self._values if names is None else [None, *names]

    def tried(self, target: str) -> Iterator[tuple[_T, bool]]:
        """Value and whether its pattern matches, in the order listed, up to the first that does. For explanations."""
        path = folded(target.partition("?")[0])
        for (text, begins), value in zip(self._patterns, self._values[1:], strict=True):
            matches = path.startswith(text) if begins else path == text
            yield value, matches
            if matches:
                return

    def find(self, target: str) -> _T:
        """The value for a request target (the query is left aside). HOT. Raises `AmbiguousPath`."""
        if not self._patterns:
            return self._values[0]
        path = target.partition("?")[0]
        if is_odd(path) is None:
            return self._values[self._number(path.lower())]
        number = self._number(folded(path))
        settled(path, self._kin[number], lambda reading: self._kin[self._number(reading.lower())])
        return self._values[number]

    def _number(self, path: str) -> int:
        """Of the pattern that matches, from 1; 0 is the default."""
        beginnings, size = self._beginnings, len(path)
        number = self._whole.get(path, 0)
        for length in self._lengths:
            if length > size:
                break
            found = beginnings.get(path[:length])
            if found is not None and (found < number or not number):
                number = found
        return number
