"""Reads the named objects of an ARM gateway by the tables of `gateway.config.arm_tables`, one draft each."""

from __future__ import annotations

from typing import Any

from gateway.config.absences import note_absence
from gateway.config.arm_tables import CARDS, COLLECTIONS, IGNORED, OBJECTS, SPELLING, Collection, Field
from gateway.config.cursor import Cursor
from gateway.config.draft import Draft
from gateway.config.layers import check_layer
from gateway.config.pool_members import pool_members
from gateway.config.references import References, secret_id
from gateway.config.settling import failed, merged, settle
from gateway.config.skipped import Skipped
from gateway.config.tree import show
from gateway.config.unknown import HOSTS, TRUSTED, UNUSABLE, Needed, stand_in_host
from gateway.errors import Problem

__all__ = ["UNNAMED", "ObjectReader"]

UNNAMED = {"pathrules": "pathRule", "advancedroutingrules": "routingRule"}
"""What objects inside of others are called that have no name."""
_ONE = {"pathrules": "path rule", "advancedroutingrules": "routing rule"}

_MEANT: dict[str, set[str]] = {
    "basic": {"backendaddresspool", "backendhttpsettings", "redirectconfiguration", "loaddistributionpolicy"},
    "pathbasedrouting": {"urlpathmap"},
    "advancedrouting": {"advancedroutingmap"},
}
"""Members that lead somewhere, by the type of the rule for which they do."""


class ObjectReader:
    """Reads objects of one gateway.

    ``replaced``: folded names of what overrides give, so that its own values are not needed.  Afterwards: ``frontends``
    maps a listener's name to the frontend address it names (folded), ``left_out`` holds for each collection of the
    model the names of what cannot be used.
    """

    def __init__(
        self, references: References, skipped: Skipped, problems: list[Problem], replaced: frozenset[str]
    ) -> None:
        self._references = references
        self._skipped = skipped
        self._problems = problems
        self._replaced = replaced
        self._within_needed = 0
        self.frontends: dict[str, str] = {}
        self.left_out: dict[str, set[str]] = {}

    def child(self, key: str, collection: Collection, members: dict[str, Cursor], title: str) -> Draft | None:
        """One object; ``None`` where it cannot be used, because something of it is not known."""
        draft = Draft(members[""].place)
        draft.inner = members["properties"].place if "properties" in members else None
        draft.put("name", title, members["name"].place if "name" in members else draft.place)
        if key == "requestroutingrules":
            start = len(self._problems)
            members = _without_other_targets(members)
            settle(self._problems, start, "everything that the rule leads to is read")
        if "loaddistributionpolicy" in collection.fields:
            members = self._without_shared_pool(members, title)
        if key == "redirectconfigurations":
            draft["include_path"] = draft["include_query_string"] = False
        for member, cursor in members.items():
            field = collection.fields.get(member)
            if field is not None:
                needed = UNUSABLE.get(collection.target)
                if not self.put(draft, field, cursor, title, needed):
                    self.left_out.setdefault(collection.target, set()).add(title)
                    return None
            elif member and member not in IGNORED:
                self._skipped.skip(cursor, member, title, collection.fields)
        if key == "backendaddresspools":
            self._note_pool(members, title)
        if key in ("httplisteners", "listeners"):
            self._listener(members, title)
        check_layer(key, draft, members, title)
        if key in ("sslcertificates", "trustedrootcertificates", "trustedclientcertificates"):
            note_absence(draft)
        return draft

    def _without_shared_pool(self, members: dict[str, Cursor], title: str) -> dict[str, Cursor]:
        """Without the pool, where there is a distribution too: its pools are meant."""
        pool, shared = members.get("backendaddresspool"), members.get("loaddistributionpolicy")
        if pool is None or shared is None or pool.is_empty() or shared.is_empty():
            return members
        self._skipped.name("backendAddressPool", "the pools of its load distribution policy are used", title)
        return {key: value for key, value in members.items() if value is not pool}

    def put(
        self,
        draft: Draft,
        field: Field,
        cursor: Cursor,
        title: str,
        needed: Needed | None = None,
        otherwise: str = "it is as if it was not given",
    ) -> bool:
        """Read one member; false where it is not known, and nothing can be done without it.

        ``otherwise``: what happens where nothing is known of it.
        """
        if field.kind == "inline":
            self._nested(draft, cursor, OBJECTS[field.collection])
            return True
        if field.target in ("data", "password", "members") and title.casefold() in self._replaced:
            return True
        start = len(cursor.problems)
        needed_here = needed is not None and field.target in needed.attributes
        self._within_needed += needed_here
        value = self._read(draft, field, cursor)
        self._within_needed -= needed_here
        if value is None and cursor.unknown and field.target in HOSTS:
            value = stand_in_host(cursor.stand_in())
            settle(self._problems, start, f"{value!r} stands for it")
        if value is None and cursor.unknown and field.target in TRUSTED:
            value = [cursor.unknown] if field.kind == "refs" else cursor.unknown
            settle(self._problems, start, "nothing is trusted in its place")
        if value is not None:
            draft.put(field.target, value, cursor.place)
        elif failed(self._problems, start):
            draft.failed.add(field.target)
        if cursor.unknown and value is None:
            draft.unknown.add(field.target)
        if self._within_needed:  # what is around this one is left out
            return True
        if needed is not None and needed_here:
            called = f" {title!r}" if title else ""
            if settle(self._problems, start, f"{needed.word}{called} is left out{needed.and_then}"):
                return False
        settle(self._problems, start, otherwise)
        return True

    def _read(self, draft: Draft, field: Field, cursor: Cursor) -> Any:
        match field.kind:
            case "ref":
                return self._references.one(cursor, field.collection)
            case "refs":
                return self._references.several(draft, field.target, cursor, field.collection)
            case "object":
                return self._nested(Draft(cursor.place), cursor, OBJECTS[field.collection])
            case "objects":
                return self._nested_list(cursor, field.collection)
            case "children":
                return self._children(cursor, field.collection)
            case "members":
                return pool_members(cursor, self._skipped)
            case "port":
                return self._references.port(cursor)
            case "host" | "hosts":
                return self._hosts(draft, cursor)
            case "status":
                return _status(cursor)
            case "secret":
                return secret_id(cursor)
            case "text":
                return _text(cursor)
        return _value(cursor)

    def _hosts(self, draft: Draft, cursor: Cursor) -> list[Any] | None:
        before = len(cursor.problems)
        listed = cursor.peek()
        if listed is not None and not isinstance(listed, (str, int, list)):
            cursor.fail(f"found {show(listed)}, expected host names")
            return None
        names: list[Any] = []
        for item in cursor.items() if isinstance(listed, list) else (cursor,):
            start = before if item is cursor else len(item.problems)
            name = item.value()
            if item.unknown:
                name = stand_in_host(item.stand_in())
                settle(self._problems, start, f"{name!r} stands for it")
            if name not in (None, ""):
                draft.places[("host_names", len(names))] = item.place
                names.append(name)
        if not names:
            return None
        if draft.get("host_names"):
            cursor.fail("'hostName' and 'hostNames' are both there; give only one of them")
            return None
        return names

    def _nested(
        self, draft: Draft, cursor: Cursor, fields: dict[str, Field], needed: Needed | None = None
    ) -> Draft | None:
        """Read an object inside of another one into ``draft``; ``None`` if there is nothing in it, or no use for it."""
        members = merged(cursor)
        title = str(draft.get("name", "") or (members["name"].quiet().name() if "name" in members else ""))
        for member, child in members.items():
            if member in fields:
                if not self.put(draft, fields[member], child, title, needed):
                    return None
                if draft.get(fields[member].target) == []:
                    del draft[fields[member].target]
            elif member not in IGNORED and not child.is_empty():
                self._skipped.skip(child, member, title, fields)
        return draft if draft else None

    def _nested_list(self, cursor: Cursor, kind: str) -> list[Draft]:
        fields, needed = OBJECTS[kind], UNUSABLE.get(kind)
        read = [self._nested(Draft(item.place), item, fields, needed) for item in cursor.items()]
        return [draft for draft in read if draft is not None]

    def _children(self, cursor: Cursor, key: str) -> list[Draft]:
        """Named objects inside of another one: path rules, rules of a routing map."""
        result = []
        for index, item in enumerate(cursor.items()):
            start = len(item.problems)
            members = merged(item)
            if settle(self._problems, start, f"this {_ONE[key]} is left out"):
                continue
            members[""] = item
            title = members["name"].name() if "name" in members else None
            made = self.child(key, COLLECTIONS[key], members, str(title or f"{UNNAMED[key]}{index + 1}"))
            if made is not None:
                result.append(made)
        return result

    def _note_pool(self, members: dict[str, Cursor], title: str) -> None:
        if "backendipconfigurations" in members and not members["backendipconfigurations"].is_empty():
            self._skipped.name(SPELLING["backendipconfigurations"], CARDS, title)

    def _listener(self, members: dict[str, Cursor], title: str) -> None:
        frontend = members.get("frontendipconfiguration")
        if frontend is not None:
            address = self._references.one(frontend.quiet(), "frontendipconfigurations") or ""
            self.frontends[title] = address.casefold()


def _value(cursor: Cursor) -> Any:
    value = cursor.value()
    return list(value) if isinstance(value, (list, tuple)) else value


def _text(cursor: Cursor) -> Any:
    value = _value(cursor)
    return None if isinstance(value, str) and not value.strip() else value


def _status(cursor: Cursor) -> Any:
    """``HttpStatus403`` as ``403``."""
    value = cursor.value()
    if isinstance(value, str) and value.casefold().startswith("httpstatus"):
        return value[len("httpstatus") :]
    return value


def _without_other_targets(members: dict[str, Cursor]) -> dict[str, Cursor]:
    """A rule's members without those that its type makes meaningless."""
    kind = members["ruletype"].value() if "ruletype" in members else None
    if not isinstance(kind, str):
        return members
    kept = _MEANT.get(kind.casefold())
    if kept is None:
        members["ruletype"].fail(f"found {show(kind)}, expected one of Basic, PathBasedRouting, AdvancedRouting")
        return members
    dropped = set().union(*_MEANT.values()) - kept
    return {key: value for key, value in members.items() if key not in dropped}
