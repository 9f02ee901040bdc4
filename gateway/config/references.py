"""References of an ARM document: the name at the end of an id, spelled as the object that has it."""

from __future__ import annotations

from typing import Any

from gateway.config.arm_tables import COLLECTIONS, SPELLING
from gateway.config.cursor import Cursor
from gateway.config.draft import Draft
from gateway.config.tree import show

__all__ = ["References", "reference_name", "secret_id"]

_ALIKE = {key: found.target for key, found in COLLECTIONS.items()} | {
    key: key for key in ("frontendports", "frontendipconfigurations")
}
"""Collections of a gateway; those of one kind in several are one here."""
_STRAY = "'\")]} \t\r\n"


def reference_name(identifier: str) -> str:
    """The name at the end of a resource id, without stray quotes and brackets."""
    return identifier.rstrip(_STRAY).rstrip("/").rsplit("/", 1)[-1].strip()


def _other_collection(identifier: str, collection: str) -> str:
    """The collection that an id names, if it is one of a gateway and not the one that is meant."""
    parts = identifier.rstrip(_STRAY).rstrip("/").split("/")
    if len(parts) < 4 or parts[-4].casefold() != "applicationgateways":
        return ""
    named = parts[-2].casefold()
    return parts[-2] if named in _ALIKE and _ALIKE[named] != _ALIKE.get(collection) else ""


def secret_id(cursor: Cursor) -> str:
    """The id of a Key Vault secret: only ever compared, so an expression without a value stands for itself."""
    value = cursor.quiet().name()
    return value if isinstance(value, str) else cursor.text()


class References:
    """Who is called what, for the objects of one gateway.

    ``names``: for each collection (folded) the names that it has, by their folded spelling; ``ports``: the number of
    each frontend port by its folded name.
    """

    def __init__(self) -> None:
        self.names: dict[str, dict[str, str]] = {}
        self.ports: dict[str, Cursor] = {}

    def one(self, cursor: Cursor, collection: str) -> str | None:
        """The name that a reference means; ``None`` where there is none, or it cannot be read (reported)."""
        identifier: Any
        members = cursor.peek()
        if isinstance(members, str):
            identifier, holder = members, cursor
        else:
            found = cursor.members()
            if "id" not in found:
                if found and set(found) - {"resourcegroup"}:
                    cursor.fail('a reference is written {"id": "…"}')
                return None
            holder = found["id"]
            identifier = holder.name()
            cursor.unknown = cursor.unknown or holder.unknown
        cursor.place = holder.place
        if identifier is None or identifier == "":
            return None
        if not isinstance(identifier, str):
            holder.fail(f"found {show(identifier)}, expected the id of an object")
            return None
        other = _other_collection(identifier, collection)
        if other:
            wanted = SPELLING.get(collection, collection)
            holder.fail(f"this is the id of something in {other}, expected one of {wanted}")
            return None
        names = self.names.get(collection, {})
        exact = identifier.strip().rsplit("/", 1)[-1]
        name = reference_name(identifier)
        return names.get(exact.casefold()) or names.get(name.casefold(), name)

    def several(self, draft: Draft, target: str, cursor: Cursor, collection: str) -> list[str] | None:
        """The names that a list of references means, or a single one; ``target`` is the attribute that gets them."""
        names: list[str] = []
        for item in cursor.items() if isinstance(cursor.peek(), list) else (cursor,):
            name = self.one(item, collection)
            cursor.unknown = cursor.unknown or item.unknown
            if name:
                draft.places[(target, len(names))] = item.place
                names.append(name)
        return names or None

    def port(self, cursor: Cursor) -> Any:
        """The number of the frontend port that is meant."""
        name = self.one(cursor, "frontendports")
        if name is None:
            return None
        port = self.ports.get(name.casefold())
        if port is None:
            known = ", ".join(self.names.get("frontendports", {}).values()) or "none"
            cursor.fail(f"there is no frontend port {name!r} with a port; frontendPorts has: {known}", "unknown")
            return None
        value = port.value()
        cursor.place = port.place
        return value
