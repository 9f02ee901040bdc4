"""`gateway.relay.upload`: what becomes of bytes, with files that are none."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.relay.upload import PIECE, Disk, Feeding, Upload, Uploads, check_directory

MIB = 1 << 20


class Full(io.BytesIO):
    """A file on a disk with room for ``room`` bytes. It knows the sizes of all writes and reads."""

    def __init__(self, room: int = MIB * 1000) -> None:
        super().__init__()
        self.room = room
        self.sizes: list[int] = []

    def write(self, data: Any) -> int:
        self.sizes.append(len(data))
        count = min(len(data), self.room)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= count
        return super().write(bytes(data[:count]))

    def read(self, size: int | None = -1, /) -> bytes:
        self.sizes.append(size or 0)
        return super().read(size)


class Files(Uploads):
    """Rooms whose files are kept, to be looked at."""

    def __init__(
        self, memory: int = 100, most: int = 1000, disk: Disk | None = None, make: Callable[[], Any] = Full
    ) -> None:
        super().__init__(memory, most, "/uploads", Disk() if disk is None else disk)
        self.files: list[Any] = []
        self._make = make

    def open(self) -> Any:
        self.files.append(self._make())
        return self.files[-1]


def everything(upload: Upload) -> bytes:
    """What an upload gives, piece by piece."""
    pieces = []
    at = 0
    while at < upload.size:
        pieces.append(upload.piece(at))
        assert 0 < len(pieces[-1]) <= PIECE
        at += len(pieces[-1])
    return b"".join(pieces)


class UploadTests(SynchronousTestCase):
    """One body."""

    def setUp(self) -> None:
        self.lines: list[str] = []

        def heard(event: Any) -> None:
            if event.get("log_level") and event["log_level"].name == "error":
                self.lines.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(heard)
        self.addCleanup(globalLogPublisher.removeObserver, heard)

    def test_memory(self) -> None:
        """There is no file for what fits, to the last byte."""
        files = Files()
        upload = Upload(files)
        self.assertEqual([True, True], [upload.add(b"x" * 99), upload.add(b"y")])
        self.assertEqual((b"x" * 99 + b"y", [], 0), (upload.whole(), files.files, files._disk.used))
        upload.close()

    def test_file(self) -> None:
        files = Files()
        upload = Upload(files)
        self.assertTrue(upload.add(b"x" * 99) and upload.add(b"yy") and upload.add(b"z"))
        self.assertEqual((102, None), (upload.size, upload.whole()))
        self.assertEqual((101, 101), (len(files.files[0].getvalue()), files._disk.used))
        self.assertEqual(b"x" * 99 + b"yyz", everything(upload))
        for _ in range(2):
            upload.close()
        self.assertEqual((True, 0), (files.files[0].closed, files._disk.used))

    def test_pieces(self) -> None:
        """However much comes at once, it is written and read in pieces, and memory is small."""
        files = Files(MIB, 64 * MIB)
        upload = Upload(files)
        for _ in range(40):
            upload.add(b"x" * (MIB // 2))
            self.assertLessEqual(len(upload._memory), MIB)
        self.assertEqual(b"x" * 20 * MIB, everything(upload))
        self.assertLessEqual(max(files.files[0].sizes), PIECE)
        upload.close()

    def test_room(self) -> None:
        """It is one for all; what finds none is kept in memory, and there is no more to wait for."""
        disk = Disk()
        files, others = Files(100, 300, disk), Files(100, 300, disk)
        first, second = Upload(files), Upload(others)
        self.assertTrue(first.add(b"a" * 200))
        self.assertFalse(second.add(b"b" * 101))
        self.assertEqual((b"b" * 101, []), (second.whole(), others.files))
        self.assertFalse(first.add(b"c" * 101))
        self.assertEqual((b"a" * 200 + b"c" * 101, 200), (everything(first), disk.used))
        first.close()
        self.assertTrue(Upload(others).add(b"b" * 300))
        self.assertIn("limits.requestBufferFileBytes", self.lines[0])
        self.assertEqual(2, len(self.lines), "once each")

    def test_what_does_not_fit(self) -> None:
        disk = Disk()
        disk.used = 800
        files = Files(100, 1000, disk)
        self.assertEqual([True, True, True, False], [files.fits(size) for size in (-1, 100, 200, 201)])
        self.assertEqual([True, False], [Files(100, 0).fits(size) for size in (100, 101)])
        self.assertEqual(1, len(self.lines), "no files at all is what was asked for")

    def test_full_disk(self) -> None:
        """Nothing is lost, wherever it fails; it is told once, with the directory and what to do."""
        for room in (0, 1, 100, 150, 250, 333):
            files = Files(100, 1000, make=lambda: Full(room))  # noqa: B023
            for _ in range(2):
                upload = Upload(files)
                body = bytes(range(256)) * 2
                went_on = [upload.add(body[at : at + 64]) for at in range(0, 512, 64)]
                self.assertFalse(went_on[-1])
                self.assertEqual(body, everything(upload))
                self.assertEqual(room, files._disk.used)
                upload.close()
                self.assertEqual((0, True), (files._disk.used, files.files[-1].closed))
            (line,) = self.lines
            del self.lines[:]
            self.assertIn("/uploads: No space left on device", line)
            self.assertIn("limits.requestBufferDirectory", line)

    def test_no_file(self) -> None:
        def refuse() -> Any:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

        upload = Upload(Files(make=refuse))
        self.assertFalse(upload.add(b"x" * 101))
        self.assertEqual(b"x" * 101, upload.whole())
        upload.close()
        self.assertIn("No such file or directory", self.lines[0])

    def test_real_files(self) -> None:
        """They have no name, and are where they are wanted."""
        directory = self.mktemp()
        os.mkdir(directory)
        upload = Upload(Uploads(10, 1000, os.path.abspath(directory), Disk()))
        self.assertTrue(upload.add(b"x" * 500))
        self.assertEqual([], os.listdir(directory))
        self.assertEqual(b"x" * 500, everything(upload))
        file = upload._file
        upload.close()
        self.assertTrue(file.closed)
        lost = Upload(Uploads(10, 1000, os.path.abspath(directory) + "/none", Disk()))
        self.assertFalse(lost.add(b"x" * 500))
        self.assertEqual(b"x" * 500, lost.whole())
        lost.close()

    def test_short_file(self) -> None:
        """Somebody has taken away what was written: that is an error, never an end."""
        files = Files()
        upload = Upload(files)
        upload.add(b"x" * 200)
        files.files[0].truncate(150)
        self.assertEqual(150, len(upload.piece(0)))
        self.assertRaises(OSError, upload.piece, 150)
        upload.close()

    @given(st.lists(st.binary(max_size=90), max_size=30), st.integers(0, 700), st.integers(0, 700))
    def test_nothing_is_lost(self, parts: list[bytes], room: int, most: int) -> None:
        files = Files(64, most, make=lambda: Full(room))
        upload = Upload(files)
        for part in parts:
            upload.add(part)
        self.assertEqual(b"".join(parts), everything(upload))
        self.assertLessEqual(files._disk.used, most)
        upload.close()
        self.assertEqual((0, all(file.closed for file in files.files)), (files._disk.used, True))


class FeedingTests(SynchronousTestCase):
    """Towards a backend."""

    def setUp(self) -> None:
        self.upload = Upload(Files(10, 64 * MIB))
        self.body = os.urandom(3 * PIECE + 5)
        self.upload.add(self.body)
        self.upload.add(b"in memory"[:4])
        self.body += b"in m"
        self.later: list[Callable[[], None]] = []
        self.given: list[bytes] = []
        self.ends: list[bool] = []
        self.errors: list[OSError] = []
        self.stuck_after = 1000
        self.feeding = Feeding(self.upload, self.give, self.errors.append, self.later.append)

    def give(self, piece: bytes, end: bool) -> None:
        self.given.append(piece)
        self.ends.append(end)
        if len(self.given) == self.stuck_after:
            self.feeding.hold(4)

    def run_later(self, most: int = 1000) -> None:
        while self.later and most:
            most -= 1
            self.later.pop(0)()

    def test_everything(self) -> None:
        """A piece at a time, others have their turn in between."""
        self.feeding.go_on()
        self.feeding.go_on()
        for number in range(5):
            self.assertEqual((number, 1), (len(self.given), len(self.later)))
            self.run_later(1)
        self.assertEqual(self.body, b"".join(self.given))
        self.assertEqual(([False] * 4 + [True], []), (self.ends, self.later))

    def test_stuck(self) -> None:
        """Nothing is read that would have to wait in memory."""
        self.stuck_after = 2
        self.feeding.go_on()
        self.run_later()
        self.assertEqual(2, len(self.given))
        self.feeding.let(4)
        self.feeding.let(4)
        self.run_later()
        self.assertEqual(self.body, b"".join(self.given))

    def test_held_meanwhile(self) -> None:
        self.feeding.go_on()
        self.feeding.hold(4)
        self.run_later()
        self.assertEqual([], self.given)
        self.feeding.let(4)
        self.run_later()
        self.assertEqual(self.body, b"".join(self.given))

    def test_stopped(self) -> None:
        self.feeding.go_on()
        self.run_later(2)
        self.feeding.stop()
        self.run_later()
        self.feeding.let(4)
        self.assertEqual((2, []), (len(self.given), self.later))

    def test_unreadable(self) -> None:
        self.feeding.go_on()
        self.run_later(1)
        self.upload._file.truncate(PIECE)
        self.run_later()
        self.assertEqual((1, 1), (len(self.given), len(self.errors)))
        self.feeding.let(4)
        self.assertEqual([], self.later)

    def tearDown(self) -> None:
        self.upload.close()


class DirectoryTests(SynchronousTestCase):
    """`check_directory`."""

    def found(self, directory: str | None) -> list[str]:
        limits = model.Limits(request_buffer_directory=directory)
        return [f"{problem.path}: {problem.message}" for problem in check_directory(model.Gateway(limits=limits))]

    def test_good(self) -> None:
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        self.assertEqual(([], []), (self.found(None), self.found(directory)))

    def test_bad(self) -> None:
        missing = os.path.abspath(self.mktemp())
        for directory, why in ((missing, "no such"), ("uploads", "absolute"), (__file__, "no such directory")):
            (line,) = self.found(directory)
            self.assertTrue(line.startswith("limits.requestBufferDirectory: "), line)
            self.assertIn(why, line)
