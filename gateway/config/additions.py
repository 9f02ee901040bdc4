"""Objects that overrides make where a document only names them, and settings and probes that they change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config.draft import Draft, Location
from gateway.config.model import BackendSettings, Certificate, Gateway, Pool, Probe, TrustedRoot
from gateway.config.problems import validate
from gateway.config.targets import pool_pairs
from gateway.config.tree import Place
from gateway.errors import Problem

if TYPE_CHECKING:
    from gateway.config.overrides import Overrides

__all__ = ["add_missing", "change"]

_Named = TypeVar("_Named", Pool, BackendSettings, Probe, Certificate, TrustedRoot)


def add_missing(gateway: Gateway, overrides: Overrides) -> Gateway:
    """The gateway with an empty object for each name that it uses, has not, and the overrides say something about."""
    given = overrides.file
    files = [name for name, item in given.certificates.items() if item.certificate_file or item.pfx_file]
    targets = list(pool_pairs(gateway))
    served = [name for listener in gateway.listeners for name in listener.certificates]
    roots = [name for item in gateway.settings for name in item.trusted_root_certificates]
    settings = (*gateway.settings, *_made(BackendSettings, gateway.settings, (t[1] for t in targets), given.settings))
    return gateway.model_copy(
        update={
            "pools": (*gateway.pools, *_made(Pool, gateway.pools, (target[0] for target in targets), given.pools)),
            "settings": settings,
            "probes": (*gateway.probes, *_made(Probe, gateway.probes, (s.probe for s in settings), given.probes)),
            "certificates": (*gateway.certificates, *_made(Certificate, gateway.certificates, served, files)),
            "trusted_roots": (*gateway.trusted_roots, *_made(TrustedRoot, gateway.trusted_roots, roots, files)),
        }
    )


def _made(
    cls: type[_Named], known: Iterable[_Named], wanted: Iterable[str | None], given: Iterable[str]
) -> list[_Named]:
    names = {item.name for item in known}
    folded = {name.casefold() for name in given}
    missing = dict.fromkeys(name for name in wanted if name and name not in names and name.casefold() in folded)
    return [cls(name=name) for name in missing]


def change(gateway: Gateway, overrides: Overrides, problems: list[Problem]) -> Gateway:
    """The gateway with the settings and probes that the overrides change."""
    return gateway.model_copy(
        update={
            "settings": tuple(
                _changed(("settings", index), item, overrides, problems) for index, item in enumerate(gateway.settings)
            ),
            "probes": tuple(
                _changed(("probes", index), item, overrides, problems) for index, item in enumerate(gateway.probes)
            ),
        }
    )


def _changed(location: Location, item: _Named, overrides: Overrides, problems: list[Problem]) -> _Named:
    kind = str(location[0])
    entries: dict[str, dict[str, Any]] = getattr(overrides.file, kind)
    found = next((name for name in entries if name.casefold() == item.name.casefold()), None)
    if found is None:
        return item
    overrides.used.add(f"{kind} {found}")
    attributes = {(field.alias or name).casefold(): name for name, field in type(item).model_fields.items()}
    draft = Draft(overrides.place(kind, found))
    draft.update(item.model_dump(exclude_unset=True))
    for key, value in entries[found].items():
        name = attributes.get(key.casefold().replace("_", ""), key)
        draft.put(name, value, overrides.place(kind, found, key))
        overrides.put(location, kind, found, {name: key})
    draft["name"] = item.name
    whole = Draft(Place(""))
    whole.put(kind, [draft], draft.place)
    made, wrong, _ = validate(whole)
    problems.extend(wrong)
    changed: tuple[_Named, ...] = getattr(made, kind)
    return item if wrong or not changed else changed[0]
