"""Objects that overrides make where a document only names them, and what they change of those that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from gateway.config.draft import Draft, Location
from gateway.config.model import (
    BackendSettings,
    Certificate,
    Gateway,
    HttpListener,
    PathMap,
    PathRule,
    Pool,
    Probe,
    Rule,
    TrustedRoot,
)
from gateway.config.overrides_file import CHANGED, PoolOverride
from gateway.config.problems import validate
from gateway.config.targets import pool_pairs
from gateway.config.tree import Place
from gateway.errors import Problem

if TYPE_CHECKING:
    from gateway.config.overrides import Overrides

__all__ = ["add_missing", "change"]

_Changed = TypeVar("_Changed", Pool, BackendSettings, Probe, HttpListener, Rule, PathRule)
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
    """The gateway with what the overrides change by name, and of itself."""
    return _Changes(overrides, problems).of(gateway)


class _Changes:
    def __init__(self, overrides: Overrides, problems: list[Problem]) -> None:
        self._overrides = overrides
        self._file = overrides.file
        self._problems = problems

    def of(self, gateway: Gateway) -> Gateway:
        changed: dict[str, Any] = {
            kind: tuple(
                self._changed(kind, (kind, index), item.name, item) for index, item in enumerate(getattr(gateway, kind))
            )
            for kind in CHANGED
            if kind != "path_rules" and getattr(self._file, kind)
        }
        if self._file.path_rules:
            changed["path_maps"] = tuple(self._path_map(index, item) for index, item in enumerate(gateway.path_maps))
        return gateway.model_copy(update=changed | self._own(gateway))

    def _path_map(self, number: int, path_map: PathMap) -> PathMap:
        at: Location = ("path_maps", number, "path_rules")
        rules = tuple(
            self._changed("path_rules", (*at, index), f"{path_map.name}/{rule.name}", rule)
            for index, rule in enumerate(path_map.path_rules)
        )
        return path_map.model_copy(update={"path_rules": rules})

    def _own(self, gateway: Gateway) -> dict[str, Any]:
        """What changes of the gateway itself."""
        whole = Draft(Place(""))
        for key in ("middleware", "observers", "limits", "resolver"):
            value = getattr(self._file, key)
            if value is not None:
                place = self._overrides.place("", key)
                self._overrides.place_at((key,), place)
                if isinstance(value, dict):
                    value = _overlaid(getattr(gateway, key), value, place)
                whole.put(key, value, place)
        made = self._made(whole)
        return {} if made is None else {key: getattr(made, key) for key in whole}

    def _changed(self, kind: str, location: Location, title: str, item: _Changed) -> _Changed:
        """One object, with what the entry of its ``title`` changes."""
        entries: Mapping[str, Any] = getattr(self._file, kind)
        found = next((name for name in entries if name.casefold() == title.casefold()), None)
        if found is None:
            return item
        self._overrides.used.add(f"{kind} {found}")
        entry = entries[found]
        if isinstance(entry, PoolOverride):
            entry = entry.model_extra or {}
        if not entry:
            return item
        draft = _overlaid(item, entry, self._overrides.place(kind, found), partial(self._overrides.place, kind, found))
        for name, place in draft.places.items():
            self._overrides.place_at((*location, str(name)), place)
        draft["name"] = item.name
        made = self._made(_around(kind, draft))
        if made is None:
            return item
        listed: Any = made.path_maps[0].path_rules if kind == "path_rules" else getattr(made, kind)
        result: _Changed = listed[0]
        return result

    def _made(self, whole: Draft) -> Gateway | None:
        """The model of a draft; ``None`` where something is wrong with it, which is reported."""
        made, wrong, _ = validate(whole)
        self._problems.extend(wrong)
        return None if wrong else made


def _overlaid(
    item: BaseModel, entry: dict[str, Any], place: Place, place_of: Callable[[str], Place] | None = None
) -> Draft:
    """What an object was given, with other values for some keys; ``place_of`` says where those stand."""
    attributes = {(field.alias or name).casefold(): name for name, field in type(item).model_fields.items()}
    draft = Draft(place)
    draft.update(item.model_dump(exclude_unset=True))
    for key, value in entry.items():
        draft.put(attributes.get(key.casefold().replace("_", ""), key), value, (place_of or place.child)(key))
    return draft


def _around(kind: str, draft: Draft) -> Draft:
    """A gateway that has nothing but this object."""
    if kind == "path_rules":
        path_map = Draft(draft.place)
        path_map.put("name", "map", draft.place)
        path_map.put(kind, [draft], draft.place)
        kind, draft = "path_maps", path_map
    whole = Draft(Place(""))
    whole.put(kind, [draft], draft.place)
    return whole
