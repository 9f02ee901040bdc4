"""The program of a worker process, ``python -m gateway.workers.child``; only `gateway.workers.crew` starts it."""

from __future__ import annotations

import faulthandler
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import provider

from gateway.config.model import Gateway
from gateway.errors import ConfigurationError
from gateway.lifecycle.process import settle
from gateway.lifecycle.reloading import RELOADS
from gateway.lifecycle.startup import StartFailed
from gateway.observe.sinks import ACCESS
from gateway.pools.changes import MEMBERS
from gateway.pools.pool import STATES
from gateway.workers.link import FROM_PARENT, HANDOVER, SOCKETS, TO_PARENT, TRACE, Link, Message, receive_sockets
from gateway.workers.worker import WorkerService

__all__ = ["main"]

_SAID_BY_PARENT = frozenset({MEMBERS, STATES, RELOADS})
"""What is reported there below an error, the parent reports for all."""

_LONGEST = 20_000
"""Characters of what is logged otherwise than in the access log."""


class _Child:
    """Waits for the configuration, then serves until it is told to stop or the parent is gone.

    ``status``: with which the process is to end.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._service: WorkerService | None = None
        self._stopping = self._finished = self._alone = self._signalled = False
        self.status = 0
        self.link = Link(self._told, self._left_alone)

    def _told(self, message: Message) -> None:
        if message["kind"] == "config":
            self._try(self._build, message)
        elif message["kind"] == "start":
            self._try(self._start, message)
        elif message["kind"] == "stop":
            self.stop()
        elif message["kind"] == "alive":
            self.link.send("alive")
        elif message["kind"] == "hurry":
            self.hurry()
        elif self._service is not None:
            self._service.told(message)

    def _try(self, step: Callable[[Message], None], message: Message) -> None:
        """Take a step towards serving; end with status 1 where it cannot be taken, the parent knows why then."""
        try:
            step(message)
        except Exception as error:
            expected = isinstance(error, (ConfigurationError, StartFailed, OSError))
            self.link.send("failed", reason=str(error) if expected else Failure().getTraceback())
            self.status = 1
            self.stop()

    def _build(self, message: Message) -> None:
        listeners = message["listeners"]
        channel = socket.socket(fileno=HANDOVER)
        descriptors = receive_sockets(channel, message["channels"])
        self._service = WorkerService(
            Gateway.model_validate_json(message["model"]),
            sockets={listener: SOCKETS + number for number, listener in enumerate(listeners)},
            link=self.link,
            channel=channel,
            number=message["number"],
            channels=[socket.socket(fileno=descriptor) for descriptor in descriptors],
            reactor=self._reactor,
            transport=message["transport"],
            access_log=message["accessLog"],
            hide_queries=message["hideQueries"],
            secret=bytes.fromhex(message["secret"]),
        )
        self.link.send("built")

    def _start(self, message: Message) -> None:
        """Serve, and know from the first request on who is there and who is healthy."""
        service = self._service
        if service is None or self._stopping:
            return
        service.told({"kind": "members", "pools": message["members"]})
        service.told({"kind": "health", "backends": message["backends"]})
        service.privilegedStartService()
        service.startService()
        settle(self._reactor, service)

    def signalled(self) -> None:
        """A SIGTERM: finish what is in progress, then end; at the second one end now.

        A supervisor may send it to all processes at once, before or after the parent's word to stop: only who sends it
        twice is in a hurry.  The parent is told, for the ports are served by a successor from now on.
        """
        if self._signalled:
            self.hurry()
            return
        self._signalled = True
        if not self._stopping:
            self.link.send("leaving")
        self.stop()

    def hurry(self) -> None:
        """The time to stop is over."""
        if self._stopping and self._service is not None:
            self._service.hurry()

    def stop(self) -> None:
        """Finish what is in progress, then end. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        service = self._service
        ended = maybeDeferred(service.stopService) if service is not None else maybeDeferred(lambda: None)
        ended.addErrback(lambda failure: self.link.send("log", level="error", text=failure.getTraceback()))
        ended.addBoth(lambda _: self._finish())

    def _finish(self) -> None:
        """End when all that was said has been sent: the last lines of a log may be among it."""
        self._finished = True
        if self._alone:
            self._reactor.stop()
        else:
            transport: Any = self.link.transport
            transport.loseConnection()

    def _left_alone(self) -> None:
        """The link has ended, here or at the parent's end."""
        self._alone = True
        if self._finished:
            self._reactor.stop()
        else:
            self.stop()

    def log(self, event: LogEvent) -> None:
        """Send the parent what is to be logged."""
        level, namespace = event.get("log_level", LogLevel.info), event.get("log_namespace")
        if namespace == ACCESS:
            self.link.send("access", line=event["line"])  # whole: half of one would be no JSON
            return
        quiet = namespace in _SAID_BY_PARENT and level < LogLevel.error
        if level >= LogLevel.info and not quiet:
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)
            self.link.send("log", level=level.name, text=text[:_LONGEST])


def _observer(child: _Child) -> ILogObserver:
    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        child.log(event)

    return observe


def main() -> int:
    """Run a worker on the descriptors that it was given; its exit status."""
    from twisted.internet import _posixstdio as _stdio
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    faulthandler.enable()
    faulthandler.register(TRACE)
    # A terminal sends Ctrl-C and its own end to all of its processes, and SIGUSR1 may be sent to all of a service: the
    # parent decides what they mean.
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, lambda *_: None)  # one that is ignored would be a request to reload
    child = _Child(reactor)
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(child.signalled))
    globalLogBeginner.beginLoggingTo([_observer(child)], redirectStandardIO=False)
    _stdio.StandardIO(child.link, stdin=FROM_PARENT, stdout=TO_PARENT, reactor=reactor)
    reactor.run(installSignalHandlers=False)
    return child.status


if __name__ == "__main__":
    try:
        status = main()
    except Exception:
        print(Failure().getTraceback(), file=sys.stderr)
        status = 1
    sys.exit(status)
