"""`gateway.workers.steering`: two workers in one process, without a reactor."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.transport.hello import Hello
from gateway.workers.channels import pass_on
from gateway.workers.steering import Steering
from gateway.workers.tickets import Tickets

PLACE = ("", 443, "")
NAMES = [bytes([number]) * 16 for number in range(4)]


class _TLS:
    """That of a port whose tickets have a name."""

    elsewhere: Any = None

    def __init__(self, name: bytes) -> None:
        self.name = name

    def ticket_name(self) -> bytes:
        return self.name


class _Port:
    def __init__(self) -> None:
        self.adopted: list[socket.socket] = []
        self.broken = False

    def adopt(self, sock: socket.socket) -> None:
        if self.broken:
            raise ZeroDivisionError("this port does not work")
        self.adopted.append(sock)


class _Ports:
    """One port, and later others."""

    def __init__(self, name: bytes) -> None:
        self.tls, self.port = _TLS(name), _Port()
        self.all: dict[Any, Any] = {PLACE: (self.tls, self.port)}

    def secured(self) -> Any:
        return self.all


class _Reactor:
    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class SteeringTests(SynchronousTestCase):
    """Worker 1 is reached by clients with tickets of worker 2."""

    def setUp(self) -> None:
        self.tickets = Tickets(2)
        self.addCleanup(self.tickets.close)
        self.reactor = _Reactor()
        self.ports = [_Ports(NAMES[1]), _Ports(NAMES[2])]
        self.one, self.two = self.made(1), self.made(2)
        for each in (self.one, self.two):
            each.start()
        self.one.hear({"kind": "tickets", "others": [(NAMES[2].hex(), 2)]})
        self.two.hear({"kind": "tickets", "others": [(NAMES[1].hex(), 1)]})
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)

    def made(self, number: int) -> Steering:
        ports: Any = self.ports[number - 1]
        ends = [end.dup() for end in self.tickets.ends(number)]
        steering = Steering(number, ends, ports, self.reactor)
        self.addCleanup(steering.stop)
        return steering

    def goes(self, ticket: bytes) -> bool:
        """Whether worker 1 passes a connection on."""
        return bool(self.ports[0].tls.elsewhere(Hello(ticket=ticket), self.near))

    def adopted(self, number: int = 2) -> list[socket.socket]:
        found: list[socket.socket] = self.ports[number - 1].port.adopted
        for each in found:
            self.addCleanup(each.close)
        return found

    def test_interface(self) -> None:
        verifyObject(IReadDescriptor, self.one)
        self.assertEqual("steering", self.one.logPrefix())

    def test_names(self) -> None:
        self.assertEqual([NAMES[1].hex()], self.one.names())
        self.ports[0].tls.name = b""
        self.assertEqual([], self.one.names(), "a port without certificate")

    def test_passed_on(self) -> None:
        """To whose ticket it is, at the port that it came in at."""
        self.far.send(b"hello")
        self.assertTrue(self.goes(NAMES[2]))
        self.near.close()
        self.two.doRead()
        (sock,) = self.adopted()
        self.assertEqual(b"hello", sock.recv(100))
        self.assertEqual((1, 0), (self.one.passed_on, self.two.passed_on))
        self.assertIn("\ngateway_tls_passed_on_total{} 1\n", self.one.exposition())

    def test_kept(self) -> None:
        """Own tickets, those of nobody, and none."""
        self.assertEqual([False] * 3, [self.goes(ticket) for ticket in (NAMES[1], NAMES[3], b"")])
        self.two.doRead()
        self.assertEqual(([], 0), (self.adopted(), self.one.passed_on))

    def test_forgotten(self) -> None:
        """When nobody has names there is nothing to look at."""
        self.one.hear({"kind": "tickets", "others": [(NAMES[3].hex(), 2)]})
        self.assertEqual([False, True], [self.goes(NAMES[2]), self.goes(NAMES[3])])
        self.one.hear({"kind": "tickets", "others": []})
        self.assertIsNone(self.ports[0].tls.elsewhere)

    def test_full(self) -> None:
        """Who finds no room does it alone; it does not wait."""
        while self.goes(NAMES[2]):
            self.assertLess(self.one.passed_on, 100_000)
        passed_on = self.one.passed_on
        self.assertFalse(self.goes(NAMES[2]))
        self.two.doRead()
        self.assertEqual(64, len(self.adopted()), "others have their turn")
        self.assertTrue(self.goes(NAMES[2]))
        self.assertEqual(passed_on + 1, self.one.passed_on)

    def test_ports_change(self) -> None:
        """Nothing is passed on from a port that is gone, and what comes for it is closed."""
        self.assertTrue(self.goes(NAMES[2]))
        self.near.close()
        for ports in self.ports:
            other = ("", 444, "")
            ports.all = {other: (_TLS(NAMES[3]), _Port())}
        old = self.ports[0].tls
        self.one.look()
        self.assertIsNone(old.elsewhere)
        ((tls, _),) = self.ports[0].all.values()
        self.assertIsNotNone(tls.elsewhere)
        self.two.doRead()
        self.assertEqual(b"", self.far.recv(1))
        self.assertEqual([], self.adopted())

    def test_a_port_that_fails(self) -> None:
        """It costs that connection, and no other."""
        self.assertTrue(self.goes(NAMES[2]))
        self.near.close()
        self.ports[1].port.broken = True
        self.two.doRead()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(b"", self.far.recv(1))
        self.assertIn(self.two, self.reactor.readers)

    def test_no_descriptor_left(self) -> None:
        """What the kernel could not give is left out."""
        self.tickets.ends(1)[1].send(b'["", 443, ""]')
        pass_on(self.tickets.ends(1)[1], PLACE, self.near)
        self.two.doRead()
        self.assertEqual(1, len(self.adopted()))

    def test_a_successor(self) -> None:
        """It takes what waited; who has stopped takes nothing from it."""
        self.assertTrue(self.goes(NAMES[2]))
        self.two.stop()
        self.two.doRead()
        self.assertTrue(self.goes(NAMES[2]))
        successor = self.made(2)
        successor.start()
        successor.doRead()
        self.assertEqual(2, len(self.adopted()))

    def test_stopped(self) -> None:
        """It passes nothing on and takes nothing; when all have, what waits is cut."""
        elsewhere = self.ports[0].tls.elsewhere
        self.assertTrue(self.goes(NAMES[2]))
        self.near.close()
        self.one.stop()
        self.one.stop()
        self.assertIsNone(self.ports[0].tls.elsewhere)
        self.assertFalse(elsewhere(Hello(ticket=NAMES[2]), self.near), "a hello that had begun before")
        self.assertEqual(([self.two], None, -1), (self.reactor.readers, self.one.names(), self.one.fileno()))
        self.one.hear({"kind": "tickets", "others": [(NAMES[2].hex(), 2)]})
        self.assertIsNone(self.ports[0].tls.elsewhere)
        self.two.stop()
        self.tickets.close()
        self.assertEqual(b"", self.far.recv(1))

    def test_nobody_is_left(self) -> None:
        """Without a parent and others nothing will come any more."""
        self.one.stop()
        self.tickets.close()
        self.two.doRead()
        self.assertEqual([], self.reactor.readers)

    def test_alone(self) -> None:
        """Without channels nothing is looked at."""
        ports: Any = _Ports(NAMES[0])
        alone = Steering(1, [], ports, self.reactor)
        alone.start()
        alone.hear({"kind": "tickets", "others": [(NAMES[2].hex(), 2)]})
        self.assertEqual((None, None), (alone.names(), ports.tls.elsewhere))
        self.assertNotIn(alone, self.reactor.readers)
        alone.doRead()
        alone.stop()
