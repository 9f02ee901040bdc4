"""`gateway.workers.tickets`: what the parent knows, and what waits for a worker that is gone."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from gateway.workers.channels import pass_on, receive
from gateway.workers.tickets import Tickets

PLACE = ("127.0.0.1", 443, "")


class NamesTests(SynchronousTestCase):
    """Whose tickets have which names."""

    def test_names(self) -> None:
        """Each is told those of the others; new ones replace the old."""
        tickets = Tickets(0)
        self.assertEqual([], tickets.others(1))
        tickets.learn(1, ["a", "b"])
        tickets.learn(2, ["c"])
        self.assertEqual([("c", 2)], tickets.others(1))
        self.assertEqual([("a", 1), ("b", 1)], tickets.others(2))
        self.assertEqual([("a", 1), ("b", 1), ("c", 2)], tickets.others(3))
        tickets.learn(1, ["d"])
        self.assertEqual([("d", 1), ("c", 2)], tickets.others(3))

    def test_a_worker_leaves(self) -> None:
        """Nobody is to be sent to it, nor to its successor for what that cannot read."""
        tickets = Tickets(0)
        tickets.learn(1, ["a"])
        tickets.learn(2, ["c"])
        tickets.leave(1, [2])
        tickets.leave(1, [2])
        self.assertEqual([[("c", 2)], []], [tickets.others(1), tickets.others(2)])


class ChannelsTests(SynchronousTestCase):
    """Three workers that are sent connections."""

    def setUp(self) -> None:
        self.tickets = Tickets(3)
        self.addCleanup(self.tickets.close)
        self.ends = [self.tickets.ends(number) for number in (1, 2, 3)]
        self.far: list[socket.socket] = []

    def sent(self, sender: int, to: int) -> None:
        """A connection; what it carries is its number."""
        near, far = socket.socketpair()
        self.far.append(far)
        self.addCleanup(far.close)
        far.send(b"%d" % len(self.far))
        self.assertTrue(pass_on(self.ends[sender - 1][to - 1], PLACE, near))
        near.close()

    def taken(self, number: int) -> bytes:
        """What the next connection carries that waits for a worker."""
        place, sock = receive(self.ends[number - 1][number - 1])
        assert sock is not None
        self.assertEqual(PLACE, place)
        with sock:
            return sock.recv(100)

    def test_ends(self) -> None:
        """Everybody reaches everybody else."""
        for to in (1, 2, 3):
            for sender in {1, 2, 3} - {to}:
                self.sent(sender, to)
        self.assertEqual([b"1", b"2"], [self.taken(1), self.taken(1)])
        self.assertEqual([b"3", b"4"], [self.taken(2), self.taken(2)])
        self.assertEqual([b"5", b"6"], [self.taken(3), self.taken(3)])

    def test_without_channels(self) -> None:
        tickets = Tickets(0)
        self.assertEqual([], tickets.ends(1))
        tickets.leave(1, [2])
        tickets.close()

    def test_what_waits_is_served_by_others(self) -> None:
        for _ in range(2):
            self.sent(3, 1)
        self.tickets.leave(1, [3, 2])
        self.assertRaises(BlockingIOError, receive, self.ends[0][0])
        self.assertEqual([b"1", b"2"], [self.taken(3), self.taken(3)])

    def fills_up(self) -> None:
        """One waits for worker 1, and there is no room behind those that wait for worker 2."""
        near, far = socket.socketpair()
        self.sent(3, 1)
        while pass_on(self.ends[0][1], PLACE, near):
            pass
        near.close()
        far.close()

    def test_what_waits_goes_where_there_is_room(self) -> None:
        self.fills_up()
        self.tickets.leave(1, [2, 3])
        self.assertEqual(b"1", self.taken(3))

    def test_what_waits_is_cut(self) -> None:
        """Where nobody has room: the client knows then."""
        self.fills_up()
        self.tickets.leave(1, [2])
        self.assertRaises(ConnectionResetError, self.far[0].recv, 1)

    def test_nobody_else_is_there(self) -> None:
        """It waits for the successor."""
        self.sent(3, 1)
        self.tickets.leave(1, [])
        self.assertEqual(b"1", self.taken(1))

    def test_close(self) -> None:
        """The end of the gateway is the end of what waits, once."""
        self.sent(3, 1)
        self.tickets.close()
        self.tickets.close()
        self.assertRaises(ConnectionResetError, self.far[0].recv, 1)
        self.tickets.leave(1, [2])
