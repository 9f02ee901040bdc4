"""Reads one Application Gateway resource, or bare ``properties``, into a draft of the model.

Accepts objects with their ``properties`` envelope and flattened ones (as the Azure CLI prints them), keys in any case,
and references by the last segments of an id, whatever stray characters templates and documentation left behind it.
"""

from __future__ import annotations

from gateway.config.arm_tables import (
    COLLECTIONS,
    GLOBAL,
    SPELLING,
    TOP_IGNORED,
    TOP_NOT_HONOURED,
    TOP_READ,
)
from gateway.config.cursor import Cursor
from gateway.config.draft import Draft
from gateway.config.layers import document_name, own_name
from gateway.config.objects import UNNAMED, ObjectReader
from gateway.config.references import References, reference_name
from gateway.config.settling import failed, merged, settle
from gateway.config.skipped import Skipped
from gateway.config.tree import nearest, show

__all__ = ["ResourceReader"]

_ADDRESSES = ("publicipaddress", "privateipaddress", "subnet")
_TOP_SEEN = TOP_IGNORED | set(COLLECTIONS) | set(TOP_READ)


class ResourceReader:
    """Reads one gateway.

    ``replaced``: folded names of certificates and pools that overrides give, so that their own values are not needed.
    After `read`: ``frontends`` maps a listener's name to the frontend address it names (folded), ``not_honoured`` holds
    sentences for the report, ``left_out`` for each collection of the model the names of what cannot be used, and what
    is wrong is in the problems of the cursor.
    """

    def __init__(self, cursor: Cursor, replaced: frozenset[str] = frozenset()) -> None:
        self._cursor = cursor
        self._problems = cursor.problems
        self._references = References()
        self._skipped = Skipped()
        self._objects = ObjectReader(self._references, self._skipped, cursor.problems, replaced)
        self.frontends = self._objects.frontends
        self.left_out = self._objects.left_out
        self.not_honoured: list[str] = []

    def read(self) -> Draft:
        draft = Draft(self._cursor.place)
        start = len(self._problems)
        members = merged(self._cursor)
        settle(self._problems, start, "nothing of it is read")
        if failed(self._problems, start):
            draft.failed |= {"listeners", "rules"}  # there may be some
        name = members.get("name")
        if name is not None and isinstance(name.name(), str):
            draft.put("name", str(name.name()), name.place)
        elif "id" in members and isinstance(members["id"].name(), str):
            draft.put("name", reference_name(members["id"].name()), members["id"].place)
        settle(self._problems, start, "it is called 'gateway'")
        objects = self._named(draft, members)
        for key, collection in COLLECTIONS.items():
            if key in objects and key not in UNNAMED:
                made = [self._objects.child(key, collection, item, title) for item, title in objects[key]]
                listed = [*(draft.get(collection.target) or ()), *(item for item in made if item is not None)]
                draft.put(collection.target, listed, members[key].place)
        for key, (field, otherwise) in TOP_READ.items():
            if key in members:
                self._objects.put(draft, field, members[key], "", otherwise=otherwise)
        self._priorities(draft)
        self._top(draft, members)
        self.not_honoured += self._skipped.sentences()
        draft["not_honoured"] = list(self.not_honoured)
        return draft

    def _priorities(self, draft: Draft) -> None:
        """A rule whose priority is not known comes last."""
        rules = draft.get("rules") or []
        given = [rule["priority"] for rule in rules if isinstance(rule.get("priority"), int)]
        for rule in rules if given else ():
            if "priority" in rule.unknown:
                last = (*range(max(given) + 1, 20001), *range(20000, 0, -1))
                rule["priority"] = next(number for number in last if number not in given)
                given.append(rule["priority"])

    # names first, so that references can be spelled as their targets are

    def _named(self, draft: Draft, given: dict[str, Cursor]) -> dict[str, list[tuple[dict[str, Cursor], str]]]:
        result: dict[str, list[tuple[dict[str, Cursor], str]]] = {}
        for key in (*COLLECTIONS, "frontendports"):
            if key not in given:
                continue
            listed: list[tuple[dict[str, Cursor], str]] = []
            start = len(given[key].problems)
            for item in given[key].items():
                begin = len(item.problems)
                members = merged(item)
                settle(self._problems, begin, "it is left out")
                if not members:
                    continue
                title = members["name"].name() if "name" in members else None
                if title is None and "name" in members and members["name"].unknown:
                    title = f"{members['name'].unknown}-{len(listed) + 1}"
                    settle(self._problems, begin, f"it is called {title!r}")
                if title is None and "id" in members and isinstance(members["id"].name(), str):
                    title = reference_name(members["id"].name())
                if not isinstance(title, (str, int)) or title == "":
                    item.fail("'name' is missing" if title is None else f"found {show(title)} as name, expected text")
                    title = f"?{len(listed)}"
                members[""] = item
                listed.append((members, own_name(key, str(title), self._references.names)))
            settle(self._problems, start, "nothing of it is read")
            if not listed and failed(self._problems, start) and key in COLLECTIONS:
                draft.failed.add(COLLECTIONS[key].target)
            self._references.names[key] = {document_name(key, title).casefold(): title for _, title in listed}
            result[key] = listed
            if key == "frontendports":
                self._references.ports = {
                    title.casefold(): members["port"] for members, title in listed if "port" in members
                }
        return result

    def _top(self, draft: Draft, members: dict[str, Cursor]) -> None:
        for member, cursor in members.items():
            if member in _TOP_SEEN or cursor.is_empty():
                continue
            spelled = cursor.place.path.rsplit(".", 1)[-1]
            if member == "globalconfiguration":
                self._global(draft, cursor, spelled)
                continue
            if member == "frontendipconfigurations":
                self._addresses(cursor, spelled)
                continue
            if member in TOP_NOT_HONOURED:
                if not _is_off(member, cursor):
                    self.not_honoured.append(f"{spelled}: {TOP_NOT_HONOURED[member]}.")
                continue
            close = nearest(member, [*COLLECTIONS, "frontendPorts"], 0.85)
            if close is not None:
                cursor.fail(f"unknown key {spelled!r}; did you mean {SPELLING.get(close, close)!r}?")
            else:
                self.not_honoured.append(f"{spelled}: this member is not known here and has no effect.")

    def _addresses(self, cursor: Cursor, spelled: str) -> None:
        """Name the frontends that have an address; one without is any address anyway."""
        for index, item in enumerate(cursor.quiet().items()):
            members = merged(item)
            title = str(members["name"].name() if "name" in members else index)
            if any(key in members and not members[key].is_empty() for key in _ADDRESSES):
                self._skipped.name(spelled, TOP_NOT_HONOURED["frontendipconfigurations"], title)
            link = members.get("privatelinkconfiguration")
            if link is not None:
                self._skipped.skip(link, "privatelinkconfiguration", title, {})

    def _global(self, draft: Draft, cursor: Cursor, spelled: str) -> None:
        made = Draft(cursor.place)
        draft.put("global_configuration", made, cursor.place)
        for member, child in cursor.members().items():
            if member in GLOBAL:
                self._objects.put(made, GLOBAL[member], child, "")
            elif not child.is_empty():
                key = child.place.path.rsplit(".", 1)[-1]
                self.not_honoured.append(f"{spelled}.{key}: this member is not known here and has no effect.")


def _is_off(member: str, cursor: Cursor) -> bool:
    """Whether a member says itself that it asks for nothing: ``{"enabled": false}``."""
    if member != "webapplicationfirewallconfiguration":
        return False
    quiet = cursor.quiet()
    enabled = quiet.members().get("enabled") if isinstance(quiet.peek(), dict) else None
    return enabled is not None and (enabled.is_empty() or str(enabled.value()).casefold() == "false")
