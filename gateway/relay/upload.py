"""Request bodies that are waited for before a backend is asked: in memory, and in a file what is too long for that.

Files have no name, so nothing is left of them whatever happens.  They are written and read in the reactor's thread, in
pieces that are no more than a copy to or from the page cache.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from gateway.errors import Problem

if TYPE_CHECKING:
    from gateway.config.model import Gateway

__all__ = ["PIECE", "Disk", "Feeding", "Upload", "Uploads", "check_directory"]

PIECE = 65536
"""Bytes that are written, or read back, at a time."""

_log = Logger("gateway")


def check_directory(gateway: Gateway) -> list[Problem]:
    """What is wrong with the directory for files, if one is named."""
    directory = gateway.limits.request_buffer_directory
    if directory is None or (os.path.isabs(directory) and os.path.isdir(directory)):
        return []
    why = "there is no such directory" if os.path.isabs(directory) else "an absolute path is wanted"
    return [Problem("limits.requestBufferDirectory", f"found {directory[:200]!r}: {why}")]


class Disk:
    """``used``: bytes of request bodies that are in files now, of a whole process."""

    used = 0


class Uploads:
    """What bodies may take.

    ``memory``: bytes of each that are kept in memory; ``most``: bytes in files, of all together; ``directory``: where
    these are, the system's for temporary files if ``None``; ``disk``: what is taken, also by others.
    """

    def __init__(self, memory: int, most: int, directory: str | None, disk: Disk) -> None:
        self.memory = memory
        self._most = most
        self._directory = directory
        self._disk = disk
        self._told: set[str] = set()

    def fits(self, size: int) -> bool:
        """Whether it makes sense to wait for a body of this size, which is negative if nobody knows."""
        return size <= self.memory or self._has_room(size)

    def take(self, size: int) -> bool:
        """Whether so many bytes may go to a file; they count until `give_back`."""
        if not self._has_room(size):
            return False
        self._disk.used += size
        return True

    def give_back(self, size: int) -> None:
        """So many bytes are in no file any more."""
        self._disk.used -= size

    def open(self) -> Any:
        """A new file. Raises ``OSError``."""
        return TemporaryFile(buffering=0, dir=self._directory)

    def failed(self, error: OSError) -> None:
        """A file could not be made or written: say so, once."""
        self._tell(
            "request bodies cannot be kept in {directory}: {reason}. They go to backends as they come; make room "
            "there, or name another directory in limits.requestBufferDirectory",
            directory=self._directory or "the directory for temporary files",
            reason=error.strerror or type(error).__name__,
        )

    def _has_room(self, size: int) -> bool:
        if self._disk.used + size <= self._most:
            return True
        if self._most:
            self._tell(
                "no room for {size} bytes of a request's body: {used} of {most} (limits.requestBufferFileBytes) are in "
                "files. Such bodies go to backends as they come",
                size=size, used=self._disk.used, most=self._most,
            )  # fmt: skip
        return False

    def _tell(self, sentence: str, **what: Any) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            _log.error(sentence, **what)


class Upload:
    """The body of one request, as much of it as is waited for."""

    __slots__ = ("_file", "_memory", "_over", "_stored", "_uploads")

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._memory = bytearray()
        self._file: Any = None
        self._stored = 0
        self._over = False

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self._stored + len(self._memory)

    def add(self, data: bytes) -> bool:
        """Keep ``data``; false where there is no room for more. It is kept all the same."""
        self._memory += data
        most = self._uploads.memory
        if len(self._memory) > (most if self._file is None else min(most, PIECE)) and not self._over:
            self._over = not self._spilled()
        return not self._over

    def whole(self) -> bytes | None:
        """All of it, if it is in memory."""
        return bytes(self._memory) if not self._stored else None

    def piece(self, at: int) -> bytes:
        """What is there from ``at`` on, at most `PIECE` bytes. Raises ``OSError``."""
        left = self._stored - at
        if left <= 0:
            return bytes(self._memory[-left : PIECE - left])
        self._file.seek(at)
        data: bytes = self._file.read(min(left, PIECE))
        if not data:
            raise OSError(errno.EIO, "the file is shorter than what was written")
        return data

    def close(self) -> None:
        """Nobody wants it any more. Idempotent."""
        file, self._file = self._file, None
        self._over = True
        self._uploads.give_back(self._stored)
        self._stored = 0
        self._memory.clear()
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self._uploads.failed(error)

    def _spilled(self) -> bool:
        """Move what is in memory to the file, as far as that takes it; whether it has taken all."""
        uploads, size = self._uploads, len(self._memory)
        if not uploads.take(size):
            return False
        done = 0
        try:
            if self._file is None:
                self._file = uploads.open()
            while done < size:
                done += self._file.write(self._memory[done : done + PIECE])
        except OSError as error:
            uploads.failed(error)
        uploads.give_back(size - done)
        self._stored += done
        del self._memory[:done]
        return done == size


class Feeding:
    """Gives an `Upload` to a backend piece by piece, and none while that is stuck.

    For the backend's connection it is what feeds it, as the client is otherwise (see `gateway.relay.flow`).
    ``give(piece, end)`` sends one; ``failed(error)`` is told that there is no reading on; ``soon`` calls a function
    when others have had their turn.
    """

    __slots__ = ("_at", "_failed", "_give", "_held", "_over", "_soon", "_upload", "_waiting")

    def __init__(
        self,
        upload: Upload,
        give: Callable[[bytes, bool], None],
        failed: Callable[[OSError], None],
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._upload = upload
        self._give = give
        self._failed = failed
        self._soon = soon
        self._at = 0
        self._held = self._over = self._waiting = False

    def hold(self, reason: int) -> None:
        """The backend takes no more for now."""
        self._held = True

    def let(self, reason: int) -> None:
        """It takes on."""
        self._held = False
        self.go_on()

    def go_on(self) -> None:
        """Give the next piece when others have had their turn: only then is it known what became of the last."""
        if not (self._waiting or self._over or self._held):
            self._waiting = True
            self._soon(self._next)

    def stop(self) -> None:
        """Give nothing any more."""
        self._over = True

    def _next(self) -> None:
        self._waiting = False
        if self._held or self._over:
            return
        try:
            piece = self._upload.piece(self._at)
        except OSError as error:
            self._over = True
            self._failed(error)
            return
        self._at += len(piece)
        self._over = end = self._at == self._upload.size
        self._give(piece, end)
        self.go_on()
