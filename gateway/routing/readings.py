"""What a path means, and to whom.

A path is brought into one form before it is compared, because the backend will understand ``/%61dmin``,
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
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, TypeVar
from urllib.parse import unquote, unquote_to_bytes

from gateway.errors import AmbiguousPath

__all__ = ["decoded", "folded", "has_dots", "is_odd", "is_plain", "readings", "resolved", "settled"]

_T = TypeVar("_T")

_MOST: Final = 32
_MOST_CHARACTERS: Final = 16384
"""Readings of one path, and characters of all of them; what has more is too ambiguous to be told. Each condition looks
at each of them."""

_needs_work = re.compile(r"[%\\\x80-\xff]|//|/\.")
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


is_odd: Final = re.compile(r"[%\\;\x80-\xff]|//|/\.").search
"""A match where `folded` does more than to lower the case, and `settled` may have something to look at. HOT"""


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
