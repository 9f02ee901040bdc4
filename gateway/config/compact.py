"""Reads the compact spelling: the model's own names, references by name, defaults for the rest.

Sugar that it takes: backends as ``host:port`` or URLs, ``hostName`` for one host name, ``certificate`` for one
certificate, one word where a list of words is meant, names and settings left out.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel

from gateway.config import model
from gateway.config.draft import Draft
from gateway.config.problems import unwrap
from gateway.config.texts import host_problem
from gateway.config.tree import Map, Place, line_of, plain, show
from gateway.errors import Problem

__all__ = ["COMPACT_KEYS", "SYNONYMS", "CompactReader", "parse_backend"]

SYNONYMS = {
    model.Pool: {"backends": "members", "backendaddresses": "members"},
    model.HttpListener: {
        "hostname": "host_names",
        "hosts": "host_names",
        "host": "host_names",
        "certificate": "certificates",
    },
    model.PathRule: {"path": "paths"},
    model.BackendSettings: {"timeout": "request_timeout"},
}
_DEFAULT = "default"

COMPACT_KEYS = frozenset(
    (field.alias or name).casefold() for name, field in model.Gateway.model_fields.items() if name not in model.INTERNAL
)


def parse_backend(text: str) -> tuple[str, str, int | None]:
    """``(scheme, host, port)`` of ``host:port``, ``[::1]:port``, ``http://host:port`` or ``https://host:port``.

    The scheme is empty where none was given.  Raises ``ValueError`` with what would be right.
    """
    scheme, mark, rest = text.strip().partition("://")
    if not mark:
        scheme, rest = "", text.strip()
    if mark and scheme.lower() not in ("http", "https"):
        raise ValueError(f"the scheme {scheme!r} is not http or https; WebSocket needs no scheme of its own")
    if "@" in rest:
        raise ValueError("a backend is asked without user name and password; leave them out")
    if "," in rest:
        raise ValueError("several backends are a list, one item each")
    wanted = "expected host, host:port, [address]:port or http(s)://host:port"
    try:
        parts = urlsplit("//" + (rest if rest.count(":") < 2 or rest.startswith("[") else f"[{rest}]"))
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{error}; {wanted}") from None
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        network = re.fullmatch(r"/[0-9]+", parts.path)
        raise ValueError(
            "a network is no backend; list its members one by one"
            if network
            else "a backend is a host and a port; a path is given with the settings' 'path'"
        )
    if not parts.hostname or rest.rstrip("/").endswith(":") or any(char.isspace() for char in rest):
        raise ValueError(wanted)
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    host = (
        parts.netloc.rpartition("]")[0][1:]
        if parts.netloc.startswith("[")
        else parts.netloc.rpartition(":")[0] or parts.netloc
    )
    problem = host_problem(host)
    if problem:
        raise ValueError(problem)
    return scheme.lower(), host, port


class CompactReader:
    """Reads one compact document into a draft."""

    def __init__(self, root: Map, problems: list[Problem]) -> None:
        self._root = root
        self._problems = problems
        self._schemes: dict[str, str] = {}

    def read(self) -> Draft:
        draft = self._object(model.Gateway, self._root, Place("", self._root.line))
        self._names(draft)
        self._settings(draft)
        return draft

    # from the document's keys to the model's

    def _object(self, cls: type[BaseModel], node: Map, place: Place) -> Draft:
        draft = Draft(place)
        names = {(field.alias or name).casefold(): name for name, field in cls.model_fields.items()}
        names |= SYNONYMS.get(cls, {})
        for key, value in node.items():
            where = place.child(key, line_of(node, key))
            name = names.get(key.casefold().replace("_", ""), key)
            if name in model.INTERNAL:
                self._problems.append(where.problem(f"{key!r} is not for a document to say; leave it out"))
                continue
            if name in draft:
                self._problems.append(
                    where.problem(f"{key!r} says again what {draft.places[name].path.rsplit('.', 1)[-1]!r} says")
                )
                continue
            field = cls.model_fields.get(name)
            draft.put(name, self._value(cls, name, field.annotation, value, where) if field else plain(value), where)
            for index in range(len(value)) if isinstance(value, list) else ():
                draft.places[(name, index)] = where.item(index, line_of(value, index))
            if field is not None and isinstance(value, Map) and get_origin(unwrap(field.annotation)) is dict:
                draft.trees[name] = value
            elif field is not None and not isinstance(value, list) and get_origin(unwrap(field.annotation)) is tuple:
                draft.places[(name, 0)] = where  # one thing where a list of them is meant
        return draft

    def _value(self, cls: type[BaseModel], name: str, annotation: Any, value: Any, place: Place) -> Any:
        annotation = unwrap(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, Map):
            return self._object(annotation, value, place)
        if get_origin(annotation) is not tuple:
            if cls is not model.Gateway and name in ("settings", "default_settings") and isinstance(value, Map):
                return self._object(model.BackendSettings, value, place)
            return plain(value)
        inner = get_args(annotation)[0]
        items = value if isinstance(value, list) else [] if value is None else [value]
        result: list[Any] = []
        for index, item in enumerate(items):
            where = place.item(index, line_of(value, index)) if isinstance(value, list) else place
            if cls is model.Pool and name == "members":
                made = self._member(item, where)
            elif isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(item, Map):
                made = self._object(inner, item, where)
            else:
                made = plain(item)
            result.append(made)
        return result

    def _member(self, item: Any, place: Place) -> Any:
        if isinstance(item, Map):
            draft = self._object(model.Member, item, place)
            host = draft.get("host")
            if isinstance(host, str) and "://" in host:
                self._address(draft, host, draft.places["host"], place)
            return draft
        draft = Draft(place)
        if not isinstance(item, str):
            self._problems.append(place.problem(f"found {show(item)}, expected host:port or a mapping with 'host'"))
            draft.failed.add("host")
            return draft
        self._address(draft, item, place, place)
        return draft

    def _address(self, draft: Draft, text: str, where: Place, place: Place) -> None:
        try:
            scheme, host, port = parse_backend(text)
        except ValueError as error:
            self._problems.append(where.problem(f"found {show(text)}: {error}"))
            draft.pop("host", None)
            draft.failed.add("host")
            return
        draft.put("host", host, where)
        if port is not None and "port" not in draft:
            draft.put("port", port, where)
        if scheme:
            self._schemes[place.path] = scheme

    # defaults

    def _names(self, draft: Draft) -> None:
        for key, stem in (
            ("listeners", "listener"),
            ("pools", "pool"),
            ("rules", "rule"),
            ("path_maps", "pathMap"),
            ("rewrites", "rewrite"),
            ("routing_maps", "routingMap"),
            ("settings", ""),
        ):
            objects = draft.get(key) or ()
            taken = {str(item.get("name", "")).casefold() for item in objects if isinstance(item, Draft)}
            for index, item in enumerate(objects):
                if isinstance(item, Draft):
                    if item.get("name") is None and (stem or len(objects) == 1):
                        name = f"{stem}{index + 1}" if stem else _DEFAULT
                        item["name"] = name if name.casefold() not in taken else f"{name}-{index + 1}"
                    of_rules = "routingRule" if key == "routing_maps" else "rewriteRule"
                    for inner, word in (("path_rules", "pathRule"), ("rules", of_rules)):
                        for number, rule in enumerate(item.get(inner) or ()):
                            if isinstance(rule, Draft) and rule.get("name") is None:
                                rule["name"] = f"{word}{number + 1}"

    def _settings(self, draft: Draft) -> None:
        """Give every use of a pool its settings, made if need be; and see that schemes and settings agree."""
        listed = draft.get("settings")
        if listed is None:
            listed = draft["settings"] = []
        if not isinstance(listed, list):
            return
        known = dict(_by_name(listed))
        pools = {name: self._scheme(item) for name, item in _by_name(draft.get("pools"))}
        first_pool = {name: _first_pool(item) for name, item in _by_name(draft.get("distributions"))}
        uses: list[tuple[Draft, str, str]] = []
        for rule in draft.get("rules") or ():
            if isinstance(rule, Draft):
                uses.append((rule, "pool", "settings"))
        for path_map in draft.get("path_maps") or ():
            if isinstance(path_map, Draft):
                uses.append((path_map, "default_pool", "default_settings"))
                uses += [
                    (rule, "pool", "settings") for rule in path_map.get("path_rules") or () if isinstance(rule, Draft)
                ]
        for routing_map in draft.get("routing_maps") or ():
            if isinstance(routing_map, Draft):
                uses.append((routing_map, "default_pool", "default_settings"))
                uses += [
                    (rule, "pool", "settings") for rule in routing_map.get("rules") or () if isinstance(rule, Draft)
                ]
        for owner, pool_key, key in uses:
            if isinstance(owner.get(key), Draft):
                self._inline(owner, key, listed, known)
            pool = owner.get(pool_key)
            shared = owner.get(pool_key.replace("pool", "distribution"))
            if isinstance(shared, str) and not isinstance(pool, str):
                pool = first_pool.get(shared)
            if not isinstance(pool, str):
                continue
            scheme = pools.get(pool, "")
            name = owner.get(key)
            if name is None:
                owner[key] = self._default(listed, known, scheme)
            elif isinstance(name, str) and name in known and scheme:
                self._agree(known[name], scheme, pool, owner.places.get(key, owner.place))

    def _scheme(self, pool: Draft) -> str:
        """The scheme that the URLs among a pool's backends share; empty where there are none."""
        members = [item for item in pool.get("members") or () if isinstance(item, Draft)]
        schemes = {self._schemes.get(item.place.path, "") for item in members}
        if "http" in schemes and "https" in schemes:
            self._problems.append(
                pool.places.get("members", pool.place).problem(
                    "http and https backends in one pool; make two pools with settings of their own"
                )
            )
        return "https" if "https" in schemes else "http" if "http" in schemes else ""

    def _default(self, listed: list[Any], known: dict[Any, Draft], scheme: str) -> str:
        """The name of the default settings for a scheme, made on first use."""
        first = known.get(_DEFAULT)
        if first is not None and (not scheme or str(first.get("protocol", "Http")).casefold() == scheme):
            return _DEFAULT
        if first is not None and "protocol" not in first.places and scheme == "https":
            name = f"{_DEFAULT}-https"
        else:
            name = _DEFAULT if first is None and scheme != "https" else f"{_DEFAULT}-{scheme}"
        if name not in known:
            made = Draft(Place("settings"))
            if first is not None:
                made.update(first)
            made.update({"name": name, "protocol": "Https" if scheme == "https" else "Http"})
            if scheme == "https" and "port" not in made:
                made["port"] = 443
            listed.append(made)
            known[name] = made
        return name

    def _inline(self, owner: Draft, key: str, listed: list[Any], known: dict[Any, Draft]) -> None:
        """Settings written where they are used: move them to the others, under a name made from the user's."""
        settings = owner[key]
        if settings.get("name") is None:
            stem = f"{owner.get('name', 'rule')}-settings"
            settings["name"] = stem if stem not in known else f"{stem}-{len(listed) + 1}"
        listed.append(settings)
        known[settings["name"]] = settings
        owner[key] = settings["name"]

    def _agree(self, settings: Draft, scheme: str, pool: str, place: Place) -> None:
        if "protocol" not in settings:
            settings["protocol"] = "Https" if scheme == "https" else "Http"
            if scheme == "https" and "port" not in settings:
                settings["port"] = 443
        elif str(settings["protocol"]).casefold() != scheme:
            self._problems.append(
                place.problem(
                    f"the backends of pool {pool!r} are {scheme}:// but settings {settings.get('name')!r} have "
                    f"protocol {settings['protocol']}"
                )
            )


def _by_name(objects: Any) -> Iterator[tuple[Any, Draft]]:
    """The objects of a collection that have a name, or none; what is no name at all is reported elsewhere."""
    for item in objects if isinstance(objects, list) else ():
        if isinstance(item, Draft) and isinstance(item.get("name"), Hashable):
            yield item.get("name"), item


def _first_pool(distribution: Any) -> Any:
    """The pool whose scheme stands for all of a distribution."""
    targets = distribution.get("targets") if isinstance(distribution, Draft) else None
    first = targets[0] if isinstance(targets, list) and targets else None
    return first.get("pool") if isinstance(first, Draft) else None
