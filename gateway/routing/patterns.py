"""Regular expressions that hostile input cannot make run for ever.

Application Gateway's patterns are RE2's (reference §2.4), and RE2 is what reads them here: its time grows with the
length of the text and never with the number of ways in which it might match.  What RE2 lacks by design (look-around,
back-references, atomic groups) is refused when the configuration is read.

A pattern is looked for anywhere in a text; ``^`` and ``$`` tie it to the ends.  It sees bytes: text of a head is
latin-1, one character for each byte, and other characters of a pattern stand for their bytes in UTF-8.
"""

from __future__ import annotations

import re
from typing import Any, Final

import re2

__all__ = ["MOST_GROUPS", "Pattern", "PatternError"]

MOST_GROUPS: Final = 50
_LONGEST = 4096
_LARGEST = 1000
"""Instructions of a compiled pattern. The time is at most in proportion to this times the text: 0.2 s for 32 KiB."""

_MEMORY = 8 << 20
_MISSING: Final = (
    (re.compile(r"\(\?<?[=!]"), "look-ahead and look-behind are"),
    (re.compile(r"\\[1-9]|\\[gk][{<']|\(\?P="), "back-references are"),
    (re.compile(r"\(\?>"), "atomic groups are"),
    (re.compile(r"[*+?}]\+"), "possessive quantifiers are"),
    (re.compile(r"\(\?(?:R|\d|&|\()"), "recursion and conditionals are"),
)
# A character after a backslash, or a class: neither can hold one of the above, except for the escapes themselves.
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\]", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\[^1-9gkZ]", re.DOTALL)
_FINAL: Final = re.compile(r"(\\.)|(\[\^?\]?(?:\\.|[^\]\\])*\])", re.DOTALL)


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why, for the person who wrote it."""


class Pattern:
    """A compiled pattern.

    ``source``: as written.  ``groups``: how many there are.  Raises `PatternError`.
    """

    __slots__ = ("_search", "groups", "source")

    def __init__(self, source: str, ignore_case: bool = False) -> None:
        if len(source) > _LONGEST:
            raise PatternError(f"a pattern has at most {_LONGEST} characters, this one has {len(source)}")
        options: Any = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.case_sensitive = not ignore_case
        options.max_mem = _MEMORY
        try:
            compiled: Any = re2.compile(_FINAL.sub(_python_end, source).encode("utf-8", "surrogateescape"), options)
        except re2.error as error:
            raise PatternError(_reason(source, error)) from None
        if compiled.programsize > _LARGEST:
            raise PatternError("the pattern is too large: its counted repetitions multiply")
        if compiled.groups > MOST_GROUPS:
            raise PatternError(f"a pattern has at most {MOST_GROUPS} groups, this one has {compiled.groups}")
        self.source = source
        self.groups: int = compiled.groups
        self._search = compiled.search

    def search(self, text: str) -> tuple[str, ...] | None:
        """What matched and its groups, empty ones for those that took no part; ``None`` where nothing does."""
        found = self._search(text.encode("latin-1", "replace"))
        if found is None:
            return None
        return tuple([(group or b"").decode("latin-1") for group in (found[0], *found.groups())])

    def __repr__(self) -> str:
        return f"Pattern({self.source!r})"


def _python_end(found: re.Match[str]) -> str:
    r"""``\Z`` is what PCRE and Python call the end; RE2 has ``\z``."""
    return r"\z" if found[1] == r"\Z" else found[0]


def _reason(source: str, error: Exception) -> str:
    plain = _ESCAPED.sub("", _CLASS.sub("", source))
    for lacking, words in _MISSING:
        if lacking.search(plain):
            return (
                f"{words} not in the pattern language (RE2), which keeps patterns from running for ever; "
                "use 'negate', or several conditions"
            )
    text = error.args[0] if error.args else ""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
