"""The members of a pool, as an ARM document lists them."""

from __future__ import annotations

from gateway.config.arm_tables import Field
from gateway.config.cursor import Cursor
from gateway.config.draft import Draft
from gateway.config.settling import merged, settle
from gateway.config.skipped import Skipped
from gateway.config.unknown import stand_in_host

__all__ = ["pool_members"]


def pool_members(cursor: Cursor, skipped: Skipped) -> list[Draft]:
    """A draft for each that has an address, or a stand-in for one that is not known."""
    result = []
    for item in cursor.items():
        before = len(item.problems)
        members = merged(item)
        settle(cursor.problems, before, "this member is left out")
        draft = Draft(item.place)
        for key in ("fqdn", "ipaddress"):
            if key in members and "host" not in draft:
                value = members[key].value()
                if value not in (None, ""):
                    draft.put("host", value.strip() if isinstance(value, str) else value, members[key].place)
        _stand_in(draft, [members[key] for key in ("fqdn", "ipaddress") if key in members], before)
        for key in ("port", "weight"):
            if key in members:
                draft.put(key, members[key].value(), members[key].place)
        settle(cursor.problems, before, "it is as if it was not given")
        if "host" in draft:
            result.append(draft)
        elif not any(not members[key].is_empty() for key in ("fqdn", "ipaddress") if key in members):
            for member, child in members.items():
                skipped.skip(child, member, "", {"fqdn": Field(""), "ipAddress": Field("")})
            if len(item.problems) == before:
                _nobody(item, [members[key] for key in ("fqdn", "ipaddress") if key in members])
    return result


def _stand_in(draft: Draft, given: list[Cursor], start: int) -> None:
    """A host for a member whose address is not known: it is out, and says why."""
    unknown = next((cursor for cursor in given if cursor.unknown), None)
    if unknown is not None and "host" not in draft:
        draft.put("host", stand_in_host(unknown.stand_in()), unknown.place)
        settle(
            unknown.problems,
            start,
            f"the member is {draft['host']!r}, which is down (--map-backend {draft['host']}=HOST:PORT also tells "
            "where it is)",
        )


def _nobody(item: Cursor, given: list[Cursor]) -> None:
    """A member without an address: a slip, or a parameter that was left empty."""
    computed = next((cursor for cursor in given if cursor.place.note), None)
    if computed is not None:
        computed.fail("found no text, expected an address or a host name; this member is left out", "warning")
    else:
        (given[0] if given else item).fail("found no address; give this member an 'fqdn' or an 'ipAddress'")
