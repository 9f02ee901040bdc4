"""Reads a configuration file in any of its spellings, with everything that belongs to it, and checks it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from gateway.config.check import findings
from gateway.config.draft import Draft, Location, location_of, place_of
from gateway.config.expressions import ExpressionLimit, short
from gateway.config.files import with_files
from gateway.config.kinds import ONE
from gateway.config.model import Gateway, HttpListener
from gateway.config.overrides import Overrides, apply
from gateway.config.parameters import supplied_parameters
from gateway.config.problems import validate
from gateway.config.redaction import Redactor
from gateway.config.salvage import salvage
from gateway.config.serving import nothing_served
from gateway.config.sources import DocumentReader, read_tree
from gateway.config.tree import Place, is_secret
from gateway.errors import ConfigurationError, Problem

__all__ = ["COMMAND_LINE", "Check", "load"]

COMMAND_LINE = "command line"
"""`ConfigurationError.source` of what is wrong with options."""

Check = Callable[[Gateway], Iterable[Problem]]
"""Looks at a model; the paths of its problems are in the model's spelling, ``certificates[0].password``."""


_REMEDIES = {
    True: "; give what the warnings name, with --parameters or --overrides",
    False: "; give them in the document, or the values of its parameters with --parameters or --overrides",
}
"""For documents of which nothing is left: whether there are listeners and rules."""


def load(
    path: str | os.PathLike[str],
    *,
    parameters: Any = None,
    overrides: str | os.PathLike[str] | None = None,
    map_ports: Sequence[str] = (),
    map_backends: Sequence[str] = (),
    warnings: list[Problem] | None = None,
    checks: Iterable[Check] = (),
    secrets: set[str] | None = None,
) -> Gateway:
    """Read and check a configuration file.

    ``parameters``: a parameter file of an ARM template, or several, later ones winning.  ``overrides``: a file that
    `gateway.config.overrides.OverridesFile` describes.  ``map_ports`` (``80=8080``) and ``map_backends``
    (``10.0.0.4=127.0.0.1:9001``) win over it.  Warnings are added to ``warnings``.  ``checks`` are made after those of
    this package (`gateway.lifecycle.preflight` has the usual ones), and what they find is shown where it stands in the
    file.  Values of secure parameters that the model may have are added to ``secrets``.
    Raises `ConfigurationError` with every error found; where a file cannot be read, with all that is wrong with any.
    """
    loader = _Loader(str(path), tuple(checks))
    try:
        gateway = loader.run(parameters, overrides, map_ports, map_backends)
    except ExpressionLimit as error:
        raise ConfigurationError([_limit(error)], str(path)) from None
    except RecursionError:
        raise ConfigurationError([Problem("", "nested too deeply")], str(path)) from None
    finally:
        if warnings is not None:
            warnings.extend(loader.warnings)
        if secrets is not None:
            secrets |= loader.secrets
    return gateway


class _Loader:
    def __init__(self, path: str, checks: Sequence[Check]) -> None:
        self._path = path
        self._checks = checks
        self._problems: list[Problem] = []
        self._overrides = Overrides()
        self._redact = Redactor()
        self._given_at: dict[str, Place] = {}
        self.warnings: list[Problem] = []
        self.secrets: set[str] = set()

    def run(self, parameters: Any, overrides: Any, map_ports: Sequence[str], map_backends: Sequence[str]) -> Gateway:
        supplied, tree = self._read_files(parameters, overrides, map_ports, map_backends)
        reader = DocumentReader(self._path, self._overrides.file, self._problems, self._given_at)
        self.secrets = reader.shared.secrets
        self._redact = Redactor(self.secrets)
        try:
            gateway = self._finish(reader.read(tree, supplied), reader)
        except ConfigurationError as error:
            raise ConfigurationError(list(map(self._redact, error.problems)), error.source) from None
        self._stop(self._path)
        return gateway

    def _stop(self, source: str) -> None:
        """Give up if there are errors; keep the warnings."""
        problems = [
            problem._replace(severity="error") if problem.severity == "unknown" else problem
            for problem in map(self._redact, self._problems)
        ]
        errors = _unique(problem for problem in problems if problem.severity == "error")
        self.warnings.extend(_unique(problem for problem in problems if problem.severity != "error"))
        self._problems = []
        if errors:
            raise ConfigurationError(errors, source)

    # files and options

    def _read_files(
        self, parameters: Any, overrides: Any, map_ports: Sequence[str], map_backends: Sequence[str]
    ) -> tuple[dict[str, Any], Any]:
        """The values of parameters and the tree of the document. What is wrong with any of the files is reported."""
        failed: list[ConfigurationError] = []

        def attempt(work: Callable[[], Any]) -> Any:
            try:
                return work()
            except ConfigurationError as error:
                failed.append(error)
                return None

        attempt(partial(self._read_overrides, overrides))
        attempt(partial(self._read_options, map_ports, map_backends))
        supplied: dict[str, Any] = {}
        for path in [parameters] if isinstance(parameters, (str, os.PathLike)) else parameters or ():
            supplied.update(attempt(partial(self._read_parameters, str(path))) or {})
        supplied.update(self._overrides.file.parameters)
        self._given_at |= {name: self._overrides.place("parameters", name) for name in self._overrides.file.parameters}
        tree = attempt(partial(read_tree, self._path))
        if failed:
            raise _joined(failed)
        return supplied, tree

    def _read_overrides(self, path: Any) -> None:
        if path is not None:
            self._overrides.read(read_tree(str(path)), Path(os.path.abspath(path)), self._problems)
            self._stop(str(path))

    def _read_options(self, map_ports: Sequence[str], map_backends: Sequence[str]) -> None:
        for text in map_ports:
            self._overrides.add_port(text, Place("--map-port"), self._problems)
        for text in map_backends:
            self._overrides.add_backend(text, Place("--map-backend"), self._problems)
        self._stop(COMMAND_LINE)

    def _read_parameters(self, path: str) -> dict[str, Any]:
        supplied = supplied_parameters(read_tree(path), Path(path).name, self._problems, self._given_at)
        self._stop(path)
        return supplied

    # from the draft to the gateway

    def _finish(self, draft: Draft, reader: DocumentReader) -> Gateway:
        gateway, problems, broken = validate(draft)
        self._problems.extend(problems)
        gateway = apply(gateway, self._overrides, draft, self._problems)
        broken += self._overrides.broken
        gateway = _without_twins(gateway, draft, reader.frontends)
        gateway = self._with_files(gateway, draft, broken)
        if reader.arm:
            gateway = self._salvaged(gateway, draft, broken, reader.left_out)
        for finding in findings(gateway, reader.may_lack):
            if (finding.kind,) not in broken and not _touched(finding.location, broken):
                problem = self._place(draft, finding.location).problem(finding.message, finding.severity)
                self._problems.append(problem)
        if () not in broken:  # there is a model
            self._run_checks(gateway, draft, broken)
            self._notice_idle(gateway, reader.arm)
        return gateway

    def _notice_idle(self, gateway: Gateway, arm: bool) -> None:
        """Say so where nothing would be served; one's own YAML says that on purpose, and gets no advice."""
        if any(problem.severity == "error" for problem in self._problems):
            return
        idle = nothing_served(gateway)
        if idle is not None:
            remedy = _REMEDIES[bool(gateway.listeners and gateway.rules)] if arm else ""
            self._problems.append(Problem("", idle + remedy, severity="idle"))

    def _salvaged(
        self, gateway: Gateway, draft: Draft, broken: list[Location], left_out: dict[str, set[str]]
    ) -> Gateway:
        """What can be served of a document with references that lead nowhere."""

        def warn(location: Location, message: str) -> None:
            if not _touched(location, broken):
                self._problems.append(self._place(draft, location).problem(message, "warning"))

        found = salvage(gateway, warn, left_out)
        for location, indices in sorted(found.removed.items(), key=lambda removed: -len(removed[0])):
            owner: Any = draft
            for part in location[:-1]:
                owner = owner[part]
            listed = owner[location[-1]]
            owner[location[-1]] = [item for index, item in enumerate(listed) if index not in indices]
        for kind in ONE:  # what stands for something that is not there stands nowhere
            made = range(len(getattr(gateway, kind)), len(getattr(found.gateway, kind)))
            broken.extend((kind, index) for index in made)
        return found.gateway

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

    def _with_files(self, gateway: Gateway, draft: Draft, broken: list[Location]) -> Gateway:
        """Make the paths of files absolute and see that they are there; ``broken``: where not."""

        def missing(location: Location, path: Path) -> None:
            broken.append(location)
            message = f"there is no file {str(path)!r}"
            if os.path.exists(path):  # never raises, unlike Path.exists
                found = "a directory" if os.path.isdir(path) else "a device or a socket"
                message = f"{str(path)!r} is {found}, not a file"
            self._problems.append(self._place(draft, location).problem(message))

        return with_files(gateway, draft, Path(os.path.abspath(self._path)).parent, missing)


def _joined(errors: Sequence[ConfigurationError]) -> ConfigurationError:
    """The problems of several files as one error; each says which file it is in."""
    if len(errors) == 1:
        return errors[0]
    return ConfigurationError(
        [
            problem._replace(path=": ".join(filter(None, (error.source, problem.path))))
            for error in errors
            for problem in error.problems
        ],
        "configuration",
    )


def _touched(at: Location, broken: Iterable[Location]) -> bool:
    """Whether a location has something in it, or is in something, that is known to be wrong."""
    return any(at[: len(bad)] == bad or bad[: len(at)] == at for bad in broken)


def _unique(problems: Any) -> list[Problem]:
    """Without repetitions, in the order of the file where lines are known."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line is None, problem.line or 0))


def _without_twins(gateway: Gateway, draft: Draft, frontends: dict[str, str]) -> Gateway:
    """Drop listeners that differ from an earlier one only in their frontend address, which cannot be bound here."""
    kept: dict[tuple[int, frozenset[str]], HttpListener] = {}
    twins: dict[str, str] = {}
    for listener in gateway.listeners:
        key = (listener.port, frozenset(host.casefold() for host in listener.host_names))
        first = kept.setdefault(key, listener)
        here, there = frontends.get(listener.name), frontends.get(first.name)
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


def _limit(error: ExpressionLimit) -> Problem:
    """What a document that asks for too much is refused with: the expression at work, and the place that asked."""
    place = error.place or Place("")
    shown = "an expression" if is_secret(place.path.rpartition(".")[2]) else short(error.expression)
    at = f" (in {shown}" if error.expression else ""
    at += f" of {error.owner})" if at and error.owner else ")" if at else ""
    return place._replace(note="").problem(f"{error}{at}")
