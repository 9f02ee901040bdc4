"""What a process does that is a gateway and nothing else: descriptors, the garbage collector, signals."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

if TYPE_CHECKING:
    from gateway.service import GatewayService

__all__ = ["cores", "keep_freed_memory", "raise_descriptor_limit", "reopen_logs_on_signal", "settle"]

_log = Logger("gateway")

_MALLOC = {-1: 16 << 20, -2: 1 << 20, -3: 4 << 20}
"""M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD of malloc.h: bytes that are kept, fetched at once, mapped apart."""


def cores() -> int:
    """How many cores this process may use."""
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available is not None else os.cpu_count() or 1


def settle(reactor: Any, service: GatewayService) -> None:
    """Called once, when the reactor runs and everything is built."""
    raise_descriptor_limit()
    reopen_logs_on_signal(reactor, service)
    keep_freed_memory()
    gc.collect()
    gc.freeze()  # what is here stays: a collection need not look at it again


def keep_freed_memory() -> bool:
    """Let malloc keep some of what is freed instead of giving each large buffer back; whether that can be said here.

    What was given back has to be fetched again page by page, which costs more than to fill it: half the time of a
    request with 64 KiB of body.  glibc only (mallopt(3)).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(mallopt(option, size) for option, size in _MALLOC.items())


def raise_descriptor_limit() -> int | None:
    """Use all the file descriptors the system grants, for each client may need two; the new limit, if there is one."""
    try:
        import resource
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return int(soft)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warn("at most {soft} file descriptors, the limit cannot be raised: {error}", soft=soft, error=error)
        return int(soft)
    return int(hard)


def reopen_logs_on_signal(reactor: Any, service: GatewayService) -> None:
    """Let SIGUSR1 open the access log again, as logrotate expects, unless twistd uses it for its own log."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or not service.has_log_file or signal.getsignal(number) != signal.SIG_DFL:
        return

    def reopen(*_: object) -> None:
        reactor.callFromThread(service.reopen_logs)

    signal.signal(number, reopen)
