"""Reads JSON as people write it into templates, and remembers lines.

More than RFC 8259 is accepted, because Azure's own tools and documentation have it: a byte order mark, ``//`` and
``/* */`` comments, trailing commas, single quotes, unquoted keys, line breaks inside strings, and a document
that is only members (``"httpListeners": [...],``) without the braces around them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any, NoReturn

from gateway.config.tree import MAX_DEPTH, Map, Seq, syntax_error

__all__ = ["read_json"]

_SPACE = re.compile(r"(?:[\s\ufeff\u200b]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"|\'([^\'\\\n]*(?:\\.[^\'\\\n]*)*)\'', re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d+(\.\d*)?|(\.\d+))([eE][-+]?\d+)?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'"}
_WORDS = {"true": True, "false": False, "null": None}
_MAX_DIGITS = 40


def read_json(text: str, source: str = "configuration") -> Any:
    """Read one document; raise `ConfigurationError` with line and column where it cannot be read."""
    return _Reader(text, source).document()


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._at = 0
        self._depth = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]

    def document(self) -> Any:
        self._space()
        if self._at == len(self._text):
            self._fail("the file is empty: it needs listeners, pools and rules")
        start = self._at
        if self._text[start] in "\"'":
            self._string()
            self._space()
            bare = self._peek() == ":"
            self._at = start
            if bare:
                return self._members("")
        value = self._value()
        self._space()
        if self._at < len(self._text):
            self._fail(f"{self._found()} after the end of the document")
        return value

    def _space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _line(self, at: int | None = None) -> int:
        return bisect_right(self._breaks, (self._at if at is None else at) - 1) + 1

    def _found(self) -> str:
        if self._text.startswith("/*", self._at):
            return "a comment that is never closed"
        rest = self._text[self._at : self._at + 20].split("\n")[0].strip()
        return f"found {rest!r}" if rest else "found the end of the file"

    def _fail(self, message: str, at: int | None = None) -> NoReturn:
        at = self._at if at is None else at
        line = self._line(at)
        start = self._breaks[line - 2] + 1 if line > 1 else 0
        raise syntax_error(self._source, f"not valid JSON: {message}", line, at - start + 1)

    def _value(self) -> Any:
        char = self._peek()
        if char == "{":
            self._at += 1
            return self._members("}")
        if char == "[":
            return self._items()
        if char in ('"', "'") and char:
            return self._string()
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            return self._number(number)
        word = _WORD.match(self._text, self._at)
        if word is not None and word.group().casefold() in _WORDS:
            self._at = word.end()
            return _WORDS[word.group().casefold()]
        self._fail(f"expected a value, {self._found()}")

    def _number(self, match: re.Match[str]) -> int | float:
        if match.end() - match.start() > _MAX_DIGITS:
            self._fail(f"a number of more than {_MAX_DIGITS} characters")
        self._at = match.end()
        if match.group(1) is None and match.group(2) is None and match.group(3) is None:
            return int(match.group())
        return float(match.group())

    def _string(self) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            self._fail("a string that is never closed")
        raw = match.group(1) if match.group(1) is not None else match.group(2)
        if "\\" in raw:
            raw = self._unescape(raw, match.start() + 1)
        self._at = match.end()
        return raw

    def _unescape(self, raw: str, start: int) -> str:
        def replace(match: re.Match[str]) -> str:
            code = match.group(1)
            if len(code) == 5:
                return chr(int(code[1:], 16))
            if code not in _ESCAPES:
                self._fail(f"unknown escape \\{code}; a backslash itself is written \\\\", start + match.start())
            return _ESCAPES[code]

        text = _ESCAPE.sub(replace, raw)
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._fail("half of a surrogate pair in a \\u escape", start)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} levels deep")

    def _key(self) -> str:
        if self._peek() in ('"', "'") and self._peek():
            return self._string()
        word = _WORD.match(self._text, self._at)
        if word is None:
            self._fail(f"expected a key in quotes, {self._found()}")
        self._at = word.end()
        return word.group()

    def _members(self, end: str) -> Map:
        """The members of an object up to its brace, or up to the end of the file where ``end`` is empty."""
        self._enter()
        result = Map(self._line())
        folded: dict[str, int] = {}
        self._space()
        while self._peek() != end:
            at = self._at
            line = self._line()
            key = self._key()
            if key.casefold() in folded:
                self._fail(f"the key {key!r} is there twice, first on line {folded[key.casefold()]}", at)
            folded[key.casefold()] = line
            self._space()
            if self._peek() != ":":
                self._fail(f"expected ':' after the key {key!r}, {self._found()}")
            self._at += 1
            self._space()
            result.put(key, self._value(), line)
            self._separator(end, "}")
        self._at += len(end)
        self._depth -= 1
        return result

    def _items(self) -> Seq:
        self._enter()
        result = Seq(self._line())
        self._at += 1
        self._space()
        while self._peek() != "]":
            line = self._line()
            result.add(self._value(), line)
            self._separator("]", "]")
        self._at += 1
        self._depth -= 1
        return result

    def _separator(self, end: str, shown: str) -> None:
        self._space()
        if self._peek() == ",":
            self._at += 1
            self._space()
        elif self._peek() != end:
            self._fail(f"expected ',' or '{shown}', {self._found()}")
