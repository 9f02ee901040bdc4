"""Where log lines go: a file that logrotate may move away, standard output, or the log of ``twistd``.

A sink never raises into traffic and never blocks on a reader that has stopped: what cannot be written is
dropped in whole lines and counted, and the trouble is logged once until writing works again.
"""

from __future__ import annotations

import os
import select
import stat

from twisted.logger import Logger

__all__ = ["ACCESS", "FileSink", "LogSink", "OutputSink", "StreamSink"]

_log = Logger()

ACCESS = "gateway.access"
"""The namespace of access log lines in the log of a process."""

_access_log = Logger(ACCESS)

_RETAINED = 1 << 20
"""Bytes kept for a pipe that is full at the moment; beyond it lines are dropped."""

_PIPE_PIECE = 4096
"""``PIPE_BUF`` on Linux: a write of this size does not block when poll says the pipe is writable (pipe(7))."""


class _Descriptor:
    """Writes bytes to a file descriptor; shared by both sinks."""

    name = ""
    _fd = -1

    def __init__(self) -> None:
        self.dropped = 0
        self._pending = b""
        self._mid_line = False
        self._torn = False
        self._poll: select.poll | None = None
        self._complained = False

    def write(self, data: bytes) -> None:
        """Write whole lines. Never raises, never waits; what does not go out is counted in ``dropped`` (lines)."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        lines = data.count(b"\n")
        if self._torn:
            # The rest of a line was lost: the next one must not be glued to its head.
            data = b"\n" + data
        rest, error = self._write(data)
        if error is not None:
            self._torn = self._mid_line
            self._complain(error.strerror or str(error), min(lines, rest.count(b"\n")))
            return
        self._torn = False
        if rest:
            self._keep(rest)
        elif self._complained:
            self._complained = False
            _log.info(
                "log output {name} works again; {dropped} lines were lost so far", name=self.name, dropped=self.dropped
            )

    def _write(self, data: bytes) -> tuple[bytes, OSError | None]:
        """Write as much as goes out without waiting; return the rest, and the error if there was one."""
        view = memoryview(data)
        try:
            while view:
                if self._poll is None:
                    count = os.write(self._fd, view)
                elif self._poll.poll(0):
                    count = os.write(self._fd, view[:_PIPE_PIECE])
                else:
                    break
                self._mid_line = view[count - 1] != 0x0A
                view = view[count:]
        except BlockingIOError:
            pass
        except OSError as error:
            return bytes(view), error
        return bytes(view), None

    def _keep(self, rest: bytes) -> None:
        """The reader is slow: keep the rest, in bounds."""
        if len(rest) <= _RETAINED:
            self._pending = rest
            return
        # Always keep up to the first line's end: part of that line may be out already.
        cut = max(rest.rfind(b"\n", 0, _RETAINED), rest.find(b"\n")) + 1
        self._pending, lost = rest[:cut], rest[cut:]
        self._complain("its reader does not keep up", lost.count(b"\n"))

    def _complain(self, reason: str, lines: int) -> None:
        self.dropped += lines
        if not self._complained:
            self._complained = True
            _log.error(
                "cannot write to log output {name}: {reason}; lines are dropped until it works again",
                name=self.name,
                reason=reason,
            )

    def _watch(self, fd: int) -> None:
        """Use ``fd`` from now on; ask before each write unless it is a regular file, which is always writable."""
        self._fd = fd
        self._mid_line = self._torn = False
        self._poll = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)

    def close(self) -> None:
        """Close it; what still does not go out is dropped and counted."""
        if self._pending:
            rest, _ = self._write(self._pending)
            self.dropped += rest.count(b"\n")
            self._pending = b""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        if self._fd >= 0:  # of a gateway that was made and never started
            os.close(self._fd)


class FileSink(_Descriptor):
    """Appends to a file. ``path`` must be writable now (raises ``OSError``); it is created with mode 0640."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.name = path
        self._watch(self._open())

    def _open(self) -> int:
        # O_NONBLOCK: a FIFO without a reader must not hold up the start; regular files ignore it.
        return os.open(self.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)

    def reopen(self) -> None:
        """Open the path again, after logrotate has moved the file. The old file stays in use if that fails."""
        try:
            fd = self._open()
        except OSError as error:
            _log.error(
                "{name} cannot be opened again: {reason}; the file that was open stays in use",
                name=self.name, reason=error.strerror,
            )  # fmt: skip
            return
        old, self._fd = self._fd, -1
        self._watch(fd)
        if old >= 0:
            os.close(old)
        _log.info("{name} has been opened again", name=self.name)


class StreamSink(_Descriptor):
    """Writes to a copy of an open descriptor, by default standard output."""

    def __init__(self, fd: int = 1, name: str = "standard output") -> None:
        super().__init__()
        self.name = name
        self._watch(os.dup(fd))

    def reopen(self) -> None:
        """Nothing to do: a stream has no path."""


class LogSink:
    """Writes to the log of the process: each line is an event of the namespace `ACCESS`, which has it as ``line``."""

    def write(self, data: bytes) -> None:
        """Write whole lines."""
        for line in data.decode("ascii").splitlines():
            _access_log.info("{line}", line=line)

    def reopen(self) -> None:
        """Nothing to do: the log rotates by itself."""

    def close(self) -> None:
        """Nothing to do."""


class OutputSink:
    """Standard output, or the log of the process if that has become a daemon since this was made.

    A daemon has no standard output; what it inherited belongs to whoever started it, and is not held open.
    """

    def __init__(self) -> None:
        self._made_by = os.getpid()
        self._sink: StreamSink | LogSink | None = None

    def write(self, data: bytes) -> None:
        """Write whole lines."""
        if self._sink is None:
            try:
                self._sink = StreamSink() if os.getpid() == self._made_by else LogSink()
            except OSError:  # no descriptor is left for now
                LogSink().write(data)
                return
        self._sink.write(data)

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Close it."""
        if self._sink is not None:
            self._sink.close()
