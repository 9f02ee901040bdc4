"""From a draft of the model to the model, with every error in the user's own words.

`validate` coerces what is lenient (case of enum values, numbers and booleans as text), lets pydantic check the rest,
and turns each of its errors into a `Problem`.
"""

from __future__ import annotations

import types
from collections import abc, deque
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from gateway.config import model
from gateway.config.draft import Draft, Location, attribute_of, place_of
from gateway.config.tree import Place, nearest, show
from gateway.errors import Problem

__all__ = ["describe", "unknown", "unwrap", "validate"]

# what a field takes, in words


def unwrap(annotation: Any) -> Any:
    """The annotation without ``| None`` and without what is annotated."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(inner for inner in get_args(annotation) if inner is not type(None))
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


_WORDS: dict[Any, str] = {
    int: "a whole number", float: "a number", Decimal: "a number", bool: "true or false",
    str: "text", SecretStr: "text", bytes: "text", SecretBytes: "text",
    Path: "a path", Any: "anything", object: "anything",
    timedelta: "a number of seconds", datetime: "a date and time", date: "a date", time: "a time of day",
}  # fmt: skip
_PLURALS = {"text": "texts", "a whole number": "whole numbers", "a number": "numbers", "a path": "paths"}
_SEQUENCES = (list, tuple, set, frozenset, deque, abc.Sequence, abc.Collection, abc.Iterable, abc.Set, abc.MutableSet)


def _kind(annotation: Any) -> str:
    """What an annotation takes, in words, whatever its limits."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [_kind(inner) for inner in get_args(annotation) if inner is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    annotation = unwrap(annotation)
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(annotation)))
    if origin in _SEQUENCES:
        kinds = list(dict.fromkeys(_kind(inner) for inner in get_args(annotation) if inner is not Ellipsis))
        plural = _PLURALS.get(kinds[0]) if len(kinds) == 1 else None
        return f"a list of {plural}" if plural else "a list"
    if not isinstance(origin, type):
        return _WORDS.get(origin, "a value")
    if issubclass(origin, Enum):
        return "one of " + ", ".join(str(member.value) for member in origin)
    if issubclass(origin, (BaseModel, abc.Mapping)) or is_typeddict(origin) or is_dataclass(origin):
        return "a mapping"
    return next((_WORDS[base] for base in origin.__mro__[:-1] if base in _WORDS), _WORDS.get(origin, "a value"))


def describe(field: FieldInfo) -> str:
    """What a field takes, in words: ``a whole number from 1 to 65535``."""
    words = _kind(field.annotation)
    limits = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    low = limits.get("ge", limits.get("gt"))
    if low is not None and "le" in limits:
        above = " above" if "gt" in limits else ""
        return f"{words}{above} {low} up to {limits['le']}" if above else f"{words} from {low} to {limits['le']}"
    if "gt" in limits:
        return f"{words} above {low}"
    if low is not None:
        return f"{words}, {low} or more"
    sizes = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("min_length", "max_length")
        if getattr(item, name, None) is not None
    }
    counted, of = ("characters", "of") if words == "text" else ("entries", "with")
    if "min_length" in sizes and "max_length" in sizes:
        return f"{words} {of} {sizes['min_length']} to {sizes['max_length']} {counted}"
    if "max_length" in sizes:
        return f"{words} {of} at most {sizes['max_length']} {counted}"
    if sizes.get("min_length", 0) > 1:
        return f"{words} {of} at least {sizes['min_length']} {counted}"
    if "min_length" in sizes:
        return f"{words} that is not empty"
    if any(getattr(item, "pattern", None) == "^/" for item in field.metadata):
        return f"{words} that begins with '/'"
    return words


# leniency


def _coerce(annotation: Any, value: Any) -> Any:
    annotation = unwrap(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        text = str(value).strip().casefold() if isinstance(value, (str, int)) else None
        return next((word for word in get_args(annotation) if word.casefold() == text), value)
    if origin is tuple:
        inner = get_args(annotation)[0]
        items = value if isinstance(value, list) else [value] if isinstance(value, (str, int, float)) else value
        if not isinstance(items, list):
            return value
        coerced = [_coerce(inner, item) for item in items]
        items[:] = coerced
        return items
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if isinstance(value, Draft):
            _coerce_draft(annotation, value)
        return value
    if annotation in (int, float) and isinstance(value, bool):
        return str(value).lower()
    if annotation is int and isinstance(value, str):
        return value.strip()
    if annotation is bool and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().casefold(), value)
    if annotation is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value


def _coerce_draft(cls: type[BaseModel], draft: Draft) -> None:
    for key in list(draft):
        if draft[key] is None:
            del draft[key]
        elif key in cls.model_fields:
            draft[key] = _coerce(cls.model_fields[key].annotation, draft[key])


# validation


def validate(draft: Draft) -> tuple[model.Gateway, list[Problem], list[Location]]:
    """Make the model of a draft.

    Returns the model, the errors, and the locations they are at.  Where there are errors, the model has a stand-in
    value at each of those locations, so that the semantic checks can still find what else is wrong.
    """
    _coerce_draft(model.Gateway, draft)
    problems: list[Problem] = []
    broken: list[Location] = list(_failed(draft, ()))
    for location in broken:
        _mend(draft, location)
    for _ in range(4):
        try:
            return model.Gateway.model_validate(draft), problems, broken
        except ValidationError as error:
            entries = error.errors(include_url=False, include_context=True)
            problems += [_problem(draft, tuple(entry["loc"]), dict(entry)) for entry in entries]
            broken += [tuple(map(attribute_of, entry["loc"])) for entry in entries]
            for entry in reversed(entries):
                _mend(draft, tuple(entry["loc"]))
    return model.Gateway(), problems, [()]


def _failed(draft: Draft, location: Location) -> Iterator[Location]:
    for key in draft.failed:
        yield (*location, key)
    for key, value in draft.items():
        if isinstance(value, Draft):
            yield from _failed(value, (*location, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Draft):
                    yield from _failed(item, (*location, key, index))


def _field(
    location: Location, root: type[BaseModel] = model.Gateway
) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The class that a location is in, and the field it is at."""
    cls: Any = root
    field: FieldInfo | None = None
    owner: Any = cls
    for part in location:
        if isinstance(part, int):
            continue
        if not (isinstance(cls, type) and issubclass(cls, BaseModel)):
            return None, field
        owner, field = cls, cls.model_fields.get(str(attribute_of(part)))
        if field is None:
            return owner, None
        cls = unwrap(field.annotation)
        if get_origin(cls) is tuple:
            cls = get_args(cls)[0]
    return owner, field


def _problem(draft: Draft, location: Location, entry: dict[str, Any]) -> Problem:
    place = place_of(draft, location)
    owner, field = _field(location)
    key = str(next((part for part in reversed(location) if isinstance(part, str)), ""))
    found = show(entry.get("input"), key)
    kind = str(entry["type"])
    if kind == "extra_forbidden":
        return place.problem("unknown key " + _unknown(owner, key))
    if kind == "missing":
        return place_of(draft, location[:-1]).problem(
            f"{key!r} is missing; it takes {describe(field) if field else 'a value'}"
        )
    if field is None:
        return place.problem(f"found {found}: {entry['msg']}")
    if isinstance(location[-1], int):
        inner = get_args(unwrap(field.annotation))[0]
        what = "a mapping" if isinstance(inner, type) and issubclass(inner, BaseModel) else "text"
        if place == place_of(draft, location[:-1]):  # it was no list
            what = describe(field)
        return place.problem(f"found {found}, expected {what}")
    message = f"found {found}, expected {describe(field)}"
    if kind == "literal_error" and isinstance(entry.get("input"), str):
        close = nearest(entry["input"], map(str, get_args(unwrap(field.annotation))))
        message += f"; did you mean {close!r}?" if close else ""
    return place.problem(message)


_CERTIFICATE_WORDS = frozenset("file cert certfile certificate crt pem pemfile path chain fullchain".split())
_MEANT: dict[type[BaseModel], dict[str, str]] = {
    model.Certificate: {
        **dict.fromkeys(_CERTIFICATE_WORDS, "certificateFile"),
        **dict.fromkeys(("key", "privatekey", "privatekeyfile"), "keyFile"),
        **dict.fromkeys(("pfx", "pkcs12", "p12"), "data"),
    },
    model.TrustedRoot: dict.fromkeys({*_CERTIFICATE_WORDS, "certificatefile"}, "file"),
    model.TrustedClientCertificate: dict.fromkeys({*_CERTIFICATE_WORDS, "certificatefile"}, "file"),
    model.Gateway: {
        (field.alias or name).casefold(): f"limits: {{{field.alias or name}: …}}"
        for name, field in model.Limits.model_fields.items()
    },
}
"""Words of others for keys, where what is spelled most alike means something else."""


def _unknown(owner: type[BaseModel] | None, key: str) -> str:
    fields = owner.model_fields if owner is not None else {}
    known = [item.alias or name for name, item in fields.items() if name not in model.INTERNAL]
    close = _meant(owner, key) or nearest(key, known)
    return f"{key!r}; " + (f"did you mean {close!r}?" if close else "known are " + ", ".join(sorted(known)))


def unknown(location: Location, root: type[BaseModel], word: str = "key") -> str:
    """What is said of a key, or whatever the ``word`` for it is, that there is not at a ``location`` of ``root``."""
    owner, _ = _field(location, root)
    return f"unknown {word} " + (_unknown(owner, str(location[-1])) if owner else repr(location[-1]))


def _meant(owner: type[BaseModel] | None, key: str) -> str | None:
    return _MEANT.get(owner, {}).get(key.casefold().replace("_", "")) if owner is not None else None


def _mend(draft: Draft, location: Location) -> None:
    """Take out the offending value; put a stand-in where one is required."""
    owner: Any = draft
    for part in location[:-1]:
        try:
            owner = owner[attribute_of(part)]
        except (KeyError, IndexError, TypeError):
            return
    last = location[-1] if location else ""
    cls, field = _field(location)
    if isinstance(owner, list) and isinstance(last, int):
        if last < len(owner) and not isinstance(owner[last], Draft) and field is not None:
            inner = get_args(unwrap(field.annotation))[0]
            owner[last] = (
                _stand_in(inner, draft.place) if isinstance(inner, type) and issubclass(inner, BaseModel) else "?"
            )
    elif isinstance(owner, Draft):
        key = owner.key_of(last)
        owner.pop(key, None)
        if field is not None and field.is_required():
            owner[key] = _required(key, field, owner)


def _required(key: str, field: FieldInfo, owner: Draft) -> Any:
    """Something that a field takes."""
    annotation = unwrap(field.annotation)
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if annotation is int:
        return next((item.ge for item in field.metadata if hasattr(item, "ge")), 0)
    return {"name": f"?{id(owner)}", "paths": []}.get(key, "?")


def _stand_in(cls: type[BaseModel], place: Place) -> Draft:
    made = Draft(place)
    for name, field in cls.model_fields.items():
        if field.is_required():
            made[name] = _required(name, field, made)
    return made
