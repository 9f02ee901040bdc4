"""Reads YAML into the same trees as JSON, with lines, and within bounds.

Scalars follow the YAML 1.2 core schema: ``no`` and ``on`` are text, ``8080:80`` is not a number in base 60 and ``010``
is ten.  Anchors, aliases and merge keys work, but what they expand to is counted; tags are refused.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from gateway.config.tree import MAX_DEPTH, Map, Seq, syntax_error
from gateway.errors import ConfigurationError

__all__ = ["MAX_NODES", "read_yaml"]

MAX_NODES = 200_000
"""Values that a document may hold after its aliases are expanded."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,40}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?\Z")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str, source: str = "configuration") -> Any:
    """Read one document; raise `ConfigurationError` with line and column where it cannot be read."""
    try:
        return _Builder(source).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context or 'cannot be read'}"
        if mark and _is_tab(text, mark.line, mark.column):
            message += " (indent with spaces, not tabs)"
        raise syntax_error(
            source, message, mark.line + 1 if mark else None, mark.column + 1 if mark else None
        ) from None
    except yaml.YAMLError as error:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        before = text[: found.start()] if found else ""
        place = (before.count("\n") + 1, len(before) - before.rfind("\n")) if found else (None, None)
        raise syntax_error(source, f"not valid YAML: {str(error).splitlines()[0]}", *place) from None


def _is_tab(text: str, line: int, column: int) -> bool:
    """Whether the parser stopped at a tab; each of the two parsers that PyYAML has says it in its own way."""
    lines = text.split("\n")
    return line < len(lines) and lines[line][column : column + 1] == "\t"


class _Frame:
    """A collection that is being read."""

    __slots__ = ("anchor", "height", "key", "line", "merge", "value", "weight")

    def __init__(self, value: Map | Seq, anchor: str | None, line: int) -> None:
        self.value = value
        self.anchor = anchor
        self.line = line
        self.weight = 1
        self.height = 1
        self.key: tuple[str, int, bool] | None = None  # text, line, whether it merges
        self.merge: list[Any] = []


class _Builder:
    def __init__(self, source: str) -> None:
        self._source = source
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._stack: list[_Frame] = []
        self._total = 0
        self._documents = 0
        self._root: Any = None

    def build(self, events: Any) -> Any:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._open(event, line)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._close()
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self._anchors:
                    raise self._error(
                        f"alias *{event.anchor} has no anchor &{event.anchor} that is complete before it", event
                    )
                self._add(*self._anchors[event.anchor], line, counted=False)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise self._error("a second document ('---'); a configuration is one document", event)
        if self._root is None:
            raise syntax_error(self._source, "the file is empty: it needs listeners, pools and rules", None)
        return self._root

    def _error(self, message: str, event: Any) -> ConfigurationError:
        mark = event.start_mark
        return syntax_error(self._source, f"not valid YAML: {message}", mark.line + 1, mark.column + 1)

    def _scalar(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._error(f"the tag {event.tag!r} is not supported", event)
        text = event.value
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.value, Map) and frame.key is None:
            merges = text == "<<" and event.implicit[0]
            if text in frame.value or (merges and frame.merge):
                raise self._error(
                    f"the key {text!r} is there twice, first on line {frame.value.lines.get(text)}", event
                )
            frame.key = (text, line, merges)
            return
        value = text if event.tag or not event.implicit[0] else _resolve(text)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1, 0)
        self._add(value, 1, 0, line)

    def _open(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self._error(f"the tag {event.tag!r} is not supported", event)
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} levels deep", event)
        if self._stack and isinstance(self._stack[-1].value, Map) and self._stack[-1].key is None:
            raise self._error("a key must be a word, not a collection", event)
        value = Map(line) if isinstance(event, yaml.MappingStartEvent) else Seq(line)
        self._stack.append(_Frame(value, event.anchor, line))

    def _close(self) -> None:
        frame = self._stack.pop()
        for merged in frame.merge:
            for key, item in merged.items():
                if key not in frame.value and isinstance(frame.value, Map):
                    frame.value.put(key, item, merged.lines.get(key))
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.value, frame.weight, frame.height)
        self._add(frame.value, frame.weight, frame.height, frame.line)

    def _add(self, value: Any, weight: int, height: int, line: int, counted: bool = True) -> None:
        """Put a complete value where it belongs. ``counted``: what is in it has been counted already."""
        self._total += 1 if counted else weight
        if len(self._stack) + height > MAX_DEPTH:
            raise syntax_error(self._source, f"nested more than {MAX_DEPTH} levels deep (aliases expanded)", line)
        if self._total > MAX_NODES:
            raise syntax_error(
                self._source, f"more than {MAX_NODES} values (aliases counted as what they expand to)", line
            )
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        frame.weight += weight
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.value, Seq):
            frame.value.add(value, line)
            return
        if frame.key is None:
            raise syntax_error(self._source, "not valid YAML: a key must be a word, not an alias", line)
        key, key_line, merges = frame.key
        frame.key = None
        if merges:
            merged = value if isinstance(value, list) else [value]
            if not all(isinstance(item, Map) for item in merged):
                raise syntax_error(self._source, "not valid YAML: '<<' merges mappings only", key_line)
            frame.merge = list(merged)
        else:
            frame.value.put(key, value, key_line)


def _resolve(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
