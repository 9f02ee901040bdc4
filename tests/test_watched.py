"""`gateway.watched`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gateway.watched import FileWatch, stamp, stamps


class FileWatchTests(SynchronousTestCase):
    """A file whose content is a number."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.refused = False
        self.told: list[str] = []
        self.watch = FileWatch(self.path, self.read, self.told.append)

    def read(self) -> int:
        if self.refused:
            raise PermissionError(13, "Permission denied")
        return int(self.path.read_text("ascii"))

    def test_changes(self) -> None:
        """Each content is read once; what is wrong with one is told once, and changes nothing."""
        self.path.write_text("5")
        self.assertEqual([5, None], [self.watch.look(), self.watch.look()])
        self.assertEqual(stamp(self.path), self.watch.used)
        self.path.write_text("five")
        self.assertEqual([None, None], [self.watch.look(), self.watch.look()])
        self.assertEqual(["invalid literal for int() with base 10: 'five'"], self.told)
        self.path.write_text("12345")
        self.assertEqual(12345, self.watch.look())

    def test_gone(self) -> None:
        """Told once each time; one that is back is looked at."""
        for number in 1, 2:
            self.assertEqual([None, None], [self.watch.look(), self.watch.look()])
            self.assertEqual(["No such file or directory"] * number, self.told)
            self.path.write_text("1" * number)
            self.assertEqual(int("1" * number), self.watch.look())
            self.path.unlink()
        self.assertEqual({str(self.path): None}, stamps([str(self.path)]))

    def test_refused(self) -> None:
        """It is tried again, also where the file is as it was."""
        self.path.write_text("5")
        self.refused = True
        self.assertEqual([None, None], [self.watch.look(), self.watch.look()])
        self.assertEqual(["Permission denied"], self.told)
        self.refused = False
        self.assertEqual(5, self.watch.look())
