"""The text functions of the ARM expression language; registered in `functions.FUNCTIONS` when imported.

``uniqueString``, ``guid`` and ``newGuid`` are stand-ins: the same kind of value, always the same for the same
arguments, but not the one Azure would compute.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from typing import Any
from urllib.parse import quote, unquote, urljoin

from gateway.config.expressions import ExpressionError
from gateway.config.functions import Budget, dump, function, integer, same, text
from gateway.config.lenient_json import read_json
from gateway.config.tree import plain, show
from gateway.errors import ConfigurationError

__all__: list[str] = []

_FORMAT = re.compile(r"\{\{|\}\}|\{(\d{1,3})(?:,(-?\d{1,4}))?(?::([^{}]{0,40}))?\}|[{}]")
_SPACE = uuid.UUID("b1c5e7f0-9d6a-5a53-8c58-3f1c1a4d2e77")


@function("string", 1)
def _string(budget: Budget, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    return dump(value, budget)


@function("json", 1)
def _json(budget: Budget, value: Any) -> Any:
    source = text(value, "json")
    budget.step(1 + len(source) // 2)  # what it makes may take a hundred times the room of the text
    try:
        return plain(read_json(source))
    except ConfigurationError as error:
        raise ExpressionError(f"json(): {error.problems[0].message}") from None


@function("format", 1, None)
def _format(budget: Budget, pattern: Any, *values: Any) -> Any:
    def replace(match: re.Match[str]) -> str:
        if match.group() in ("{{", "}}"):
            return match.group()[0]
        if match.group(1) is None:
            return match.group()
        index = int(match.group(1))
        if index >= len(values):
            raise ExpressionError(f"format(): {{{index}}} has no argument; {len(values)} were given")
        made = _formatted(values[index], match.group(3), budget)
        width = int(match.group(2) or 0)
        budget.make(max(len(made), abs(width)))
        return made.rjust(width) if width > 0 else made.ljust(-width)

    return _FORMAT.sub(replace, text(pattern, "format"))


def _formatted(value: Any, spec: str | None, budget: Budget) -> str:
    if spec and isinstance(value, int) and not isinstance(value, bool):
        match = re.fullmatch(r"([dDxXnN])(\d{0,2})", spec)
        if match is not None:
            digits = int(match.group(2) or 0)
            if match.group(1) in "xX":
                return format(value, match.group(1)).rjust(digits, "0")
            if match.group(1) in "dD":
                return _padded(value, digits)
            digits = int(match.group(2) or 2)
            return f"{value:,}" + (f".{'0' * digits}" if digits else "")
        if re.fullmatch(r"0{1,20}", spec):
            return _padded(value, len(spec))
    return "" if value is None else str(_string(budget, value))


def _padded(value: int, digits: int) -> str:
    """At least so many digits; a sign is none of them."""
    return ("-" if value < 0 else "") + str(abs(value)).rjust(digits, "0")


@function("tolower", 1)
def _to_lower(budget: Budget, value: Any) -> Any:
    budget.make(len(text(value, "toLower")))
    return text(value, "toLower").lower()


@function("toupper", 1)
def _to_upper(budget: Budget, value: Any) -> Any:
    budget.make(len(text(value, "toUpper")))
    return text(value, "toUpper").upper()


@function("trim", 1)
def _trim(budget: Budget, value: Any) -> Any:
    return text(value, "trim").strip()


@function("startswith", 2)
def _starts_with(budget: Budget, value: Any, part: Any) -> Any:
    return text(value, "startsWith").lower().startswith(text(part, "startsWith").lower())


@function("endswith", 2)
def _ends_with(budget: Budget, value: Any, part: Any) -> Any:
    return text(value, "endsWith").lower().endswith(text(part, "endsWith").lower())


@function("indexof", 2)
def _index_of(budget: Budget, value: Any, part: Any) -> Any:
    if isinstance(value, list):
        return next((index for index, item in enumerate(value) if same(item, part, budget)), -1)
    return text(value, "indexOf").lower().find(text(part, "indexOf").lower())


@function("lastindexof", 2)
def _last_index_of(budget: Budget, value: Any, part: Any) -> Any:
    if isinstance(value, list):
        return next((index for index in range(len(value) - 1, -1, -1) if same(value[index], part, budget)), -1)
    return text(value, "lastIndexOf").lower().rfind(text(part, "lastIndexOf").lower())


@function("substring", 2, 3)
def _substring(budget: Budget, value: Any, start: Any, length: Any = None) -> Any:
    source = text(value, "substring")
    begin = integer(start, "substring")
    count = len(source) - begin if length is None else integer(length, "substring")
    if begin < 0 or count < 0 or begin + count > len(source):
        raise ExpressionError(
            f"substring(): {count} characters from {begin} are not within {show(source)} ({len(source)} characters)"
        )
    budget.make(count)
    return source[begin : begin + count]


@function("replace", 3)
def _replace(budget: Budget, value: Any, old: Any, new: Any) -> Any:
    source, part, other = text(value, "replace"), text(old, "replace"), text(new, "replace")
    if not part:
        raise ExpressionError("replace() cannot replace empty text")
    budget.make(len(source) + source.count(part) * len(other))
    return source.replace(part, other)


@function("split", 2)
def _split(budget: Budget, value: Any, delimiters: Any) -> Any:
    source = text(value, "split")
    marks = [text(mark, "split") for mark in (delimiters if isinstance(delimiters, list) else [delimiters])]
    marks = [mark for mark in marks if mark]
    if not marks:
        raise ExpressionError("split() wants a delimiter")
    budget.make(len(source) + 50 * sum(map(source.count, marks)))
    return re.split("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)), source)


@function("join", 2)
def _join(budget: Budget, values: Any, delimiter: Any) -> Any:
    if not isinstance(values, list):
        raise ExpressionError(f"join() wants an array, found {show(values)}")
    parts = [str(_string(budget, value)) for value in values]
    mark = text(delimiter, "join")
    budget.make(sum(map(len, parts)) + len(mark) * len(parts))
    return mark.join(parts)


@function("padleft", 2, 3)
def _pad_left(budget: Budget, value: Any, width: Any, char: Any = " ") -> Any:
    size = integer(width, "padLeft")
    budget.make(max(0, size))
    filling = text(char, "padLeft")
    if len(filling) != 1:
        raise ExpressionError("padLeft() wants one character to fill with")
    return text(value, "padLeft").rjust(size, filling)


@function("datauri", 1)
def _data_uri(budget: Budget, value: Any) -> Any:
    return f"data:text/plain;charset=utf8;base64,{_base64(budget, value)}"


@function("datauritostring", 1)
def _data_uri_to_string(budget: Budget, value: Any) -> Any:
    source = text(value, "dataUriToString")
    head, mark, body = source.partition(",")
    if not mark or not head.lower().startswith("data:"):
        raise ExpressionError("dataUriToString() wants a data URI")
    budget.make(len(source))
    return _base64_to_string(budget, body) if head.lower().endswith(";base64") else unquote(body)


@function("fail", 1)
def _fail(budget: Budget, message: Any) -> Any:
    raise ExpressionError(f"the template says: {text(message, 'fail')[:200]}")


@function("base64", 1)
def _base64(budget: Budget, value: Any) -> Any:
    budget.make(2 * len(text(value, "base64")))
    return base64.b64encode(text(value, "base64").encode("utf-8", "replace")).decode("ascii")


@function("base64tostring", 1)
def _base64_to_string(budget: Budget, value: Any) -> Any:
    budget.make(len(text(value, "base64ToString")))
    try:
        return base64.b64decode(text(value, "base64ToString"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ExpressionError("base64ToString(): not base64 of UTF-8 text") from None


@function("base64tojson", 1)
def _base64_to_json(budget: Budget, value: Any) -> Any:
    return _json(budget, _base64_to_string(budget, value))


@function("uri", 2)
def _uri(budget: Budget, base: Any, relative: Any) -> Any:
    budget.make(len(text(base, "uri")) + len(text(relative, "uri")))
    try:
        return urljoin(text(base, "uri"), text(relative, "uri"))
    except ValueError as error:
        raise ExpressionError(f"uri(): {error}") from None


@function("uricomponent", 1)
def _uri_component(budget: Budget, value: Any) -> Any:
    budget.make(3 * len(text(value, "uriComponent")))
    return quote(text(value, "uriComponent"), safe="", errors="replace")


@function("uricomponenttostring", 1)
def _uri_component_to_string(budget: Budget, value: Any) -> Any:
    budget.make(len(text(value, "uriComponentToString")))
    return unquote(text(value, "uriComponentToString"))


@function("uniquestring", 1, None)
def _unique_string(budget: Budget, *values: Any) -> Any:
    digest = hashlib.sha256("\0".join(str(_string(budget, value)) for value in values).encode("utf-8", "replace"))
    return base64.b32encode(digest.digest()).decode("ascii").lower()[:13]


@function("guid", 1, None)
def _guid(budget: Budget, *values: Any) -> Any:
    return str(uuid.uuid5(_SPACE, "-".join(str(_string(budget, value)) for value in values)))


@function("newguid", 0)
def _new_guid(budget: Budget) -> Any:
    return str(uuid.uuid5(_SPACE, "new"))
