"""Reads one Application Gateway resource, or bare ``properties``, into a draft of the model.

Accepts objects with their ``properties`` envelope and flattened ones (as the Azure CLI prints them), keys in any case,
and references by the last segments of an id, whatever stray characters templates and documentation left behind it.
"""

from __future__ import annotations

from typing import Any

from gateway.config.arm_tables import (
    CARDS,
    COLLECTIONS,
    GLOBAL,
    GLOBAL_NOT_HONOURED,
    IGNORED,
    NOT_HONOURED,
    OBJECTS,
    SPELLING,
    TOP_IGNORED,
    TOP_NOT_HONOURED,
    TOP_READ,
    Collection,
    Field,
)
from gateway.config.cursor import Cursor
from gateway.config.draft import Draft
from gateway.config.tree import nearest, show
from gateway.config.unknown import HOSTS, TRUSTED, UNUSABLE, Needed, stand_in_host

__all__ = ["ResourceReader", "is_placeholder", "reference_name"]

_ADDRESSES = ("publicipaddress", "privateipaddress", "subnet")
_PLACEHOLDER = 256
_UNNAMED = {"pathrules": "pathRule", "advancedroutingrules": "routingRule"}
"""What objects inside of others are called that have no name."""
_ONE = {"pathrules": "path rule", "advancedroutingrules": "routing rule"}
_TOP_SEEN = TOP_IGNORED | set(COLLECTIONS) | set(TOP_READ)
_TWINS = {"listeners": "httplisteners", "backendsettingscollection": "backendhttpsettingscollection",
          "routingrules": "requestroutingrules"}  # fmt: skip
_OF_LAYER4 = " (layer 4)"
_STRAY = "'\")]} \t\r\n"


def reference_name(identifier: str) -> str:
    """The name at the end of a resource id, without stray quotes and brackets."""
    return identifier.rstrip(_STRAY).rstrip("/").rsplit("/", 1)[-1].strip()


class ResourceReader:
    """Reads one gateway.

    ``replaced``: folded names of certificates and pools that overrides give, so that their own values are not needed.
    After `read`: ``frontends`` maps a listener's name to the frontend address it names (folded), ``not_honoured`` holds
    sentences for the report, ``left_out`` for each collection of the model the names of what cannot be used, and what
    is wrong is in the problems of the cursor.
    """

    def __init__(self, cursor: Cursor, replaced: frozenset[str] = frozenset()) -> None:
        self._cursor = cursor
        self._replaced = replaced
        self._names: dict[str, dict[str, str]] = {}
        self._ports: dict[str, Cursor] = {}
        self._skipped: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self.frontends: dict[str, str] = {}
        self.not_honoured: list[str] = []
        self.left_out: dict[str, set[str]] = {}

    def read(self) -> Draft:
        draft = Draft(self._cursor.place)
        start = len(self._cursor.problems)
        members = _merged(self._cursor)
        self._settle(start, "nothing of it is read")
        if self._failed(start):
            draft.failed |= {"listeners", "rules"}  # there may be some
        name = members.get("name")
        if name is not None and isinstance(name.name(), str):
            draft.put("name", str(name.name()), name.place)
        self._settle(start, "it is called 'gateway'")
        objects = self._objects(draft, members)
        for key, collection in COLLECTIONS.items():
            if key in objects and key not in _UNNAMED:
                made = [self._child(key, collection, item, title) for item, title in objects[key]]
                listed = [*(draft.get(collection.target) or ()), *(item for item in made if item is not None)]
                draft.put(collection.target, listed, members[key].place)
        for key, (field, otherwise) in TOP_READ.items():
            if key in members:
                self._put(draft, field, members[key], "", otherwise=otherwise)
        self._priorities(draft)
        self._top(draft, members)
        for (_, reason), (what, names) in self._skipped.items():
            where = f" ({', '.join(names[:6])}{', …' if len(names) > 6 else ''})" if names else ""
            self.not_honoured.append(f"{what}{where}: {reason}.")
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

    def _objects(self, draft: Draft, members: dict[str, Cursor]) -> dict[str, list[tuple[dict[str, Cursor], str]]]:
        result: dict[str, list[tuple[dict[str, Cursor], str]]] = {}
        for key in (*COLLECTIONS, "frontendports"):
            if key not in members:
                continue
            listed: list[tuple[dict[str, Cursor], str]] = []
            start = len(members[key].problems)
            for item in members[key].items():
                begin = len(item.problems)
                merged = _merged(item)
                self._settle(begin, "it is left out")
                if not merged:
                    continue
                title = merged["name"].name() if "name" in merged else None
                if title is None and "name" in merged and merged["name"].unknown:
                    title = f"{merged['name'].unknown}-{len(listed) + 1}"
                    self._settle(begin, f"it is called {title!r}")
                if title is None and "id" in merged and isinstance(merged["id"].name(), str):
                    title = reference_name(merged["id"].name())
                if not isinstance(title, (str, int)) or title == "":
                    item.fail("'name' is missing" if title is None else f"found {show(title)} as name, expected text")
                    title = f"?{len(listed)}"
                merged[""] = item
                listed.append((merged, self._own_name(key, str(title))))
            self._settle(start, "nothing of it is read")
            if not listed and self._failed(start) and key in COLLECTIONS:
                draft.failed.add(COLLECTIONS[key].target)
            self._names[key] = {
                self._document_name(key, title).casefold(): title for _, title in listed
            }
            result[key] = listed
            if key == "frontendports":
                self._ports = {title.casefold(): merged["port"] for merged, title in listed if "port" in merged}
        return result

    def _own_name(self, key: str, title: str) -> str:
        """The name in the model, where what is for requests and what is for connections is in one list."""
        twins = self._names.get(_TWINS.get(key, ""), {})
        return title + _OF_LAYER4 if title.casefold() in twins else title

    def _document_name(self, key: str, title: str) -> str:
        return title.removesuffix(_OF_LAYER4) if key in _TWINS else title

    def _child(self, key: str, collection: Collection, members: dict[str, Cursor], title: str) -> Draft | None:
        """One object; ``None`` where it cannot be used, because something of it is not known."""
        draft = Draft(members[""].place)
        draft.inner = members["properties"].place if "properties" in members else None
        draft.put("name", title, members["name"].place if "name" in members else draft.place)
        if key == "requestroutingrules":
            start = len(self._cursor.problems)
            members = _without_other_targets(members)
            self._settle(start, "everything that the rule leads to is read")
        if "loaddistributionpolicy" in collection.fields:
            members = self._without_shared_pool(members, title)
        if key == "redirectconfigurations":
            draft["include_path"] = draft["include_query_string"] = False
        for member, cursor in members.items():
            field = collection.fields.get(member)
            if field is not None:
                needed = UNUSABLE.get(collection.target)
                if not self._put(draft, field, cursor, title, needed):
                    self.left_out.setdefault(collection.target, set()).add(title)
                    return None
            elif member and member not in IGNORED:
                self._skip(cursor, member, title, collection.fields)
        if key == "backendaddresspools":
            self._note_pool(members, title)
        if key in ("httplisteners", "listeners"):
            self._listener(draft, members, title)
        self._layer(key, draft, members, title)
        if key in ("sslcertificates", "trustedrootcertificates", "trustedclientcertificates"):
            _note_absence(draft)
        return draft

    def _without_shared_pool(self, members: dict[str, Cursor], title: str) -> dict[str, Cursor]:
        """Without the pool, where there is a distribution too: its pools are meant."""
        pool, shared = members.get("backendaddresspool"), members.get("loaddistributionpolicy")
        if pool is None or shared is None or pool.is_empty() or shared.is_empty():
            return members
        self._name_skipped("backendAddressPool", "the pools of its load distribution policy are used", title)
        return {key: value for key, value in members.items() if value is not pool}

    def _layer(self, key: str, draft: Draft, members: dict[str, Cursor], title: str) -> None:
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
        if protocol in ("http", "https", "tcp", "tls") and protocol not in right:
            spelled = SPELLING.get(key, key)
            members["protocol"].fail(
                f"{self._document_name(key, title)!r} of {spelled!r} is {draft['protocol']}; that belongs into "
                f"{SPELLING.get(other, other)!r}"
            )
            draft["protocol"] = right[0]
        if key == "routingrules" and draft.get("priority") is None and "priority" not in draft.failed | draft.unknown:
            name = self._document_name(key, title)
            members[""].fail(f"rule {name!r} has no 'priority'; rules of 'routingRules' need one, from 1 to 20000")

    def _put(
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
        value = self._read(draft, field, cursor)
        if value is None and cursor.unknown and field.target in HOSTS:
            value = stand_in_host(cursor.stand_in())
            self._settle(start, f"{value!r} stands for it")
        if value is None and cursor.unknown and field.target in TRUSTED:
            value = [cursor.unknown] if field.kind == "refs" else cursor.unknown
            self._settle(start, "nothing is trusted in its place")
        if value is not None:
            draft.put(field.target, value, cursor.place)
        elif self._failed(start):
            draft.failed.add(field.target)
        if cursor.unknown and value is None:
            draft.unknown.add(field.target)
        if needed is not None and field.target in needed.attributes:
            if self._settle(start, f"{needed.word} {title!r} is left out{needed.and_then}"):
                return False
        self._settle(start, otherwise)
        return True

    # what is not known, and what is wrong

    def _settle(self, start: int, words: str) -> bool:
        """Make warnings of what is not known, from a problem on. Whether there is any.

        ``words``: what happens instead.
        """
        problems = self._cursor.problems
        found = [index for index in range(start, len(problems)) if problems[index].severity == "unknown"]
        for index in found:
            message = f"{problems[index].message}; until then {words}"
            problems[index] = problems[index]._replace(message=message, severity="warning")
        return bool(found)

    def _failed(self, start: int) -> bool:
        """Whether there are errors from a problem on."""
        return any(problem.severity == "error" for problem in self._cursor.problems[start:])

    # members

    def _read(self, draft: Draft, field: Field, cursor: Cursor) -> Any:
        value: Any
        if field.kind == "ref":
            value = self._reference(cursor, field.collection)
        elif field.kind == "refs":
            value = self._references(draft, field, cursor)
        elif field.kind == "object":
            value = self._nested(Draft(cursor.place), cursor, OBJECTS[field.collection])
        elif field.kind == "objects":
            value = self._nested_list(cursor, OBJECTS[field.collection])
        elif field.kind == "status":
            value = self._status(cursor)
        elif field.kind == "members":
            value = self._pool_members(cursor)
        elif field.kind == "children":
            value = self._children(cursor, field.collection)
        elif field.kind == "port":
            value = self._port(cursor)
        elif field.kind in ("host", "hosts"):
            value = self._hosts(draft, cursor)
        else:
            value = self._secret(cursor) if field.kind == "secret" else cursor.value()
            if field.kind == "text" and isinstance(value, str) and not value.strip():
                value = None
            if isinstance(value, (list, tuple)):
                value = list(value)
        return value

    def _skip(self, cursor: Cursor, member: str, title: str, known: dict[str, Field]) -> None:
        """Name what is not read: known and not honoured, or not known at all."""
        if cursor.is_empty():
            return
        spelled = cursor.place.path.rsplit(".", 1)[-1]
        if member in NOT_HONOURED:
            self._name_skipped(spelled, NOT_HONOURED[member], title)
            return
        close = nearest(member, known, 0.85)
        if close is not None:
            cursor.fail(f"unknown key {spelled!r}; did you mean {SPELLING.get(close, close)!r}?")
        else:
            self._name_skipped(spelled, "this member is not known here and has no effect", title)

    def _name_skipped(self, spelled: str, reason: str, title: str) -> None:
        names = self._skipped.setdefault((spelled.casefold(), reason), (spelled, []))[1]
        if title and title not in names:
            names.append(title)

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
            members = _merged(item)
            title = str(members["name"].name() if "name" in members else index)
            if any(key in members and not members[key].is_empty() for key in _ADDRESSES):
                self._name_skipped(spelled, TOP_NOT_HONOURED["frontendipconfigurations"], title)
            link = members.get("privatelinkconfiguration")
            if link is not None:
                self._skip(link, "privatelinkconfiguration", title, {})

    def _global(self, draft: Draft, cursor: Cursor, spelled: str) -> None:
        made = Draft(cursor.place)
        draft.put("global_configuration", made, cursor.place)
        for member, child in cursor.members().items():
            if member in GLOBAL:
                self._put(made, GLOBAL[member], child, "")
            elif member in GLOBAL_NOT_HONOURED:
                if not child.is_empty() and str(child.quiet().value()).casefold() != "false":
                    self.not_honoured.append(
                        f"{spelled}.{SPELLING.get(member, member)}: {GLOBAL_NOT_HONOURED[member]}."
                    )
            elif not child.is_empty():
                key = child.place.path.rsplit(".", 1)[-1]
                self.not_honoured.append(f"{spelled}.{key}: this member is not known here and has no effect.")

    # the kinds of values

    def _secret(self, cursor: Cursor) -> str:
        """The id of a Key Vault secret: only ever compared, so an expression without a value stands for itself."""
        value = cursor.quiet().name()
        return value if isinstance(value, str) else cursor.text()

    def _reference(self, cursor: Cursor, collection: str) -> str | None:
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
        names = self._names.get(collection, {})
        exact = identifier.strip().rsplit("/", 1)[-1]
        name = reference_name(identifier)
        return names.get(exact.casefold()) or names.get(name.casefold(), name)

    def _references(self, draft: Draft, field: Field, cursor: Cursor) -> list[str] | None:
        names: list[str] = []
        for item in cursor.items() if isinstance(cursor.peek(), list) else (cursor,):
            name = self._reference(item, field.collection)
            cursor.unknown = cursor.unknown or item.unknown
            if name:
                draft.places[(field.target, len(names))] = item.place
                names.append(name)
        return names or None

    def _port(self, cursor: Cursor) -> Any:
        name = self._reference(cursor, "frontendports")
        if name is None:
            return None
        port = self._ports.get(name.casefold())
        if port is None:
            known = ", ".join(self._names.get("frontendports", {}).values()) or "none"
            cursor.fail(f"there is no frontend port {name!r} with a port; frontendPorts has: {known}", "unknown")
            return None
        value = port.value()
        cursor.place = port.place
        return value

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
                self._settle(start, f"{name!r} stands for it")
            if name not in (None, ""):
                draft.places[("host_names", len(names))] = item.place
                names.append(name)
        if not names:
            return None
        if draft.get("host_names"):
            cursor.fail("'hostName' and 'hostNames' are both there; give only one of them")
            return None
        return names

    def _nested(self, draft: Draft, cursor: Cursor, fields: dict[str, Field]) -> Draft | None:
        """Read an object inside of another one into ``draft``; ``None`` if there is nothing in it."""
        title = str(draft.get("name", ""))
        for member, child in _merged(cursor).items():
            if member in fields:
                self._put(draft, fields[member], child, title)
                if draft.get(fields[member].target) == []:
                    del draft[fields[member].target]
            elif member not in IGNORED and not child.is_empty():
                self._skip(child, member, title, fields)
        return draft if draft else None

    def _nested_list(self, cursor: Cursor, fields: dict[str, Field]) -> list[Draft]:
        read = [self._nested(Draft(item.place), item, fields) for item in cursor.items()]
        return [draft for draft in read if draft is not None]

    def _status(self, cursor: Cursor) -> Any:
        """``HttpStatus403`` as ``403``."""
        value = cursor.value()
        if isinstance(value, str) and value.casefold().startswith("httpstatus"):
            return value[len("httpstatus") :]
        return value

    def _pool_members(self, cursor: Cursor) -> list[Draft]:
        result = []
        for item in cursor.items():
            before = len(item.problems)
            members = _merged(item)
            self._settle(before, "this member is left out")
            draft = Draft(item.place)
            for key in ("fqdn", "ipaddress"):
                if key in members and "host" not in draft:
                    value = members[key].value()
                    if value not in (None, ""):
                        draft.put("host", value.strip() if isinstance(value, str) else value, members[key].place)
            self._stand_in(draft, [members[key] for key in ("fqdn", "ipaddress") if key in members], before)
            for key in ("port", "weight"):
                if key in members:
                    draft.put(key, members[key].value(), members[key].place)
            self._settle(before, "it is as if it was not given")
            if "host" in draft:
                result.append(draft)
            elif not any(not members[key].is_empty() for key in ("fqdn", "ipaddress") if key in members):
                for member, child in members.items():
                    self._skip(child, member, "", {"fqdn": Field(""), "ipAddress": Field("")})
                if len(item.problems) == before:
                    self._nobody(item, [members[key] for key in ("fqdn", "ipaddress") if key in members])
        return result

    def _stand_in(self, draft: Draft, given: list[Cursor], start: int) -> None:
        """A host for a member whose address is not known: it is out, and says why."""
        unknown = next((cursor for cursor in given if cursor.unknown), None)
        if unknown is not None and "host" not in draft:
            draft.put("host", stand_in_host(unknown.stand_in()), unknown.place)
            self._settle(
                start,
                f"the member is {draft['host']!r}, which is down (--map-backend {draft['host']}=HOST:PORT also tells "
                "where it is)",
            )

    def _nobody(self, item: Cursor, given: list[Cursor]) -> None:
        """A member without an address: a slip, or a parameter that was left empty."""
        computed = next((cursor for cursor in given if cursor.place.note), None)
        if computed is not None:
            computed.fail("found no text, expected an address or a host name; this member is left out", "warning")
        else:
            (given[0] if given else item).fail("found no address; give this member an 'fqdn' or an 'ipAddress'")

    def _children(self, cursor: Cursor, key: str) -> list[Draft]:
        """Named objects inside of another one: path rules, rules of a routing map."""
        result = []
        for index, item in enumerate(cursor.items()):
            start = len(item.problems)
            members = _merged(item)
            if self._settle(start, f"this {_ONE[key]} is left out"):
                continue
            members[""] = item
            title = members["name"].name() if "name" in members else None
            made = self._child(key, COLLECTIONS[key], members, str(title or f"{_UNNAMED[key]}{index + 1}"))
            if made is not None:
                result.append(made)
        return result

    def _note_pool(self, members: dict[str, Cursor], title: str) -> None:
        if "backendipconfigurations" in members and not members["backendipconfigurations"].is_empty():
            self._name_skipped(SPELLING["backendipconfigurations"], CARDS, title)

    def _listener(self, draft: Draft, members: dict[str, Cursor], title: str) -> None:
        frontend = members.get("frontendipconfiguration")
        if frontend is not None:
            self.frontends[title] = (self._reference(frontend.quiet(), "frontendipconfigurations") or "").casefold()


_MEANT: dict[str, set[str]] = {
    "basic": {"backendaddresspool", "backendhttpsettings", "redirectconfiguration", "loaddistributionpolicy"},
    "pathbasedrouting": {"urlpathmap"},
    "advancedrouting": {"advancedroutingmap"},
}
"""Members that lead somewhere, by the type of the rule for which they do."""
def _note_absence(draft: Draft) -> None:
    """Say why a certificate or trusted root is not there, if it is not."""
    unknown = sorted(draft.unknown & {"data", "password"})
    if draft.get("certificate_file") or draft.get("file") or draft.failed:
        return
    if is_placeholder(draft.get("data")):
        reason = "its data is a placeholder and no certificate"
    elif unknown:
        reason = f"its {' and '.join(unknown)} {'are' if len(unknown) > 1 else 'is'} not known here"
    elif draft.get("data"):
        return
    elif draft.get("key_vault_secret_id"):
        reason = "it is in a Key Vault, which cannot be asked here"
    else:
        reason = "it has no data"
    draft.pop("data", None)
    draft.pop("password", None)
    draft["unavailable"] = reason


def is_placeholder(data: Any) -> bool:
    """Whether what stands for a certificate is none at all, as in templates that get theirs when they are deployed.

    A short text that neither is PEM nor begins as PKCS#12 in base64 does (``MI``).
    """
    if not isinstance(data, str):
        return False
    text = data.strip()
    return len(text) <= _PLACEHOLDER and not text.startswith("MI") and "-----BEGIN" not in text


def _merged(cursor: Cursor) -> dict[str, Cursor]:
    """The members of an object and those of its ``properties``."""
    members = cursor.members()
    inner = members.get("properties")
    if inner is not None:
        for key, value in inner.members().items():
            if key != "name" or "name" not in members:
                members[key] = value
    return members


def _is_off(member: str, cursor: Cursor) -> bool:
    """Whether a member says itself that it asks for nothing: ``{"enabled": false}``."""
    if member != "webapplicationfirewallconfiguration":
        return False
    quiet = cursor.quiet()
    enabled = quiet.members().get("enabled") if isinstance(quiet.peek(), dict) else None
    return enabled is not None and (enabled.is_empty() or str(enabled.value()).casefold() == "false")


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
