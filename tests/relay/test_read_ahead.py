"""`gateway.relay.read_ahead`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.relay.read_ahead import ReadAhead


class ReadAheadTests(SynchronousTestCase):
    """How many clients have room."""

    def test_all_together(self) -> None:
        room = ReadAhead(100, 350)
        self.assertEqual([True] * 3 + [False], [room.take() for _ in range(4)])
        room.give_back()
        self.assertEqual([True, False], [room.take(), room.take()])

    def test_one_always(self) -> None:
        """Also where one may have more than all together."""
        room = ReadAhead(100, 10)
        self.assertEqual([True, False], [room.take(), room.take()])
