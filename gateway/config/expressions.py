"""Parses ARM template expressions: the text between ``[`` and ``]``.

`parse` gives a small tree of tuples, which `gateway.config.evaluator` walks:

``("text", str)``, ``("number", int | float)``, ``("call", name, [argument, ...], namespace)``,
``("member", base, key tree, lenient)`` for ``base.key`` and ``base[key]`` (``lenient`` for ``.?`` and ``[?``).

Source: the template reference, "Syntax and expressions in ARM templates".
"""

from __future__ import annotations

import re
from typing import Any

from gateway.config.tree import Place

__all__ = [
    "MAX_EXPRESSION",
    "ExpressionError",
    "ExpressionLimit",
    "UnknownValue",
    "is_expression",
    "parse",
    "short",
    "unescape",
]

MAX_EXPRESSION = 24576
"""Characters in one expression (Azure's own limit)."""

_MAX_NESTING = 40
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[-+]?\d+(?:\.\d+)?(?![\w]))|(?P<word>[A-Za-z_$][\w$]*)|(?P<mark>\.\?|\[\?|[().,\[\]]))"
)

Tree = tuple[Any, ...]


class ExpressionError(Exception):
    """An expression that cannot be parsed or evaluated; the text is for the person who wrote it."""


class UnknownValue(ExpressionError):
    """A value that only a deployment has: nothing is wrong with the expression. ``what``: the parameter or resource."""

    def __init__(self, message: str, what: str) -> None:
        super().__init__(message)
        self.what = what


class ExpressionLimit(Exception):
    """The expressions of a document ask for more work than any real one; reading stops.

    ``expression``: the innermost one at work; ``owner``: the parameter or variable it is in, in words; ``place``: the
    `gateway.config.tree.Place` of what asked for it.  Each is filled in where it is known, on the way up.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.expression = ""
        self.owner = ""
        self.place: Place | None = None


_BEGINNING = re.compile(r"\[\s*(?:[A-Za-z_]\w*\s*(?:\.\s*[A-Za-z_]\w*\s*)?\(|')")
"""How an expression begins that somebody meant as one."""


def is_expression(text: str) -> bool:
    """Whether a string is an expression: in brackets, and not an escaped bracket (``[[``)."""
    return len(text) > 1 and text[0] == "[" and text[-1] == "]" and text[1] != "["


def unescape(text: str) -> str:
    """A literal string: ``[[x]`` stands for ``[x]``."""
    return text[1:] if text.startswith("[[") and text.endswith("]") else text


def short(expression: str) -> str:
    """An expression as a message shows it."""
    squeezed = " ".join(expression[:1000].split())
    return squeezed if len(squeezed) <= 100 else squeezed[:97] + "…]"


def parse(text: str) -> Tree:
    """Parse an expression, given with its brackets. Raises `ExpressionError`."""
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {MAX_EXPRESSION} are allowed")
    try:
        parser = _Parser(text[1:-1])
        tree = parser.expression()
        parser.end()
    except ExpressionError as error:
        if _BEGINNING.match(text):
            raise
        raise ExpressionError(f"{error}; if it is no expression but just text, write '[{short(text)}'") from None
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._nesting = 0
        self._kind = ""
        self._token = ""
        self._advance()

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            if self._text[self._at :].strip():
                rest = self._text[self._at :].strip()
                hint = "a string that is never closed" if rest.startswith("'") else f"unexpected {rest[:20]!r}"
                raise ExpressionError(f"{hint} at character {self._at + 2} of the expression")
            self._kind, self._token = "end", ""
            return
        self._kind = match.lastgroup or ""
        self._token = match.group(self._kind)
        self._at = match.end()

    def _unexpected(self, wanted: str) -> ExpressionError:
        found = f"found {self._token[:20]!r}" if self._kind != "end" else "the expression ends"
        return ExpressionError(
            f"expected {wanted}, but {found} at character {self._at + 1 - len(self._token) + 1} of the expression"
        )

    def _take(self, mark: str) -> None:
        if self._kind != "mark" or self._token != mark:
            raise self._unexpected(f"'{mark}'")
        self._advance()

    def end(self) -> None:
        if self._kind != "end":
            raise self._unexpected("the end")

    def expression(self) -> Tree:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise ExpressionError(f"the expression is nested more than {_MAX_NESTING} levels deep")
        tree = self._members(self._primary())
        self._nesting -= 1
        return tree

    def _primary(self) -> Tree:
        kind, token = self._kind, self._token
        if kind == "text":
            self._advance()
            return ("text", token[1:-1].replace("''", "'"))
        if kind == "number":
            self._advance()
            return ("number", float(token) if "." in token else int(token[:40]))
        if kind == "word":
            self._advance()
            return self._call(token)
        raise self._unexpected("a function, a string or a number")

    def _call(self, name: str) -> Tree:
        namespace = ""
        if self._kind == "mark" and self._token == ".":
            self._advance()
            namespace, name = name, self._token
            if self._kind != "word":
                raise self._unexpected("a function name")
            self._advance()
        if name.casefold() in ("true", "false", "null") and not (self._kind == "mark" and self._token == "("):
            return ("call", name.casefold(), [], "")
        self._take("(")
        arguments: list[Tree] = []
        while not (self._kind == "mark" and self._token == ")"):
            arguments.append(self.expression())
            if self._kind == "mark" and self._token == ",":
                self._advance()
            elif not (self._kind == "mark" and self._token == ")"):
                raise self._unexpected(f"',' or ')' in the arguments of {name}()")
        self._advance()
        return ("call", name.casefold(), arguments, namespace.casefold())

    def _members(self, tree: Tree) -> Tree:
        count = 0
        while self._kind == "mark" and self._token in (".", ".?", "[", "[?"):
            count += 1
            if count > _MAX_NESTING:
                raise ExpressionError(f"more than {_MAX_NESTING} member accesses in a row")
            mark = self._token
            self._advance()
            if mark[0] == ".":
                if self._kind != "word":
                    raise self._unexpected("a member name")
                tree = ("member", tree, ("text", self._token), mark == ".?")
                self._advance()
            else:
                key = self.expression()
                self._take("]")
                tree = ("member", tree, key, mark == "[?")
        return tree
