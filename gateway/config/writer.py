"""Writes a model in the compact spelling: reading what is written gives an equal model."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from pydantic import BaseModel

from gateway.config import model
from gateway.config.compact import parse_backend
from gateway.http.authority import authority

__all__ = ["write_compact"]

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?:/\*)?\Z")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_WIDTH = 110
_SECRETS = "# The passwords, keys and certificates below are those of the original: keep this file as secret as it."


def write_compact(gateway: model.Gateway, source: str = "") -> str:
    """YAML text of a gateway.

    What is as usual is left out.  Comments say where it comes from, what was not honoured there, and that it holds
    secrets, if it does.
    """
    head = [f"# Made from {_line(source)} by gatewayctl convert."] if source else []
    if any(item.data or item.password for item in gateway.certificates):
        head.append(_SECRETS)
    if gateway.not_honoured:
        head.append("# Accepted there, but not honoured:")
        head += [f"#   {_line(sentence)}" for sentence in gateway.not_honoured]
    document = _plain(gateway)
    document.pop("notHonoured", None)
    text = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=_WIDTH,
    )
    return "\n".join([*head, text])


def _line(text: str) -> str:
    """Text as it may stand in a comment."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _plain(item: BaseModel) -> dict[str, Any]:
    """An object without what is as usual, its name first."""
    result: dict[str, Any] = {}
    for name, field in type(item).model_fields.items():
        value = getattr(item, name)
        stated = isinstance(item, model.Gateway) and name in ("listeners", "rules")  # none is said, not left out
        if not field.is_required() and not stated and value == field.get_default(call_default_factory=True):
            continue
        key = field.alias or name
        if isinstance(item, model.Pool) and name == "members":
            result["backends"] = [_backend(member) for member in value]
        elif isinstance(value, BaseModel):
            result[key] = _plain(value)
        elif isinstance(value, tuple):
            result[key] = [_plain(entry) if isinstance(entry, BaseModel) else entry for entry in value]
        else:
            result[key] = value
    return result


def _backend(member: model.Member) -> Any:
    """``host:port`` where that says it all."""
    text = authority(member.host, member.port)
    try:
        if parse_backend(text) == ("", member.host, member.port) and member == model.Member(
            host=member.host, port=member.port
        ):
            return text
    except ValueError:
        pass
    return _plain(member)


class _Dumper(yaml.SafeDumper):
    """Quotes whatever the reader, which has the scalars of YAML 1.2, could take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    plain = _PLAIN.match(value) is not None and value.casefold() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else "'")


def _number(dumper: _Dumper, value: float) -> yaml.Node:
    if math.isinf(value):
        text = "1e999" if value > 0 else "-1e999"
    else:
        text = str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return dumper.represent_scalar(dumper.resolve(yaml.ScalarNode, text, (True, False)), text)


def _flat(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) or (not node.value)


def _sequence(dumper: _Dumper, value: Any) -> yaml.Node:
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", value)
    node.flow_style = all(map(_flat, node.value))
    return node


def _mapping(dumper: _Dumper, value: dict[str, Any]) -> yaml.Node:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", value.items())
    node.flow_style = all(_flat(item) or (item.flow_style and len(item.value) < 6) for _, item in node.value)
    return node


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _number)
_Dumper.add_representer(tuple, _sequence)
_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(dict, _mapping)
