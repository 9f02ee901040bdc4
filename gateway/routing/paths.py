"""Path maps: which rule a path belongs to.

The path is brought into one form before it is compared, because the backend will understand ``/%61dmin``,
``/x/../admin`` and ``//admin`` as ``/admin`` and a rule for ``/admin*`` must not be passed by with them:
percent-encoding is decoded once, a backslash is a slash (to IIS it is), repeated slashes become one, dot segments are
removed (RFC 3986 §5.2.4), also those with parameters (``..;x``, to Tomcat they are), and parameters of segments and
case are ignored.  This form is for comparing only; what is sent to the backend is what the client sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

__all__ = ["PathMap", "decoded", "folded", "is_plain", "literal"]

_T = TypeVar("_T")

_needs_work = re.compile(r"[%\\\x80-\xff]|//|/\.")
_parameters = re.compile(r";[^/]*")
_slashes = re.compile(r"/{2,}")


def decoded(path: str) -> str:
    """A path as text: decoded once, without backslashes, dot segments and repeated slashes; case as it was.

    ``path`` is from the wire, so it is text in latin-1.  Bytes that are not UTF-8 are kept as lone surrogates, so
    that different paths stay different and encoding with ``surrogateescape`` gives the bytes back.
    """
    if not _needs_work.search(path):
        return path
    text = unquote_to_bytes(path.encode("latin-1", "replace")).decode("utf-8", "surrogateescape")
    text = _slashes.sub("/", text.replace("\\", "/"))
    return _without_dots(text) if "/." in text else text


def is_plain(path: str) -> bool:
    """Whether `decoded` leaves this path as it is."""
    return _needs_work.search(path) is None


def folded(path: str) -> str:
    """The form in which paths and patterns are compared. HOT."""
    path = path.lower() if not _needs_work.search(path) else decoded(path).lower()
    return _slashes.sub("/", _parameters.sub("", path)) if ";" in path else path


def literal(pattern: str) -> str:
    """The literal part of a pattern: without its final ``*``, as written."""
    return pattern[:-1] if pattern.endswith("*") else pattern


def _without_dots(path: str) -> str:
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


class PathMap(Generic[_T]):
    """The first pattern in the order listed that matches gives the value, otherwise ``default``.

    ``rules`` are pairs of a pattern and its value.  A pattern begins with ``/``; a ``*`` at its end stands for anything
    (also nothing), without it the whole path must be equal.
    """

    def __init__(self, rules: Iterable[tuple[str, _T]], default: _T) -> None:
        self._default = default
        self._values: list[_T] = []
        alternatives: list[str] = []
        for pattern, value in rules:
            # Patterns are text from a file; encoded like this they are what a client would send.
            sent = literal(pattern).encode("utf-8").decode("latin-1")
            text = re.escape(folded(sent))
            alternatives.append(f"({text})" if pattern.endswith("*") else f"({text}\\Z)")
            self._values.append(value)
        self._alternatives = alternatives
        # One alternation instead of a loop: the regex engine takes the first alternative that fits, as we must.
        self._match = re.compile("|".join(alternatives)).match if alternatives else None

    def tried(self, target: str) -> Iterator[tuple[_T, bool]]:
        """Value and whether its pattern matches, in the order listed, up to the first that does. For explanations."""
        path = folded(target.partition("?")[0])
        for alternative, value in zip(self._alternatives, self._values, strict=True):
            matches = re.match(alternative, path) is not None
            yield value, matches
            if matches:
                return

    def find(self, target: str) -> _T:
        """The value for a request target (the query is left aside). HOT."""
        if self._match is None:
            return self._default
        found = self._match(folded(target.partition("?")[0]))
        if found is None:
            return self._default
        return self._values[(found.lastindex or 1) - 1]
