"""The demonstration as one service: backends, a gateway in front of them, and what to open."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger

from gateway.config.model import Gateway
from gateway.demo.backends import DemoBackends
from gateway.demo.config import demo_model
from gateway.lifecycle.startup import refuse, result_now
from gateway.observe.reports import pool_report
from gateway.service import GatewayService

__all__ = ["DemoService", "hold_port"]

_HOST = "127.0.0.1"
_FIRST_PORT = 8080
_PORTS = 20
_log = Logger()

_TEXT = """
The demonstration runs{why}.

  open    http://{place}/                   a chat through the gateway; open it twice
  type    curl http://{place}/api/whoami    and again: the backends take turns
  stop    with Ctrl-C
"""


class DemoService(Service):
    """Starts the backends when ports may be bound, then the gateway that ``build`` makes for them.

    ``announce`` gets the text for the person who started it, when the backends have passed their first probe.
    """

    def __init__(
        self,
        reactor: Any,
        build: Callable[[Gateway], GatewayService],
        announce: Callable[[str], object] | None = None,
    ) -> None:
        self.backends = DemoBackends(reactor)
        self.gateway: GatewayService | None = None
        self._stopping: GatewayService | None = None
        self._build = build
        self._announce = announce or _print

    def privilegedStartService(self) -> None:
        """Bind all ports; ends the process with status 1 if one cannot be bound."""
        super().privilegedStartService()
        self._prepare().privilegedStartService()

    def startService(self) -> None:
        """Start the gateway, and say what to open as soon as it serves."""
        super().startService()
        gateway = self._prepare()
        gateway.startService()
        self.backends.pool_state = lambda: [pool_report(pool, gateway.monitor) for pool in gateway.pools.values()]
        for pool in gateway.pools.values():
            pool.subscribe(self.backends.pool_changed)
        gateway.when_ready().addCallback(self._ready).addErrback(_failed)

    def stopService(self) -> Deferred[Any]:
        """Stop the gateway, then the backends."""
        super().stopService()
        gateway, self.gateway = self.gateway, None
        self._stopping = gateway
        stopped = maybeDeferred(gateway.stopService) if gateway is not None else maybeDeferred(lambda: None)
        return stopped.addCallback(lambda _: self.backends.stop())

    def hurry(self) -> None:
        """See `GatewayService.hurry`."""
        if self._stopping is not None:
            self._stopping.hurry()

    def reload(self) -> Deferred[list[str]]:
        """See `GatewayService.reload`; there is no configuration file to read."""
        return self.gateway.reload() if self.gateway is not None else succeed([])

    def reopen_logs(self) -> None:
        """See `GatewayService.reopen_logs`."""
        if self.gateway is not None:
            self.gateway.reopen_logs()

    def _prepare(self) -> GatewayService:
        if self.gateway is None:
            try:
                addresses = result_now(self.backends.start())
            except Exception as error:
                refuse([f"the demonstration's backends cannot listen on {_HOST}: {error}"])
            with hold_port() as held:
                self.gateway = self._build(demo_model(addresses, held.getsockname()[1]))
        return self.gateway

    def _ready(self, _: object) -> None:
        if self.gateway is not None:
            port = self.gateway.ports["web"]
            why = "" if port == _FIRST_PORT else f" on port {port}, because {_FIRST_PORT} is in use"
            self._announce(_TEXT.format(place=f"{_HOST}:{port}", why=why))


def hold_port(first: int = _FIRST_PORT, count: int = _PORTS) -> socket.socket:
    """A socket that listens on the first free port of 127.0.0.1 from ``first`` on, or any where none of ``count`` is.

    Close it just before the port is bound for good: whoever looks for one meanwhile takes another.
    """
    for port in (*range(first, first + count), 0):
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((_HOST, port))
            held.listen()
        except OSError:
            held.close()
            continue
        return held
    raise OSError(f"no port of {_HOST} can be bound")


def _print(text: str) -> None:
    stream = sys.__stdout__  # not sys.stdout: twistd turns each line of that into a line of its log
    if stream is not None:
        print(text, file=stream, flush=True)


def _failed(failure: Any) -> None:
    _log.failure("the demonstration could not be announced", failure)
