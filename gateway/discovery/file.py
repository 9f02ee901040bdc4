"""Discovery by file: the members are what a file says, which is looked at again and again.

Something else writes it, a deployment or an agent of a registry; best to a new file that is then renamed, so that
nobody ever reads half of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import Field, field_validator
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.config.model import Member
from gateway.discovery.listing import read_members
from gateway.errors import ConfigurationError
from gateway.interfaces import IDiscovery, ILasting, IStrategyFactory
from gateway.services import Options
from gateway.watched import FileWatch

__all__ = ["FileOptions", "FileDiscovery", "factory"]

_log = Logger("gateway.discovery")


class FileOptions(Options):
    path: str = Field(description="Absolute path. JSON or YAML by its ending, else one member a line.")
    interval: float = Field(default=1.0, ge=0.05, le=3600, description="Seconds between two looks at the file.")

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not os.path.isabs(path):
            raise ValueError("expected an absolute path, for a daemon has another current directory")
        return path


@implementer(ILasting, IDiscovery)
class FileDiscovery:
    """Reads the file when it has changed.

    One that is broken, gone or may not be read changes nothing, and is logged once.
    """

    def __init__(self, path: str, interval: float, clock: Any) -> None:
        self._path = path
        self._interval = interval
        self._watch = FileWatch(path, self._read, self._complain)
        self._members: tuple[Member, ...] | None = None
        self._found: Callable[[Iterable[Member]], None] = lambda members: None
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self, found: Callable[[Iterable[Member]], None]) -> None:
        """See `IDiscovery.start`."""
        self._found = found
        self._loop.start(self._interval, now=True).addErrback(_ended)

    def stop(self) -> None:
        """See `IDiscovery.stop`."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        members = self._watch.look()
        if members is not None and members != self._members:
            self._members = members
            self._found(members)

    def _read(self) -> tuple[Member, ...]:
        try:
            return read_members(self._path)
        except ConfigurationError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise ValueError("; ".join([str(problem) for problem in error.problems[:3]])) from None

    def _complain(self, fault: str) -> None:
        what = "no members are known" if self._members is None else "the last good members stay"
        _log.warn("members in {path}: {fault}; {what}", path=self._path, fault=fault, what=what)


def _ended(failure: Failure) -> None:
    _log.failure("watching a file of members has ended", failure)


@implementer(IStrategyFactory)
class _Factory:
    name = "file"
    options = FileOptions

    def build(self, options: FileOptions, services: Any) -> FileDiscovery:
        return FileDiscovery(options.path, options.interval, services.clock)


factory = _Factory()
