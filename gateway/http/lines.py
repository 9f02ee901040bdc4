"""Field lines as lanes in Python read them: one look-up for each, for most are said again and again.

What is found here is what `gateway.http.heads` and `gateway.http.forwarding` would make of a line, where it is regular.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from gateway.http.authority import valid_authority
from gateway.http.forwarding import request_stays, response_stays
from gateway.http.heads import FIELD_LINE

__all__ = [
    "CONNECTION", "DATE", "HOST", "LENGTH", "TYPE", "UPGRADE", "FieldLine", "FieldLines", "request_lines",
    "response_lines",
]  # fmt: skip

# What a field line means for the exchange; of each there may be one. What `CONNECTION` says is whether to close.
_IRREGULAR, HOST, CONNECTION, LENGTH, TYPE, DATE, UPGRADE = range(1, 8)
_IN_BOTH: Final = {
    "connection": CONNECTION, "content-length": LENGTH, "transfer-encoding": _IRREGULAR, "upgrade": UPGRADE,
}  # fmt: skip
_IN_REQUESTS: Final = {**_IN_BOTH, "host": HOST, "expect": _IRREGULAR, "te": _IRREGULAR}
_IN_RESPONSES: Final = {**_IN_BOTH, "content-type": TYPE, "date": DATE}
_OPTIONS: Final = frozenset(["", "close", "keep-alive", "upgrade"])
_SECRET: Final = frozenset(["authorization", "cookie", "proxy-authorization", "set-cookie"])
_ONCE: Final = frozenset(["sec-websocket-accept", "sec-websocket-key"])

_field_line = re.compile(FIELD_LINE).fullmatch
_length = re.compile(r"0|[1-9][0-9]{0,17}").fullmatch


class FieldLine(NamedTuple):
    """A field line: how it is passed on, empty where it is not; what it means, 0 for nothing, and its value then."""

    passed: str
    meaning: int
    value: str | int | bool


_REFUSED = FieldLine("", _IRREGULAR, "")


class FieldLines(dict[str, FieldLine]):
    """What lines are, by what they say. Bounded, for they come from the peer; without secrets, to keep none, and
    without what is never said again."""

    _most = 2048
    _longest = 256

    def __init__(self, stays: dict[str, bool], meanings: dict[str, int]) -> None:
        self._stays = stays
        self._meanings = meanings

    def read(self, lines: list[str]) -> tuple[str, dict[int, Any]] | None:
        """How field lines are passed on, and values by meaning; ``None`` if they are not regular. HOT

        ``lines`` are those of a head, without their ends; the first is left out.
        """
        passed = []
        said: dict[int, Any] = {_IRREGULAR: None}
        for line in lines[1:]:
            text, meaning, value = self[line]
            if meaning:
                if meaning in said:
                    return None
                said[meaning] = value
            passed.append(text)
        return "".join(passed), said

    def __missing__(self, text: str) -> FieldLine:
        found = _field_line(text)
        if found is None:
            return _REFUSED
        name, value = found[1], found[2].rstrip(" \t")
        lower = name.lower()
        line = self._read(name, self._meanings.get(lower, 0), value)
        if len(text) <= self._longest and lower not in _SECRET and lower not in _ONCE:
            if len(self) >= self._most:
                self.clear()
            self[text] = line
        return line

    def _read(self, name: str, meaning: int, value: str) -> FieldLine:
        said: str | int | bool = value
        regular = meaning != _IRREGULAR
        if meaning == HOST:
            regular = valid_authority(value) and value[0] != "[" and value[-1] != ":"
        elif meaning == LENGTH:
            regular = _length(value) is not None
            said = int(value) if regular else 0
        elif meaning == CONNECTION:
            options = {option.strip(" \t") for option in value.lower().split(",")}
            regular = options <= _OPTIONS
            said = "close" in options
        return FieldLine(f"{name}: {value}\r\n" if self._stays[name] else "", meaning, said) if regular else _REFUSED


request_lines = FieldLines(request_stays, _IN_REQUESTS)
response_lines = FieldLines(response_stays, _IN_RESPONSES)
