"""`gateway.middleware.files`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gateway.middleware.files import WatchedFile


class WatchedFileTests(SynchronousTestCase):
    """Files that change."""

    def test_reread(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"1")
        now = [0.0]
        watched = WatchedFile(str(path), int, lambda: now[0])
        path.write_bytes(b"22")
        self.assertEqual(1, watched.value)
        now[0] = 2
        self.assertEqual(22, watched.value)
        path.write_bytes(b"rubbish")
        now[0] = 4
        self.assertEqual(22, watched.value)
        path.unlink()
        now[0] = 6
        self.assertEqual(22, watched.value)
        path.write_bytes(b"333")
        now[0] = 8
        self.assertEqual(333, watched.value)

    def test_at_the_start(self) -> None:
        error = self.assertRaises(ValueError, WatchedFile, "/none/such", int, lambda: 0.0)
        self.assertIn("/none/such cannot be read: No such file", str(error))
        path = Path(self.mktemp())
        path.write_bytes(b"x" * 5000000)
        self.assertIn("more than", str(self.assertRaises(ValueError, WatchedFile, str(path), int, lambda: 0.0)))

    def looks(self, watched: WatchedFile[int], now: list[float], count: int) -> tuple[int, list[str]]:
        """The value after ``count`` more looks, and what was logged of them."""
        with capturedLogs() as said:
            for _ in range(count):
                now[0] += 2
                value = watched.value
        return value, [formatEvent(event).rpartition(": ")[2] for event in said]

    def test_gone(self) -> None:
        """Said once each time, however often it is looked at."""
        path, now = Path(self.mktemp()), [0.0]
        path.write_bytes(b"1")
        watched = WatchedFile(str(path), int, lambda: now[0])
        for _ in range(2):
            path.rename(away := path.with_suffix(".away"))
            self.assertEqual((1, ["No such file or directory"]), self.looks(watched, now, 5))
            away.rename(path)
            self.assertEqual(1, self.looks(watched, now, 5)[0])
        path.write_bytes(b"rubbish")
        self.assertEqual(1, len(self.looks(watched, now, 5)[1]))
        path.write_bytes(b"rubbish again")
        self.assertEqual(1, len(self.looks(watched, now, 5)[1]))

    def test_refused(self) -> None:
        """What the system did not let it read is tried again, though the file has not changed."""
        path, now = Path(self.mktemp()), [0.0]
        path.write_bytes(b"1")
        watched = WatchedFile(str(path), int, lambda: now[0])
        path.write_bytes(b"22")

        def refuse(*args: object) -> None:
            raise PermissionError(13, "Permission denied")

        refusing = self.patch(Path, "open", refuse)
        self.assertEqual((1, ["Permission denied"]), self.looks(watched, now, 5))
        refusing.restore()
        self.assertEqual(22, self.looks(watched, now, 1)[0])

    def test_allowed(self) -> None:
        """A file whose mode has changed is looked at again."""
        path, now, parsed = Path(self.mktemp()), [0.0], []
        path.write_bytes(b"1")
        watched = WatchedFile(str(path), lambda data: parsed.append(data) or 1, lambda: now[0])
        os.chmod(path, 0o640)
        self.looks(watched, now, 3)
        self.assertEqual(2, len(parsed))
