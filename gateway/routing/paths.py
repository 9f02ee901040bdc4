"""Path maps: which rule a path belongs to.

The path is brought into one form before it is compared, because the backend will understand ``/%61dmin``,
``/x/../admin`` and ``//admin`` as ``/admin`` and a rule for ``/admin*`` must not be passed by with them:
percent-encoding is decoded once, a backslash is a slash (to IIS it is), repeated slashes become one, dot segments are
removed (RFC 3986 §5.2.4), also those with parameters (``..;x``, to Tomcat they are), and parameters of segments and
case are ignored.  This form is for comparing only; what is sent to the backend is what the client sent.

A dot segment that is removed here and not by the backend would lead past a rule as well: ``/admin/../x`` is under
``/admin`` to a server that leaves it.  So where there is one, all `readings` of the path have to lead to the same rule
(`settled`), or the request is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, Generic, TypeVar
from urllib.parse import unquote, unquote_to_bytes

from gateway.errors import AmbiguousPath

__all__ = ["PathMap", "decoded", "folded", "has_dots", "is_plain", "literal", "readings", "resolved", "settled"]

_T = TypeVar("_T")

_MOST: Final = 32
_MOST_CHARACTERS: Final = 16384
"""Readings of one path, and characters of all of them; what has more is too ambiguous to be told. Each condition looks
at each of them."""

_needs_work = re.compile(r"[%\\\x80-\xff]|//|/\.")
_odd = re.compile(r"[%\\;\x80-\xff]|//|/\.")
_parameters = re.compile(r";[^/]*")
_slashes = re.compile(r"/{2,}")
_DOTS = r"(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=[/\\;]|%2f|%5c|%3b|\Z)"
_dots = re.compile(_DOTS, re.IGNORECASE)
# A parameter with a slash of another kind in it ends there, or goes on: ``/;%2fx/admin`` is ``/admin`` to Tomcat.
_doubtful = re.compile(rf"{_DOTS}|(?:;|%3b)(?:[^/;\\%]|%(?!2f|5c|3b))*+(?:\\|%2f|%5c)", re.IGNORECASE)

# What is encoded and matters where it is decoded stands for itself until then; a path has no such characters.
_SLASH, _BACKSLASH, _DOT, _SEMICOLON = "\ue000\ue001\ue002\ue003"
_STANDS = (("%2f", _SLASH), ("%5c", _BACKSLASH), ("%2e", _DOT), ("%3b", _SEMICOLON))
_ENCODED = {ord(mark): encoded for encoded, mark in _STANDS}
_ALL_BUT_SLASHES = {ord(_BACKSLASH): "\\", ord(_DOT): ".", ord(_SEMICOLON): ";"}
_ALL = {**_ALL_BUT_SLASHES, ord(_SLASH): "/"}


def decoded(path: str) -> str:
    """A path as text: decoded once, without backslashes, dot segments and repeated slashes; case as it was.

    ``path`` is from the wire, so it is text in latin-1.  Bytes that are not UTF-8 are kept as lone surrogates, so
    that different paths stay different and encoding with ``surrogateescape`` gives the bytes back.
    """
    if not _needs_work.search(path):
        return path
    text = unquote_to_bytes(path.encode("latin-1", "replace")).decode("utf-8", "surrogateescape")
    text = _slashes.sub("/", text.replace("\\", "/"))
    return resolved(text) if "/." in text else text


def is_plain(path: str) -> bool:
    """Whether `decoded` leaves this path as it is."""
    return _needs_work.search(path) is None


def has_dots(path: str) -> bool:
    """Whether a path has a dot segment to anybody: encoded, between backslashes, with parameters."""
    return _dots.search(path) is not None


def folded(path: str) -> str:
    """The form in which paths and patterns are compared. HOT."""
    path = path.lower() if not _needs_work.search(path) else decoded(path).lower()
    return _slashes.sub("/", _parameters.sub("", path)) if ";" in path else path


def settled(path: str, found: _T, decide: Callable[[str], _T]) -> _T:
    """``found``, which was decided of the usual form of a path, if ``decide`` finds the same for all `readings`.

    They are text as `decoded` gives it.  Raises `AmbiguousPath`.  Costs nothing but a search where there is no dot
    segment.
    """
    if _doubtful.search(path) is not None:
        for reading in readings(path):
            if decide(reading) != found:
                raise AmbiguousPath(
                    f"the path {path[:100]!r} is {decoded(path)[:100]!r} to some servers and {reading[:100]!r} to "
                    "others, and different rules are for these"
                )
    return found


def readings(path: str) -> Sequence[str]:
    """What servers may take a path for: whatever these steps make of it, in any order and none of them needed.

    Everything is decoded, or all but slashes; a backslash is a slash; parameters are cut, or all that follows
    the first; repeated slashes are one; dot segments are removed.  So also what a server makes of a path that a proxy
    before it has normalized in its own way is among them.  Raises `AmbiguousPath` where they become too many.
    """
    found = _readings(path)
    if found is None:
        raise AmbiguousPath(f"the path {path[:100]!r} can be read in too many ways")
    return found


@lru_cache(maxsize=8)
def _readings(path: str) -> Sequence[str] | None:
    """`readings`, or ``None`` if they are too many. Remembered, for a request may meet several conditions."""
    for encoded, mark in _STANDS:
        path = path.replace(encoded, mark).replace(encoded.upper(), mark)
    waiting = [unquote(path, "latin-1")]
    seen = set(waiting)
    found: list[str] = []
    left = _MOST_CHARACTERS
    while waiting:
        form = waiting.pop()
        left -= len(form)
        if left < 0 or len(found) == _MOST:
            return None
        text = form.translate(_ENCODED)
        found.append(text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "surrogateescape"))
        for step in _STEPS:
            made = step(form)
            if made not in seen:
                seen.add(made)
                waiting.append(made)
    return tuple(found)


def literal(pattern: str) -> str:
    """The literal part of a pattern: without its final ``*``, as written."""
    return pattern[:-1] if pattern.endswith("*") else pattern


def resolved(path: str) -> str:
    """A path without dot segments (RFC 3986 §5.2.4), also those with parameters."""
    segments: list[str] = []
    parts = path.split("/")[1:] if path.startswith("/") else path.split("/")
    bare = ""
    for part in parts:
        bare = part.partition(";")[0]
        if bare == "..":
            if segments:
                segments.pop()
        elif bare != ".":
            segments.append(part)
    if bare in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def _without_dots(path: str) -> str:
    """The same, but segments with parameters stay."""
    if "/." not in path:
        return path
    segments: list[str] = []
    parts = path.split("/")
    for part in parts[1:]:
        if part == "..":
            if segments:
                segments.pop()
        elif part != ".":
            segments.append(part)
    if parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


_STEPS: Final[Sequence[Callable[[str], str]]] = (
    lambda path: path.translate(_ALL),
    lambda path: path.translate(_ALL_BUT_SLASHES),
    lambda path: path.replace("\\", "/"),
    lambda path: _parameters.sub("", path),
    lambda path: path.partition(";")[0],
    lambda path: _slashes.sub("/", path),
    _without_dots,
)


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
        if _odd.search(path) is None:
            return self._values[self._number(path.lower())]
        number = self._number(folded(path))
        if _doubtful.search(path) is not None:
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
