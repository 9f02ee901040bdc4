"""What is for requests and what is for connections: two collections in Azure's spelling, one list in the model."""

from __future__ import annotations

from gateway.config.arm_tables import SPELLING
from gateway.config.cursor import Cursor
from gateway.config.draft import Draft

__all__ = ["check_layer", "document_name", "own_name"]

_TWINS = {"listeners": "httplisteners", "backendsettingscollection": "backendhttpsettingscollection",
          "routingrules": "requestroutingrules"}  # fmt: skip
_OF_LAYER4 = " (layer 4)"


def own_name(key: str, title: str, names: dict[str, dict[str, str]]) -> str:
    """The name in the model, which is another one where the twin collection has it too.

    ``names``: for each collection its names by their folded spelling.
    """
    return title + _OF_LAYER4 if title.casefold() in names.get(_TWINS.get(key, ""), {}) else title


def document_name(key: str, title: str) -> str:
    """The name that the document has for an object of the model."""
    return title.removesuffix(_OF_LAYER4) if key in _TWINS else title


def check_layer(key: str, draft: Draft, members: dict[str, Cursor], title: str) -> None:
    """See that an object is in the collection for its protocol."""
    protocol = str(draft.get("protocol", "")).casefold()
    right: tuple[str, ...]
    if key in ("listeners", "backendsettingscollection"):
        draft.setdefault("protocol", "Tcp")
        right, other = ("tcp", "tls", ""), _TWINS[key]
    elif key in _TWINS.values():
        right, other = ("http", "https", ""), next(name for name, twin in _TWINS.items() if twin == key)
    else:
        right, other = (protocol,), ""
    name = document_name(key, title)
    if protocol in ("http", "https", "tcp", "tls") and protocol not in right:
        belongs = f"that belongs into {SPELLING.get(other, other)!r}"
        members["protocol"].fail(f"{name!r} of {SPELLING.get(key, key)!r} is {draft['protocol']}; {belongs}")
        draft["protocol"] = right[0]
    if key == "routingrules" and draft.get("priority") is None and "priority" not in draft.failed | draft.unknown:
        members[""].fail(f"rule {name!r} has no 'priority'; rules of 'routingRules' need one, from 1 to 20000")
