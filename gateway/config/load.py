"""Reads a configuration in any of its spellings: `load` for a file, `from_command_line` for options alone.

This is where files are read; everything below works on text and trees.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from gateway.config import arm_tables
from gateway.config.check import findings
from gateway.config.compact import COMPACT_KEYS, CompactReader, parse_backend
from gateway.config.cursor import Cursor
from gateway.config.draft import Draft, Location, location_of, place_of
from gateway.config.evaluator import Scope, Shared
from gateway.config.expressions import ExpressionLimit
from gateway.config.hosts import is_address
from gateway.config.lenient_json import read_json
from gateway.config.model import BackendSettings, Gateway, HttpListener, Match, Member, Pool, Probe, Rule
from gateway.config.overrides import Overrides, apply, unmatched
from gateway.config.problems import validate
from gateway.config.resource import ResourceReader
from gateway.config.template import GATEWAY_TYPE, Template, supplied_parameters
from gateway.config.tree import Map, Place, Seq, decode, line_of, nearest, show
from gateway.config.unserved import unserved
from gateway.config.yaml_reader import read_yaml
from gateway.errors import ConfigurationError, Problem

__all__ = ["Check", "from_command_line", "load", "read_tree"]

Check = Callable[[Gateway], Iterable[Problem]]
"""Looks at a model; the paths of its problems are in the model's spelling, ``certificates[0].password``."""

MAX_FILE = 16 << 20
_MAX_YAML = 4 << 20
_ARM_KEYS = frozenset(arm_tables.COLLECTIONS) | {"frontendports", "gatewayipconfigurations", "frontendipconfigurations"}
_SHARED_KEYS = {"probes", "pathrules", "trustedrootcertificates"}  # also in compact objects
_FORMS = (
    "expected an ARM template, an exported Application Gateway, its 'properties' (httpListeners, …) "
    "or a compact configuration (listeners, pools, rules)"
)


def load(
    path: str | os.PathLike[str],
    *,
    parameters: Any = None,
    overrides: str | os.PathLike[str] | None = None,
    map_ports: Sequence[str] = (),
    map_backends: Sequence[str] = (),
    warnings: list[Problem] | None = None,
    checks: Iterable[Check] = (),
) -> Gateway:
    """Read and check a configuration file.

    ``parameters``: a parameter file of an ARM template, or several, later ones winning.  ``overrides``: a file that
    `gateway.config.overrides.OverridesFile` describes.  ``map_ports`` (``80=8080``) and ``map_backends``
    (``10.0.0.4=127.0.0.1:9001``) win over it.  Warnings are added to ``warnings``.  ``checks`` are made after those of
    this package (`gateway.preflight` has the usual ones), and what they find is shown where it stands in the file.
    Raises `ConfigurationError` with every error found; errors of the other files stop before the configuration is read.
    """
    loader = _Loader(str(path), tuple(checks))
    try:
        gateway = loader.run(parameters, overrides, map_ports, map_backends)
    except ExpressionLimit as error:
        raise ConfigurationError([Problem("", str(error))], str(path)) from None
    except RecursionError:
        raise ConfigurationError([Problem("", "nested too deeply")], str(path)) from None
    finally:
        if warnings is not None:
            warnings.extend(loader.warnings)
    return gateway


def read_tree(path: str) -> Any:
    """The tree of a JSON or YAML file; raises `ConfigurationError` where it cannot be read."""
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            raise ConfigurationError([Problem("", "not a file")], path)
        with open(path, "rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigurationError([Problem("", f"cannot read the file: {error.strerror or error}")], path) from None
    except ValueError as error:
        raise ConfigurationError([Problem("", f"cannot read the file: {error}")], path) from None
    if len(data) > MAX_FILE:
        raise ConfigurationError([Problem("", f"the file has more than {MAX_FILE >> 20} MiB")], path)
    text = decode(data, path)
    suffix = Path(path).suffix.lower()
    looks_like_json = text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", '"', "/")
    if suffix in (".json", ".jsonc", ".template") or (looks_like_json and suffix not in (".yaml", ".yml")):
        return read_json(text, path)
    if looks_like_json:
        try:
            return read_json(text, path)
        except ConfigurationError:
            pass
    if len(text) > _MAX_YAML:
        raise ConfigurationError([Problem("", f"a YAML file of more than {_MAX_YAML >> 20} MiB")], path)
    return read_yaml(text, path)


class _Loader:
    def __init__(self, path: str, checks: Sequence[Check]) -> None:
        self._path = path
        self._checks = checks
        self._problems: list[Problem] = []
        self._overrides = Overrides()
        self._frontends: dict[str, str] = {}
        self.warnings: list[Problem] = []

    def run(self, parameters: Any, overrides: Any, map_ports: Sequence[str], map_backends: Sequence[str]) -> Gateway:
        self._read_overrides(overrides)
        for text in map_ports:
            self._overrides.add_port(text, Place("--map-port"), self._problems)
        for text in map_backends:
            self._overrides.add_backend(text, Place("--map-backend"), self._problems)
        self._stop("command line")
        supplied = self._read_parameters(parameters)
        tree = read_tree(self._path)
        draft = self._draft(tree, supplied)
        gateway = self._finish(draft)
        self._stop(self._path)
        return gateway

    def _stop(self, source: str) -> None:
        """Give up if there are errors; keep the warnings."""
        errors = _unique(problem for problem in self._problems if problem.severity == "error")
        self.warnings.extend(_unique(problem for problem in self._problems if problem.severity != "error"))
        self._problems = []
        if errors:
            raise ConfigurationError(errors, source)

    def _read_overrides(self, path: Any) -> None:
        if path is not None:
            self._overrides.read(read_tree(str(path)), Path(os.path.abspath(path)), self._problems)
            self._stop(str(path))

    def _read_parameters(self, paths: Any) -> dict[str, Any]:
        supplied: dict[str, Any] = {}
        for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths or ():
            supplied.update(supplied_parameters(read_tree(str(path)), Place(""), self._problems))
            self._stop(str(path))
        supplied.update(self._overrides.file.parameters)
        return supplied

    # which spelling

    def _draft(self, tree: Any, supplied: dict[str, Any]) -> Draft:
        if not isinstance(tree, (Map, Seq)):
            raise ConfigurationError([Problem("", f"found {show(tree)}; {_FORMS}", 1)], self._path)
        shared = Shared(self._overrides.file.references)
        keys = {key.casefold() for key in tree} if isinstance(tree, Map) else set()
        if isinstance(tree, Map) and isinstance(tree.value("resources"), (Map, Seq)) and not keys & _ARM_KEYS:
            return self._template(tree, supplied, shared)
        if isinstance(tree, Map) and _is_gateway(tree):
            return self._resource(
                Cursor(tree, Scope(Map(), supplied, shared), Place("", tree.line), self._problems), shared
            )
        found = list(_search(tree, Place("")))
        if found:
            self._choose([str(place.path) for _, place in found])
            node, place = found[0]
            return self._resource(Cursor(node, Scope(Map(), supplied, shared), place, self._problems), shared)
        if isinstance(tree, Map) and (keys & COMPACT_KEYS or any(nearest(key, COMPACT_KEYS, 0.75) for key in tree)):
            if "parameters" in keys and str(tree.value("$schema", "")).casefold().find("deploymentparameters") >= 0:
                raise self._no_gateway("this is a parameter file; give the template, and this file with --parameters")
            return CompactReader(tree, self._problems).read()
        if "deploymentparameters" in str(tree.value("$schema", "") if isinstance(tree, Map) else "").casefold():
            raise self._no_gateway("this is a parameter file; give the template, and this file with --parameters")
        raise self._no_gateway(f"no gateway found in this document; {_FORMS}")

    def _no_gateway(self, message: str) -> ConfigurationError:
        errors = [problem for problem in self._problems if problem.severity == "error"]
        return ConfigurationError([*errors, Problem("", message)], self._path)

    def _choose(self, titles: Sequence[str]) -> None:
        if len(titles) > 1:
            others = ", ".join(titles[1:6]) + (", …" if len(titles) > 6 else "")
            self._problems.append(
                Problem(
                    "", f"the document holds {len(titles)} gateways; {titles[0]} is read, not {others}", None, "warning"
                )
            )

    def _template(self, tree: Map, supplied: dict[str, Any], shared: Shared) -> Draft:
        template = Template(tree, supplied, shared, self._problems, Place(""))
        gateways = list(template.gateways())
        if not gateways:
            left_out = template.left_out()
            why = f"; with these parameters the condition is false of {', '.join(left_out[:5])}" if left_out else ""
            raise self._no_gateway(
                f"the template deploys no Application Gateway (Microsoft.Network/applicationGateways){why}"
            )
        self._choose([cursor.place.path for cursor in gateways])
        declared = template.parameter_names()
        for name in supplied:
            if name.casefold() not in {item.casefold() for item in declared}:
                close = nearest(name, declared)
                hint = f"; did you mean {close!r}?" if close else ""
                self._problems.append(Problem("", f"the template has no parameter {name!r}{hint}", None, "warning"))
        return self._resource(gateways[0], shared)

    def _resource(self, cursor: Cursor, shared: Shared) -> Draft:
        given = self._overrides.file
        files = [name for name, item in given.certificates.items() if item.certificate_file or item.pfx_file]
        replaced = frozenset(name.casefold() for name in (*files, *given.pools))
        reader = ResourceReader(cursor, replaced)
        draft = reader.read()
        self._frontends = reader.frontends
        self._problems.extend(unmatched(shared.used, self._overrides.file.references))
        return draft

    # from the draft to the gateway

    def _finish(self, draft: Draft) -> Gateway:
        gateway, problems, broken = validate(draft)
        self._problems.extend(problems)
        gateway = apply(gateway, self._overrides, draft, self._problems)
        broken += self._overrides.broken
        gateway = gateway.model_copy(update={"not_honoured": (*gateway.not_honoured, *unserved(gateway))})
        gateway = self._without_twins(gateway, draft)
        gateway = self._with_files(gateway, draft, broken)
        for finding in findings(gateway):
            if (finding.kind,) not in broken and not _touched(finding.location, broken):
                self._problems.append(self._place(draft, finding.location).problem(finding.message, finding.severity))
        if () not in broken:  # there is a model
            self._run_checks(gateway, draft, broken)
        given = {name.casefold() for name in self._overrides.file.pools}
        self._problems = [item for item in self._problems if not (item.severity == "warning" and _filled(item, given))]
        return gateway

    def _run_checks(self, gateway: Gateway, draft: Draft, broken: Sequence[Location]) -> None:
        for problem in chain.from_iterable(check(gateway) for check in self._checks):
            location = location_of(problem.path)
            if location is None:
                self._problems.append(problem)
            elif not _touched(location, broken):
                self._problems.append(self._place(draft, location).problem(problem.message, problem.severity))

    def _place(self, draft: Draft, location: Location) -> Place:
        """Where something stands: in the overrides, if they give it."""
        return self._overrides.place_of(location) or place_of(draft, location)

    def _without_twins(self, gateway: Gateway, draft: Draft) -> Gateway:
        """Drop listeners that differ from an earlier one only in their frontend address, which cannot be bound here."""
        kept: dict[tuple[int, frozenset[str]], HttpListener] = {}
        twins: dict[str, str] = {}
        for listener in gateway.listeners:
            key = (listener.port, frozenset(host.casefold() for host in listener.host_names))
            first = kept.setdefault(key, listener)
            here, there = self._frontends.get(listener.name), self._frontends.get(first.name)
            if (
                first is not listener
                and first.name != listener.name
                and here
                and there
                and here != there
                and first.protocol == listener.protocol
            ):
                twins[listener.name] = first.name
        if not twins:
            return gateway
        notes = [
            f"listener {name!r} is left out: it differs from {first!r} only in its frontend address, and one "
            "address is bound here "
            f"(give it a port of its own with --map-port {name}=PORT)."
            for name, first in twins.items()
        ]
        for kind, attribute in (("listeners", "name"), ("rules", "listener")):
            if isinstance(draft.get(kind), list):
                draft[kind] = [
                    item
                    for item, made in zip(draft[kind], getattr(gateway, kind), strict=False)
                    if getattr(made, attribute) not in twins
                ]
        return gateway.model_copy(
            update={
                "listeners": tuple(item for item in gateway.listeners if item.name not in twins),
                "rules": tuple(rule for rule in gateway.rules if rule.listener not in twins),
                "redirects": tuple(
                    item.model_copy(
                        update={"target_listener": twins.get(item.target_listener or "", item.target_listener)}
                    )
                    for item in gateway.redirects
                ),
                "not_honoured": (*gateway.not_honoured, *notes),
            }
        )

    def _with_files(self, gateway: Gateway, draft: Draft, broken: list[Location]) -> Gateway:
        """Make the paths of certificate files absolute and see that the files are there; ``broken``: where not."""
        base = Path(os.path.abspath(self._path)).parent
        updates: dict[str, Any] = {}
        for kind, attributes in (("certificates", ("certificate_file", "key_file")), ("trusted_roots", ("file",))):
            changed = []
            for index, item in enumerate(getattr(gateway, kind)):
                update = {}
                for attribute in attributes:
                    name = getattr(item, attribute)
                    if not name:
                        continue
                    overridden = attribute not in (draft[kind][index] if kind in draft else {})
                    path = Path(name) if overridden else base / name
                    if not os.path.isfile(path):  # never raises, unlike Path.is_file
                        location = (kind, index, attribute)
                        broken.append(location)
                        self._problems.append(self._place(draft, location).problem(f"there is no file {str(path)!r}"))
                    update[attribute] = str(path)
                changed.append(item.model_copy(update=update))
            updates[kind] = tuple(changed)
        return gateway.model_copy(update=updates)


def _touched(at: Location, broken: Iterable[Location]) -> bool:
    """Whether a location has something in it, or is in something, that is known to be wrong."""
    return any(at[: len(bad)] == bad or bad[: len(at)] == at for bad in broken)


def _filled(problem: Problem, pools: set[str]) -> bool:
    """Whether a warning about an empty pool is settled by an override."""
    return any(problem.message.casefold().startswith(f"pool {name!r} is empty") for name in pools)


def _unique(problems: Any) -> list[Problem]:
    """Without repetitions, in the order of the file where lines are known."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line is None, problem.line or 0))


def _is_gateway(node: Map) -> bool:
    inner = node.value("properties")
    for candidate in (node, inner if isinstance(inner, Map) else Map()):
        found = {key.casefold() for key in candidate} & _ARM_KEYS - _SHARED_KEYS
        if found:
            return True
    return False


def _search(tree: Any, place: Place) -> Any:
    """Gateways that stand somewhere inside a document, nearest to the top first."""
    level = [(tree, place)]
    for _ in range(12):
        following = []
        for node, where in level:
            if isinstance(node, Map):
                kind = str(node.value("type", "")).casefold()
                if _is_gateway(node) or (kind == GATEWAY_TYPE and isinstance(node.value("properties"), Map)):
                    yield node, where
                else:
                    following += [(item, where.child(key, line_of(node, key))) for key, item in node.items()]
            elif isinstance(node, Seq):
                following += [(item, where.item(index, line_of(node, index))) for index, item in enumerate(node)]
        level = following


def from_command_line(listen: Sequence[str], backends: Sequence[str]) -> Gateway:
    """The gateway of ``--listen tcp:8080 --backend http://127.0.0.1:9001``, without any file.

    ``listen``: ``8080``, ``address:8080``, ``tcp:8080`` or ``tcp:8080:interface=address``.
    ``backends``: ``host:port`` or URLs, all with the same scheme; HTTPS ones are asked for by their own names, HTTP
    ones for what the client asked for.  Any answer below 500 is a healthy one.  Raises `ConfigurationError`.
    """
    problems: list[Problem] = []
    listeners = []
    for index, text in enumerate(listen):
        try:
            address, port = _parse_listen(text)
            listeners.append(HttpListener(name=f"listener{index + 1}", address=address, port=port))
        except ValueError as error:
            problems.append(Problem("--listen", f"found {show(text)}: {error}"))
    members, schemes = [], set()
    for text in backends:
        try:
            scheme, host, given = parse_backend(text)
            schemes.add(scheme or "http")
            members.append(Member(host=host, port=given))
        except ValueError as error:
            problems.append(Problem("--backend", f"found {show(text)}: {error}"))
    if not listen:
        problems.append(Problem("--listen", "missing; say where to listen, such as --listen tcp:8080"))
    if not backends:
        problems.append(
            Problem("--backend", "missing; say where the backends are, such as --backend http://127.0.0.1:9001")
        )
    if len(schemes) > 1:
        problems.append(
            Problem(
                "--backend", "http and https backends cannot be mixed; a configuration file can have a pool for each"
            )
        )
    if problems:
        raise ConfigurationError(problems, "command line")
    secure = schemes == {"https"}
    protocol: Literal["Http", "Https"] = "Https" if secure else "Http"
    settings = BackendSettings(
        name="default",
        protocol=protocol,
        port=443 if secure else 80,
        probe="default",
        pick_host_name_from_backend_address=secure,
    )
    # Nothing can be said here about a health page, so whoever answers is alive: a WebSocket server says 400 or 426.
    probe = Probe(
        name="default",
        protocol=protocol,
        pick_host_name_from_backend_http_settings=secure,
        match=Match(status_codes=("200-499",)),
    )
    rules = tuple(
        Rule(name=f"rule{index + 1}", listener=item.name, pool="default", settings="default")
        for index, item in enumerate(listeners)
    )
    gateway = Gateway(
        listeners=tuple(listeners),
        pools=(Pool(name="default", members=tuple(members)),),
        settings=(settings,),
        probes=(probe,),
        rules=rules,
    )
    errors = [Problem("--listen", item.message) for item in findings(gateway) if item.severity == "error"]
    if errors:
        raise ConfigurationError(errors, "command line")
    return gateway


def _parse_listen(text: str) -> tuple[str, int]:
    wanted = "expected tcp:8080, tcp:8080:interface=127.0.0.1, 127.0.0.1:8080 or 8080"
    address = ""
    rest = text.strip()
    if rest.lower().startswith("tcp:"):
        parts = rest[4:].replace("\\:", "\0").split(":")
        rest = parts[0]
        for part in parts[1:]:
            key, mark, value = part.partition("=")
            if key != "interface" or not mark:
                raise ValueError(f"{part!r} is not known; {wanted}")
            address = value.replace("\0", ":").strip("[]")
    elif ":" in rest:
        address, _, rest = rest.rpartition(":")
        address = address.strip("[]")
    address = "127.0.0.1" if address.lower() == "localhost" else address
    if address and not is_address(address):
        raise ValueError(f"{address!r} is not an address; {wanted}")
    if not rest.isdigit() or not rest.isascii() or len(rest) > 5 or int(rest) > 65535:
        raise ValueError(wanted)
    return address, int(rest)
