"""What a laptop cannot have: ports, backends, certificates for Key Vault references, values for ``reference()``.

An overrides file (YAML or JSON) and the options ``--map-port`` and ``--map-backend`` say the same things.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from gateway.config.additions import add_missing, change
from gateway.config.compact import parse_backend
from gateway.config.draft import Draft, Location, below
from gateway.config.model import (
    BackendSettings,
    Certificate,
    ErrorPage,
    Gateway,
    HttpListener,
    Member,
    Pool,
    TrustedRoot,
)
from gateway.config.overrides_file import CHANGED, CertificateOverride, OverridesFile, canonical, file_problem
from gateway.config.targets import pool_pairs
from gateway.config.tree import Map, Place, line_of, show
from gateway.errors import Problem

__all__ = [
    "BackendMapping",
    "Overrides",
    "apply",
    "parse_map_backend",
    "parse_map_port",
]



class BackendMapping(NamedTuple):
    """``host`` (and ``port``, if only that) is reached at ``to_host`` and ``to_port``. ``source``: as written."""

    host: str
    port: int | None
    to_host: str
    to_port: int | None
    source: str


class Overrides:
    """All overrides of one start, from the file and the options together; options win.

    After `apply`, ``used`` says what matched something, ``broken`` which objects of the model an override failed for.
    """

    def __init__(self) -> None:
        self.ports: dict[str, tuple[int, str]] = {}
        self.backends: list[BackendMapping] = []
        self.file = OverridesFile()
        self.base = Path(".")
        self.used: set[str] = set()
        self.broken: list[Location] = []
        self._name = ""
        self._document = Map()
        self._places: dict[Location, Place] = {}

    def add_port(self, text: str, place: Place, problems: list[Problem]) -> None:
        try:
            key, port = parse_map_port(text)
            self.ports[key] = (port, text)
        except ValueError as error:
            problems.append(place.problem(str(error)))

    def add_backend(self, text: str, place: Place, problems: list[Problem]) -> None:
        try:
            self.backends.append(parse_map_backend(text))
        except ValueError as error:
            problems.append(place.problem(str(error)))

    def place_of(self, location: Location) -> Place | None:
        """Where in the overrides file a location of the model has its value from, if it has."""
        for length in range(len(location), 0, -1):
            place = self._places.get(location[:length])
            if place is not None:
                return below(place, location[length:])
        return None

    def place(self, kind: str, name: str, key: str = "") -> Place:
        """Where something stands in the overrides file; the note names the file, whose lines are not those reported."""
        wanted = kind.replace("_", "")
        spelled = next((each for each in self._document if each.casefold().replace("_", "") == wanted), kind)
        entry = self._document.value(spelled) if kind else self._document
        owner = entry.get(name) if isinstance(entry, Map) else None
        line = line_of(owner, owner.find(key) or key) if key and isinstance(owner, Map) else line_of(entry, name)
        where = f"{self._name}, line {line}" if line is not None else self._name
        path = ".".join(filter(None, (spelled, name, key)))
        return Place(path, None, f" (in the overrides, {where})")

    def place_at(self, location: Location, place: Place) -> None:
        """Remember where in the file the value at a location of the model stands."""
        self._places[location] = place

    def put(self, location: Location, kind: str, name: str, keys: dict[str, str]) -> None:
        """Remember that attributes of the object at ``location`` come from keys of an entry of the file."""
        for attribute, key in keys.items():
            self.place_at((*location, attribute), self.place(kind, name, key))

    def read(self, document: Any, path: Path, problems: list[Problem]) -> None:
        """Take what a file says. ``document`` is its tree; ``path`` is absolute, and paths in it start from there."""
        if not isinstance(document, Map):
            keys = ", ".join(map(to_camel, OverridesFile.model_fields))
            problems.append(Problem("", f"found {show(document)}, expected a mapping of {keys}", None))
            return
        try:
            self.file = OverridesFile.model_validate(canonical(document))
        except ValidationError as error:
            for entry in error.errors(include_url=False):
                problems.append(file_problem(document, entry))
            return
        self.base, self._name, self._document = path.parent, path.name, document
        for name, port in self.file.ports.items():
            self.add_port(f"{name}={port}", _place(document, "ports", name), problems)
        for source, target in self.file.backends.items():
            self.add_backend(f"{source}={target}", _place(document, "backends", source), problems)


def _place(document: Map, key: str, name: str) -> Place:
    inner = document.value(key)
    return Place(key).child(name, line_of(inner, name))


def parse_map_port(text: str) -> tuple[str, int]:
    """``80=8080`` or ``listener=8080``: the key and the port to bind. Raises ``ValueError``."""
    key, mark, port = text.rpartition("=")
    key, port = key.strip(), port.strip()
    if not mark or not key or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise ValueError(
            f"found {show(text)}, expected PORT=PORT such as 80=8080 (or LISTENER=PORT), ports up to 65535"
        )
    return (str(int(key)) if key.isdigit() and len(key) < 10 else key.casefold()), int(port)


def parse_map_backend(text: str) -> BackendMapping:
    """``10.0.0.4=127.0.0.1:9001`` or ``10.0.0.4:443=127.0.0.1:9001``. Raises ``ValueError``."""
    wanted = "expected HOST=HOST:PORT or HOST:PORT=HOST:PORT such as 10.0.0.4=127.0.0.1:9001"
    source, mark, target = text.partition("=")
    if not mark or not source.strip() or not target.strip():
        raise ValueError(f"found {show(text)}, {wanted}")
    try:
        scheme, host, port = parse_backend(source)
        to_scheme, to_host, to_port = parse_backend(target)
    except ValueError as error:
        raise ValueError(f"found {show(text)}: {error}; {wanted}") from None
    if scheme or to_scheme:
        raise ValueError(f"found {show(text)}: the scheme is that of the settings and cannot be mapped; {wanted}")
    return BackendMapping(host.casefold(), port, to_host, to_port, text)


# applying


def apply(gateway: Gateway, overrides: Overrides, draft: Draft, problems: list[Problem]) -> Gateway:
    """The gateway with all overrides applied. What matched nothing becomes a warning."""
    gateway = change(add_missing(gateway, overrides), overrides, problems)
    updated = gateway.model_copy(
        update={
            "listeners": tuple(
                _listener(item, overrides).model_copy(update={"error_pages": _pages(item.error_pages, overrides)})
                for item in gateway.listeners
            ),
            "error_pages": _pages(gateway.error_pages, overrides),
            "pools": _pools(gateway, overrides, problems),
            "certificates": tuple(
                _certificate(item, ("certificates", index), overrides, problems)
                for index, item in enumerate(gateway.certificates)
            ),
            "trusted_roots": tuple(
                _root(item, ("trusted_roots", index), overrides) for index, item in enumerate(gateway.trusted_roots)
            ),
        }
    )
    for _, text in overrides.ports.values():
        if f"port {text}" not in overrides.used:
            listed = ", ".join(f"{item.name} ({item.port})" for item in gateway.listeners) or "none"
            problems.append(
                Problem("", f"the port mapping {text} matched no listener; there are: {listed}", None, "warning")
            )
    for mapping in overrides.backends:
        if f"backend {mapping.source}" not in overrides.used:
            problems.append(
                Problem("", f"the backend mapping {mapping.source} matched no member of any pool", None, "warning")
            )
    for kind in ("certificates", "error_pages", *CHANGED):
        for name in getattr(overrides.file, kind):
            if f"{kind} {name}" not in overrides.used:
                problems.append(
                    Problem(
                        "",
                        f"the override {to_camel(kind)}: {name!r} matched nothing in the configuration",
                        None,
                        "warning",
                    )
                )
    return updated


def _listener(listener: HttpListener, overrides: Overrides) -> HttpListener:
    for key in (listener.name.casefold(), str(listener.port)):
        if key in overrides.ports:
            port, text = overrides.ports[key]
            overrides.used.add(f"port {text}")
            return listener.model_copy(update={"port": port})
    return listener


def _pages(pages: tuple[ErrorPage, ...], overrides: Overrides) -> tuple[ErrorPage, ...]:
    """Error pages with files for the URLs that overrides map."""
    result = []
    for page in pages:
        file = overrides.file.error_pages.get(page.url or "")
        if file is not None:
            overrides.used.add(f"error_pages {page.url}")
            page = page.model_copy(update={"url": None, "file": str(overrides.base / file)})
        result.append(page)
    return tuple(result)


def _settings_ports(gateway: Gateway) -> dict[str, set[int]]:
    """For each pool the ports of all settings it is used with."""
    by_name: dict[str, BackendSettings] = {item.name: item for item in gateway.settings}
    ports: dict[str, set[int]] = {}
    for pool, settings in pool_pairs(gateway):
        if pool and settings in by_name:
            ports.setdefault(pool, set()).add(by_name[settings].port)
    return ports


def _pools(gateway: Gateway, overrides: Overrides, problems: list[Problem]) -> tuple[Pool, ...]:
    ports = _settings_ports(gateway)
    given = {
        name.casefold(): (name, item.members)
        for name, item in overrides.file.pools.items()
        if item.members is not None
    }
    result = []
    for index, pool in enumerate(gateway.pools):
        members = pool.members
        if pool.name.casefold() in given:
            name, texts = given[pool.name.casefold()]
            overrides.used.add(f"pools {name}")
            members = tuple(
                _added(name, text, ("pools", index, "members", number), overrides, problems)
                for number, text in enumerate(texts)
            )
        mapped = [_member(member, pool.name, ports.get(pool.name, set()), overrides, problems) for member in members]
        result.append(pool.model_copy(update={"members": tuple(mapped)}))
    return tuple(result)


def _added(pool: str, text: str, location: Location, overrides: Overrides, problems: list[Problem]) -> Member:
    try:
        scheme, host, port = parse_backend(text)
        if scheme:
            raise ValueError("the scheme is that of the settings")
        return Member(host=host, port=port)
    except ValueError as error:
        problems.append(overrides.place("pools", pool).problem(f"found {show(text)}: {error}"))
        overrides.broken.append(location)
        return Member(host="?")


def _member(member: Member, pool: str, ports: set[int], overrides: Overrides, problems: list[Problem]) -> Member:
    # later ones win, so that options, which are added after the file, have the last word
    for mapping in sorted(reversed(overrides.backends), key=lambda item: item.port is None):
        if mapping.host != member.host.casefold():
            continue
        if mapping.port is not None:
            own = {member.port} if member.port is not None else ports
            if mapping.port not in own:
                continue
            if len(own) > 1:
                problems.append(
                    Problem(
                        "",
                        f"the mapping {mapping.source} is for one port, but pool {pool!r} is used with ports "
                        f"{sorted(map(str, own))}; map the host alone",
                    )
                )
        overrides.used.add(f"backend {mapping.source}")
        return member.model_copy(update={"connect_host": mapping.to_host, "connect_port": mapping.to_port})
    return member


def _matching(name: str, secret: str | None, overrides: Overrides) -> tuple[str, CertificateOverride] | None:
    """The entry for a certificate or root, and its name in the file."""
    wanted = {name.casefold(), (secret or name).casefold().rstrip("/")}
    for key, value in overrides.file.certificates.items():
        if key.casefold().rstrip("/") in wanted:
            overrides.used.add(f"certificates {key}")
            return key, value
    return None


def _certificate(
    certificate: Certificate, location: Location, overrides: Overrides, problems: list[Problem]
) -> Certificate:
    found = _matching(certificate.name, certificate.key_vault_secret_id, overrides)
    if found is None:
        return certificate
    name, given = found
    keys = {"password": "password"}
    update: dict[str, Any] = {"password": given.password}
    if given.certificate_file is not None:
        keys |= {"certificate_file": "certificateFile", "key_file": "keyFile"}
        key_file = str(overrides.base / given.key_file) if given.key_file else None
        path = str(overrides.base / given.certificate_file)
        update |= {"data": None, "certificate_file": path, "key_file": key_file, "unavailable": None}
    elif given.pfx_file is not None:
        keys["certificate_file"] = "pfxFile"
        path = str(overrides.base / given.pfx_file)
        update |= {"data": None, "certificate_file": path, "key_file": None, "unavailable": None}
    elif given.password is None:
        message = "the override gives neither certificateFile nor pfxFile nor password"
        problems.append(overrides.place("certificates", name).problem(message))
        overrides.broken.append(location)
        return certificate
    overrides.put(location, "certificates", name, keys)
    return certificate.model_copy(update=update)


def _root(root: TrustedRoot, location: Location, overrides: Overrides) -> TrustedRoot:
    found = _matching(root.name, root.key_vault_secret_id, overrides)
    if found is None or found[1].certificate_file is None:
        return root
    overrides.put(location, "certificates", found[0], {"file": "certificateFile"})
    path = str(overrides.base / found[1].certificate_file)
    return root.model_copy(update={"data": None, "file": path, "unavailable": None})


def unmatched(used: Iterable[str], references: dict[str, Any]) -> list[Problem]:
    """Warnings for references that no expression asked for."""
    return [
        Problem("", f"the override references: {name!r} was not asked for by any expression", None, "warning")
        for name in references
        if name not in set(used)
    ]
