"""Sinks: files that move, disks that fill up, readers that stop."""

from __future__ import annotations

import fcntl
import os
from unittest import mock

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gateway.observe.sinks import FileSink, OutputSink, StreamSink


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[str] = []

        def observe(event: dict[str, object]) -> None:
            if event.get("log_namespace") == "gateway.observe.sinks":
                self.events.append(str(event["log_format"]))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()


class OutputTests(SynchronousTestCase):
    def test_no_descriptor_is_left(self) -> None:
        """Then the log of the process has the lines, until there is one."""
        lines: list[str] = []

        def observe(event: dict[str, object]) -> None:
            if event.get("log_namespace") == "gateway.access":
                lines.append(str(event["line"]))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        sink = OutputSink()
        self.addCleanup(sink.close)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        with mock.patch.object(os, "dup", side_effect=OSError(24, "Too many open files")):
            sink.write(b"one\ntwo\n")
        self.assertEqual(["one", "two"], lines)
        with mock.patch.object(os, "dup", return_value=writer):
            sink.write(b"three\n")
        self.assertEqual((b"three\n", 2), (os.read(reader, 100), len(lines)))


class FileTests(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.mktemp()
        self.sink = FileSink(self.path)
        self.addCleanup(self.sink.close)

    def test_appends(self) -> None:
        self.sink.write(b"one\n")
        FileSink(self.path).write(b"two\n")
        self.sink.write(b"three\n")
        self.assertEqual(self.read(self.path), b"one\ntwo\nthree\n")

    def test_forgotten(self) -> None:
        """That of a gateway that is never started leaves no descriptor open, nor does one that cannot be opened."""
        before = os.listdir("/dev/fd")
        FileSink(self.path).write(b"one\n")
        self.assertRaises(OSError, FileSink, self.path + "/x")
        self.assertEqual(before, os.listdir("/dev/fd"))

    def test_mode(self) -> None:
        self.assertEqual(os.stat(self.path).st_mode & 0o007, 0)

    def test_reopen(self) -> None:
        self.sink.write(b"old\n")
        os.rename(self.path, self.path + ".1")
        self.sink.write(b"still old\n")
        self.sink.reopen()
        self.sink.write(b"new\n")
        self.assertEqual(self.read(self.path + ".1"), b"old\nstill old\n")
        self.assertEqual(self.read(self.path), b"new\n")
        self.assertEqual(["{name} has been opened again"], self.events)

    def test_failing_reopen_keeps_the_file(self) -> None:
        """One line says so, with the reason, and nothing is lost."""
        os.mkdir(self.path + ".d")
        with mock.patch.object(self.sink, "name", self.path + ".d"):
            self.sink.reopen()
        self.sink.write(b"goes on\n")
        self.assertEqual(self.read(self.path), b"goes on\n")
        self.assertEqual(
            ["{name} cannot be opened again: {reason}; the file that was open stays in use"], self.events
        )
        self.assertEqual(0, self.sink.dropped)

    def test_full_disk(self) -> None:
        """Half a line goes out, then nothing; later lines are whole again, and one complaint is enough."""
        real = os.write
        room = [5]

        def write(fd: int, data: bytes) -> int:
            if not room[0]:
                raise OSError(28, "No space left on device")
            size = min(room[0], len(data))
            room[0] -= size
            return real(fd, bytes(data[:size]))

        with mock.patch("gateway.observe.sinks.os.write", write):
            self.sink.write(b"one\ntwo\nthree\n")
            self.sink.write(b"four\n")
            room[0] = 1000
            self.sink.write(b"five\n")
        self.assertEqual(self.read(self.path), b"one\nt\nfive\n")
        self.assertEqual(self.sink.dropped, 3)  # two, three and four
        self.assertEqual([text.split("{")[0] for text in self.events], ["cannot write to log output ", "log output "])

    def test_write_after_close(self) -> None:
        self.sink.close()
        self.sink.write(b"late\n")
        self.assertEqual(self.sink.dropped, 1)


class PipeTests(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, 1031, 65536)  # F_SETPIPE_SZ
        self.sink = StreamSink(writer, "pipe")
        os.close(writer)
        self.addCleanup(self.sink.close)

    def drain(self) -> bytes:
        os.set_blocking(self.reader, False)
        data = b""
        while True:
            try:
                piece = os.read(self.reader, 65536)
            except BlockingIOError:
                return data
            if not piece:
                return data
            data += piece

    def test_slow_reader(self) -> None:
        """A pipe that is full neither blocks nor loses anything, as long as it is not for too long."""
        self.addCleanup(os.close, self.reader)
        lines = [b"%04d" % number + b"x" * 995 + b"\n" for number in range(150)]
        for line in lines:
            self.sink.write(line)
        read = self.drain()
        while len(read) < 150_000:
            self.sink.write(b"")
            more = self.drain()
            self.assertTrue(more)
            read += more
        self.assertEqual(read, b"".join(lines))
        self.assertEqual((self.sink.dropped, self.events), (0, []))

    def test_stopped_reader(self) -> None:
        self.addCleanup(os.close, self.reader)
        for _ in range(30):
            self.sink.write((b"y" * 99 + b"\n") * 600)
        self.assertGreater(self.sink.dropped, 0)
        self.assertEqual(len(self.events), 1)
        read = self.drain()
        for _ in range(100):
            self.sink.write(b"")
            read += self.drain()
        self.assertEqual(set(read.splitlines()), {b"y" * 99})
        self.assertEqual(len(read) // 100 + self.sink.dropped, 18000)

    def test_closed_reader(self) -> None:
        os.close(self.reader)
        self.sink.write(b"one\n")
        self.sink.write(b"two\n")
        self.assertEqual((self.sink.dropped, len(self.events)), (2, 1))
