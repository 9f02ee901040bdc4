"""`gateway.discovery.lookup`, with a name server on loopback."""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import globalLogPublisher
from twisted.names import dns, server
from twisted.names.common import ResolverBase
from twisted.names.error import DNSNameError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gateway.discovery import lookup
from gateway.discovery.lookup import Lookup, nameserver, resolv_conf, system_servers

__all__ = ["NameServer"]


class _Datagrams(dns.DNSDatagramProtocol):
    """Cuts answers at 512 bytes, and says so (RFC 1035 §4.2.1)."""

    def writeMessage(self, message: dns.Message, address: tuple[str, int]) -> None:
        message.maxSize = 512
        super().writeMessage(message, address)


class NameServer(ResolverBase):
    """Answers with ``records`` by type, over UDP and TCP; with an exception for one that is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[int, Any] = {}
        self.asked: list[tuple[bytes, int]] = []
        self._ports: list[Any] = []

    def listen(self, reactor: Any) -> str:
        """Bind; return the address with its port."""
        factory = server.DNSServerFactory(clients=[self])
        factory.noisy = False
        tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        number = tcp.getHost().port
        self._ports = [tcp, reactor.listenUDP(number, _Datagrams(factory), interface="127.0.0.1")]
        return f"127.0.0.1:{number}"

    async def stop(self) -> None:
        """Be silent from now on."""
        ports, self._ports = self._ports, []
        for port in ports:
            await port.stopListening()

    def _lookup(self, name: bytes, cls: int, kind: int, timeout: Any) -> Deferred[Any]:
        self.asked.append((name, kind))
        records = self.records.get(kind, [])
        if isinstance(records, Exception):
            return fail(records)
        if isinstance(records, Deferred):
            return Deferred()  # not a word
        return succeed(([dns.RRHeader(name, kind, ttl=record.ttl, payload=record) for record in records], [], []))


class LookupTests(TestCase):
    """Questions."""

    async def server(self) -> tuple[NameServer, str]:
        from twisted.internet import reactor

        made = NameServer()
        where = made.listen(reactor)
        self.addCleanup(made.stop)
        return made, where

    def lookup(self, where: str, timeout: float = 5.0) -> Lookup:
        from twisted.internet import reactor

        return Lookup("chat.test", [where], timeout, reactor)

    async def test_kinds(self) -> None:
        made, where = await self.server()
        made.records = {
            dns.A: [dns.Record_A("192.0.2.1", 60)],
            dns.AAAA: [dns.Record_AAAA("2001:db8::1", 60)],
            dns.SRV: [dns.Record_SRV(0, 0, 80, b"a.test", 60)],
        }
        for kind, number in (("A", dns.A), ("AAAA", dns.AAAA), ("SRV", dns.SRV)):
            records = await self.lookup(where).ask(kind)
            self.assertEqual([(record.type, record.ttl) for record in records], [(number, 60)])
            self.assertEqual(made.asked[-1], (b"chat.test", number))

    async def test_quiet(self) -> None:
        """A question has no lines in the log, and leaves no socket behind."""
        made, where = await self.server()
        made.records = {dns.A: [dns.Record_A("192.0.2.1", 60)]}
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        left = []
        for _ in range(2):
            await self.lookup(where).ask("A")
            left.append(len(os.listdir("/dev/fd")))
        self.assertEqual(([], left[0]), (events, left[1]))

    async def test_no_descriptor(self) -> None:
        """That is what the question fails with."""

        def no_more(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(lookup.socket, "socket", no_more)
        with self.assertRaisesRegex(CannotListenError, "Too many open files"):
            await self.lookup("127.0.0.1:53").ask("A")

    async def test_long_answer(self) -> None:
        """What does not fit into a datagram is asked for over TCP, and that connection does not stay."""
        made, where = await self.server()
        made.records = {dns.A: [dns.Record_A(f"192.0.{number}.1", 60) for number in range(200)]}
        self.assertEqual(len(await self.lookup(where).ask("A")), 200)
        self.assertEqual(len(made.asked), 2)

    async def test_no_such_name(self) -> None:
        made, where = await self.server()
        made.records = {dns.A: DNSNameError(dns.Message())}
        with self.assertRaises(DNSNameError):
            await self.lookup(where).ask("A")

    async def test_silence(self) -> None:
        """The time limit is for the whole question."""
        from twisted.internet import reactor

        silent: Any = reactor
        port = silent.listenUDP(0, dns.DNSDatagramProtocol(_Deaf()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        with self.assertRaises(TimeoutError):
            await self.lookup(f"127.0.0.1:{port.getHost().port}", 0.2).ask("A")


class _Deaf:
    def messageReceived(self, *message: Any) -> None:
        """Not a word."""


class ServersTests(SynchronousTestCase):
    """Where to ask."""

    def test_nameserver(self) -> None:
        for text, wanted in (
            ("192.0.2.1", ("192.0.2.1", 53)),
            ("192.0.2.1:5353", ("192.0.2.1", 5353)),
            ("2001:db8::1", ("2001:db8::1", 53)),
            ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ):
            self.assertEqual(nameserver(text), wanted)
        for text in ("", "dns.test", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:99999", "[::1]:x", "192.0.2", "[::1"):
            self.assertRaises(ValueError, nameserver, text)

    def test_system(self) -> None:
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("# comment\nsearch a.test\nnameserver 192.0.2.1\nnameserver\nnameserver 2001:db8::1\n")
        self.assertEqual(system_servers(path), [("192.0.2.1", 53), ("2001:db8::1", 53)])
        self.assertEqual(resolv_conf(path).ndots, 1)
        with open(path, "a", encoding="utf-8") as stream:
            stream.write("options timeout:1 ndots:x ndots:5\n")
        self.assertEqual(resolv_conf(path).ndots, 5)
        self.assertEqual(resolv_conf(self.mktemp()), ((), 1))
        self.assertEqual(system_servers(self.mktemp()), [("127.0.0.1", 53)])
