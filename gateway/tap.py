"""``twistd gateway``: the options, and the service that comes of them.

The configuration is read and checked while the options are: what is wrong is printed, all of it, and the exit
status is 1, before anything is bound, forked or logged.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from gateway import __version__, config
from gateway.config.defects import defect
from gateway.config.model import Gateway
from gateway.errors import ConfigurationError, Problem
from gateway.http.authority import authority
from gateway.lifecycle.preflight import checks
from gateway.lifecycle.process import cores, heed_signals, raise_descriptor_limit, reopen_logs_on_signal, settle
from gateway.lifecycle.startup import LISTEN, MAP_PORT, refuse

if TYPE_CHECKING:
    from gateway.service import GatewayService

__all__ = ["Options", "makeService"]

_MOST_WORKERS = 256

_NOTHING_TO_DO = """\
say what to serve, one of:
    --demo                                                     two embedded backends and a page to try
    --listen tcp:8080 --backend http://127.0.0.1:9001          no file at all; --backend may be repeated
    --config gateway.yaml                                      or ARM JSON; see docs/configuration.md"""


class Options(usage.Options):
    """Options of ``twistd gateway``.

    `postOptions` sets ``model``, the gateway, ``notices``, what to log of it, and ``workers``, the number of processes.
    """

    synopsis = "[--demo | --config FILE | --listen tcp:PORT --backend URL ...] [options]"
    longdesc = "An application gateway: HTTP, HTTPS and WebSocket listeners, pools, probes and routing rules."

    optFlags = [
        ["demo", None, "Serve a demonstration on 127.0.0.1:8080 (or the next free port) with two embedded backends."],
        ["hide-queries", None, "The access log shows - for query strings, in which tokens are often handed over."],
    ]
    optParameters = [
        ["config", "c", None, "The configuration: compact YAML, an ARM template, an exported resource, or properties."],
        ["overrides", None, None, "A file with what differs on this machine: ports, backends, certificates, values."],
        ["admin", None, None, "Where to serve /pools and /ready: HOST:PORT, or tcp:PORT for 127.0.0.1."],
        ["access-log", None, "-", "A JSON line per exchange: a file, - (standard output; in a daemon its log) or off."],
        ["workers", "w", "1", "How many processes share the ports: a number, or auto for one per core."],
        ["transport", None, "auto", "What carries the bytes: pump (Linux), twisted, or auto."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["parameters"] = []
        self["map_ports"] = []
        self["map_backends"] = []
        self["listen"] = []
        self["backends"] = []
        self.model: Gateway | None = None
        self.notices: tuple[str, ...] = ()
        self.workers = 1
        self._directory = os.getcwd()

    def opt_parameters(self, path: str) -> None:
        """A parameter file for an ARM template. May be repeated; the later one wins."""
        self["parameters"].append(path)

    def opt_map_port(self, pair: str) -> None:
        """Bind another port than the configuration says, as 80=8080 or LISTENER=8080. May be repeated."""
        self["map_ports"].append(pair)

    def opt_map_backend(self, pair: str) -> None:
        """Connect elsewhere than the configuration says, as 10.0.0.4=127.0.0.1:9001. May be repeated."""
        self["map_backends"].append(pair)

    def opt_listen(self, address: str) -> None:
        """Listen without a configuration file: tcp:8080, or 127.0.0.1:8080. May be repeated; needs --backend."""
        self["listen"].append(address)

    def opt_backend(self, url: str) -> None:
        """A backend of those listeners: http://127.0.0.1:9001. May be repeated."""
        self["backends"].append(url)

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"gateway {__version__}")
        sys.exit(0)

    def parseArgs(self) -> None:
        """No words without an option."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; a mistake in it is shown without pages of help, and the status is 1 in any runner."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            refuse([str(error), "`twistd gateway --help` lists the options"], "gateway: the command line is wrong")

    def postOptions(self) -> None:
        """Read and check the configuration; ends the process with status 1 where it cannot be started."""
        self._check_words()
        if not self["demo"]:
            try:
                self.model, self.notices = self.read()
            except ConfigurationError as error:
                _refuse_configuration(error)
            except Exception as error:
                _refuse_configuration(defect(error, self["config"] or "command line"))

    def _check_words(self) -> None:
        given = [word for word in ("demo", "config", "listen") if self[word]]
        if not given and self["backends"]:
            given = ["listen"]
        if not given:
            raise usage.UsageError(_NOTHING_TO_DO)
        if len(given) > 1:
            raise usage.UsageError(f"--{given[0]} and --{given[1]} exclude each other")
        if self["backends"] and given != ["listen"]:
            raise usage.UsageError(f"--backend goes with --listen, not with --{given[0]}")
        if given != ["config"]:
            for word in ("parameters", "overrides", "map_ports", "map_backends"):
                if self[word]:
                    option = word.replace("_", "-").removesuffix("s") if word.startswith("map") else word
                    raise usage.UsageError(f"--{option} goes with --config")
        if self["transport"] not in ("auto", "pump", "twisted"):
            raise usage.UsageError(f"--transport {self['transport']}: right would be auto, pump or twisted")
        self.workers = self._count_workers()
        self._check_outputs()

    def _count_workers(self) -> int:
        text = self["workers"].strip().lower()
        if text == "auto":
            return cores()
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= _MOST_WORKERS:
            raise usage.UsageError(f"--workers {text}: right would be a number from 1 to {_MOST_WORKERS}, or auto")
        if int(text) > 1 and self["demo"]:
            raise usage.UsageError("--demo runs in one process: leave --workers out")
        return int(text)

    def _check_outputs(self) -> None:
        if self["admin"] is not None:
            try:
                self["admin"] = _admin_address(self["admin"])
            except ValueError:
                raise usage.UsageError(
                    f"--admin {self['admin']}: right would be 127.0.0.1:8081, [::1]:8081 or tcp:8081"
                ) from None
        if self["access-log"] not in ("-", "off"):
            path = os.path.abspath(self["access-log"])  # a daemon changes its directory
            directory = os.path.dirname(path)
            if os.path.isdir(path) or not os.access(directory, os.W_OK):
                raise usage.UsageError(f"--access-log {path}: not a file in a directory that can be written")
            self["access-log"] = path

    def read(self, found: Sequence[Problem] = ()) -> tuple[Gateway, tuple[str, ...]]:
        """Read the configuration, with all that belongs to it; returns the model and what to log of it.

        Called again, in a thread, at each reload.  ``found``: what has been found wrong with the model since, which is
        raised with its place in the file.  Raises `ConfigurationError`.
        """
        if self["listen"] or self["backends"]:
            return config.from_command_line(self["listen"], self["backends"]), ()
        warnings: list[Problem] = []
        model = config.load(
            self._place(self["config"]),
            parameters=[self._place(path) for path in self["parameters"]],
            overrides=self["overrides"] and self._place(self["overrides"]),
            map_ports=self["map_ports"],
            map_backends=self["map_backends"],
            warnings=warnings,
            checks=[lambda model: found] if found else checks(),
        )
        return model, tuple(map(str, warnings))

    def located(self, error: ConfigurationError) -> ConfigurationError:
        """``error`` of the model that was read, with file and lines where there is a file."""
        if self["config"] is not None:
            try:
                self.read(error.problems)
            except ConfigurationError as located:
                return located
        return error

    def _place(self, path: str) -> str:
        """The path as it was given, which a daemon that has changed its directory cannot use."""
        return path if os.getcwd() == self._directory else os.path.join(self._directory, path)


def makeService(options: Options, service_class: type[GatewayService] | None = None) -> IService:
    """The service for options that have been read; nothing is bound before it is started.

    ``service_class`` is for a deployment with a service of its own (``examples/deployment``); it runs in one process.
    """
    from twisted.internet import reactor

    from gateway.service import GatewayService
    from gateway.workers.parent import ParentService

    if options.workers > 1 and service_class is not None:
        refuse([f"--workers: {service_class.__name__} runs in one process"])

    def build(model: Gateway) -> GatewayService:
        several = options.workers > 1
        kind: Any = partial(ParentService, workers=options.workers) if several else service_class or GatewayService
        try:
            service: GatewayService = kind(
                model,
                reactor=reactor,
                transport=options["transport"],
                access_log=options["access-log"],
                hide_queries=bool(options["hide-queries"]),
                admin=options["admin"],
                notices=options.notices,
                source=None if options["demo"] else options.read,
                port_option=MAP_PORT if options["config"] else LISTEN,
            )
            return service
        except ConfigurationError as error:  # a strategy refuses to be built, or a file has changed
            _refuse_configuration(options.located(error))
        except OSError as error:
            refuse([str(error)])

    if options["demo"]:
        from gateway.demo.service import DemoService

        demo = DemoService(reactor, build)
        reactor.callWhenRunning(heed_signals, reactor, demo)
        reactor.callWhenRunning(reopen_logs_on_signal, reactor, demo)
        return demo
    assert options.model is not None
    if options.workers > 1:
        raise_descriptor_limit()  # they need several each, and begin before the reactor runs
    service = build(options.model)
    reactor.callWhenRunning(settle, reactor, service)
    return service


def _admin_address(text: str) -> str:
    """``host:port`` of what was given; 127.0.0.1 where there is no host. Raises ``ValueError``."""
    found = re.fullmatch(r"(?:tcp:)?(?:(\[[^\[\]]+\]|[^\[\]:]+):)?([0-9]{1,5})", text, re.IGNORECASE)
    if found is None or int(found[2]) > 65535:
        raise ValueError(text)
    host = "127.0.0.1" if found[1] in (None, "localhost") else found[1].strip("[]")
    return authority(str(ipaddress.ip_address(host)), found[2])


def _refuse_configuration(error: ConfigurationError) -> NoReturn:
    count = len(error.problems)
    heading = f"gateway: cannot start: {error.source}: {count} {'error' if count == 1 else 'errors'}"
    refuse([str(problem) for problem in error.problems], heading)
