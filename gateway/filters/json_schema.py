"""Lets only messages pass that are JSON and fit a schema (JSON Schema drafts 4, 6 and 7).

The schema is compiled once, by ``fastjsonschema``; a message then costs microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from gateway.filters.base import Factory, Filter, SideOptions
from gateway.values import DROP, Close, Drop
from gateway.websocket.frames import may_be_sent

__all__ = ["JSONSchema", "JSONSchemaOptions", "factory"]

_DRAFTS = ("draft-04", "draft-06", "draft-07")
_LATER = frozenset(
    "prefixItems unevaluatedProperties unevaluatedItems dependentRequired dependentSchemas minContains maxContains "
    "$recursiveRef $dynamicRef".split()
)
"""Keywords of later drafts: to ignore them, as the compiler does, would be to let everything pass."""

_NAMES = frozenset({"properties", "patternProperties", "definitions", "$defs"})
_DATA = frozenset({"enum", "const", "default", "examples"})


class JSONSchemaOptions(SideOptions):
    """The schema, and what becomes of messages that do not fit it."""

    schema_: dict[str, Any] | bool | None = Field(default=None, alias="schema", description="The schema itself.")
    file: str | None = Field(default=None, description="Path of a JSON file with the schema, read at start and reload.")
    binary: Literal["refuse", "pass"] = Field(default="refuse", description="Messages that are not text.")
    then: Literal["close", "drop"] = Field(default="close", description="End the session, or drop the message.")
    code: int = Field(default=1008, ge=1000, le=4999, description="Close code.")

    @field_validator("code")
    @classmethod
    def _code(cls, code: int) -> int:
        if not may_be_sent(code):
            raise ValueError("no close code that may be sent (RFC 6455 §7.4)")
        return code

    @model_validator(mode="after")
    def _one(self) -> JSONSchemaOptions:
        if (self.schema_ is None) == (self.file is None):
            raise ValueError("give `schema` or `file`")
        return self


class JSONSchema(Filter):
    """Closes or drops what does not fit. Raises ``ValueError`` for a schema that is none."""

    def __init__(self, options: JSONSchemaOptions, services: Any = None) -> None:
        self._options = options
        schema = options.schema_ if options.file is None else _read(options.file)
        self._fits = _compiled(schema)
        self._verdict = DROP if options.then == "drop" else Close(options.code, "the message does not fit the schema")

    def message(self, payload: str | bytes, from_client: bool) -> Drop | Close | None:
        """See `IMessages.message`."""
        options = self._options
        if not options.concerns(from_client):
            return None
        if isinstance(payload, bytes):
            return None if options.binary == "pass" else self._verdict
        try:
            value = json.loads(payload, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return self._verdict
        return None if self._fits(value) else self._verdict


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _compiled(schema: Any) -> Callable[[Any], bool]:
    try:
        import fastjsonschema
    except ImportError:
        raise ValueError("it needs the package fastjsonschema: pip install 'gateway[json-schema]'") from None
    draft = schema.get("$schema") if isinstance(schema, dict) else None
    if draft is not None and not any(known in str(draft) for known in _DRAFTS):
        raise ValueError(f"schemas of {draft!r} are not understood, those of drafts 4, 6 and 7 are")
    later = next((keyword for keyword in _keywords(schema) if keyword in _LATER), None)
    if later is not None:
        raise ValueError(f"{later!r} is a keyword of later drafts and would be ignored; 4, 6 and 7 are understood")
    handlers = dict.fromkeys(("", "http", "https", "ftp", "file"), _no_document)
    try:
        check = fastjsonschema.compile(schema, handlers, use_default=False, detailed_exceptions=False)
    except Exception as error:
        raise ValueError(f"the schema cannot be compiled: {type(error).__name__}: {error}") from error
    wrong = fastjsonschema.JsonSchemaValueException

    def fits(value: Any) -> bool:
        try:
            check(value)
        except (wrong, ArithmeticError, RecursionError):  # 1e999 is infinite, and nothing can be divided into it
            return False
        return True

    return fits


def _keywords(schema: Any) -> Iterator[str]:
    """All keywords of a schema; not names of properties, nor values."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, dict):
            yield from found
            for keyword, value in found.items():
                if keyword in _NAMES and isinstance(value, dict):
                    waiting.extend(value.values())
                elif keyword not in _DATA:
                    waiting.append(value)


def _no_document(uri: str) -> Any:
    raise ValueError(f"$ref to another document ({uri}): put it under `definitions`")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


factory = Factory("json-schema", JSONSchemaOptions, JSONSchema)
