"""`gateway.discovery.resolver`, with a name server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import udp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import Resolver
from gateway.discovery.lookup import ResolvConf
from gateway.discovery.resolver import NameServers
from gateway.transport.names import IFinding
from tests.discovery.test_lookup import NameServer

CUT = DNSServerError(dns.Message())


@implementer(IFinding)
class Finding:
    """Waits for what is found; ``done`` fires with the addresses."""

    seconds: float | None = None

    def __init__(self) -> None:
        self.began = 0
        self.found: list[Any] = []
        self.done: Deferred[list[Any]] = Deferred()
        self.resolution: Any = None

    def resolutionBegan(self, resolution: Any) -> None:
        self.began += 1
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self.found.append(address)

    def resolutionComplete(self) -> None:
        self.done.callback(self.found)


class System:
    """The system's resolver: it knows one address for everything."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, kinds: Any = None, how: str = "TCP") -> Any:
        self.asked.append(name)
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", "192.0.2.99", port))
        receiver.resolutionComplete()
        return self


class Reactor:
    """The reactor, with another resolver for the system's."""

    def __init__(self) -> None:
        from twisted.internet import reactor
        from zope.interface import directlyProvides, providedBy

        self.nameResolver = System()
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class NameServersTests(TestCase):
    """Whom it asks, and what it says."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.hosts = Path(self.mktemp())
        self.hosts.write_text("127.0.0.1 localhost\n192.0.2.7 listed.test other\n", "ascii")

    def server(self) -> tuple[NameServer, str]:
        made = NameServer()
        where = made.listen(self.reactor)
        self.addCleanup(made.stop)
        return made, where

    def of(self, *own: str, system: Any = (), ndots: int = 1, **options: Any) -> NameServers:
        conf = ResolvConf([(where.partition(":")[0], int(where.partition(":")[2])) for where in system], ndots)
        found = NameServers(
            Resolver(nameservers=own, **options), self.reactor, str(self.hosts), lambda: conf
        )
        verifyObject(IHostnameResolver, found)
        return found

    async def ask(self, names: NameServers, host: str = "chat.test", port: int = 80) -> tuple[list[str], Any]:
        finding = Finding()
        names.resolveHostName(finding, host, port)
        found = await finding.done
        self.assertEqual(finding.began, 1)
        self.assertEqual({address.port for address in found} - {port}, set())
        return [address.host for address in found], finding.seconds

    async def test_ttl(self) -> None:
        """The shortest of the two kinds, within the bounds."""
        server, where = self.server()
        names = self.of(where, least_interval=2, most_interval=100)
        for ttls, wanted in (((60, 30), 30), ((0, 60), 2), ((3600, 3600), 100)):
            server.records = {
                dns.A: [dns.Record_A("127.0.0.1", ttls[0])], dns.AAAA: [dns.Record_AAAA("2001:db8::1", ttls[1])],
            }  # fmt: skip
            found, seconds = await self.ask(names)
            self.assertEqual((sorted(found), seconds), (["127.0.0.1", "2001:db8::1"], wanted))
        self.assertEqual(self.reactor.nameResolver.asked, [])

    async def test_no_way_to_it(self) -> None:
        """Addresses that this machine has a route to come first."""
        server, where = self.server()
        server.records = {
            dns.A: [dns.Record_A("127.0.0.1", 60)], dns.AAAA: [dns.Record_AAAA("fe80::1", 60)],
        }  # fmt: skip
        self.assertEqual((await self.ask(self.of(where)))[0], ["127.0.0.1", "fe80::1"])

    async def test_hosts_first(self) -> None:
        """They have no TTL; nobody is asked."""
        server, where = self.server()
        for host in ("listed.test", "LISTED.test.", "other"):
            self.assertEqual(await self.ask(self.of(where), host), (["192.0.2.7"], None))
        self.assertEqual(server.asked, [])

    async def test_invalid(self) -> None:
        server, where = self.server()
        self.assertEqual(await self.ask(self.of(system=[where]), "a.b.invalid"), ([], None))
        self.assertEqual((server.asked, self.reactor.nameResolver.asked), ([], []))

    async def test_system_servers(self) -> None:
        server, where = self.server()
        server.records = {dns.A: [dns.Record_A("192.0.2.1", 60)]}
        self.assertEqual(await self.ask(self.of(system=[where])), (["192.0.2.1"], 60))

    async def test_search_domains(self) -> None:
        """Names with fewer dots than ``ndots`` are the system's; a dot at the end says that it is a whole name."""
        server, where = self.server()
        server.records = {dns.A: [dns.Record_A("192.0.2.1", 60)]}
        names = self.of(system=[where], ndots=2)
        self.assertEqual(await self.ask(names, "chat"), (["192.0.2.99"], None))
        self.assertEqual(await self.ask(names, "chat.test"), (["192.0.2.99"], None))
        self.assertEqual(server.asked, [])
        self.assertEqual(await self.ask(names, "chat.test."), (["192.0.2.1"], 60))
        self.assertEqual(await self.ask(names, "a.chat.test"), (["192.0.2.1"], 60))

    async def test_not_found(self) -> None:
        """The system may still know, but not where there are name servers of one's own."""
        server, where = self.server()
        for fault in (DNSNameError(dns.Message()), CUT, []):
            server.records = {dns.A: fault, dns.AAAA: fault}
            self.assertEqual(await self.ask(self.of(system=[where])), (["192.0.2.99"], None))
            self.assertEqual(await self.ask(self.of(where)), ([], None))

    async def test_one_family_fails(self) -> None:
        server, where = self.server()
        server.records = {dns.A: [dns.Record_A("192.0.2.1", 60)], dns.AAAA: CUT}
        self.assertEqual(await self.ask(self.of(system=[where])), (["192.0.2.1"], 60))

    async def test_one_family_silent(self) -> None:
        """It is not waited for."""
        server, where = self.server()
        server.records = {dns.A: [dns.Record_A("192.0.2.1", 60)], dns.AAAA: Deferred()}
        self.assertEqual(await self.ask(self.of(system=[where], timeout=30)), (["192.0.2.1"], 60))

    async def test_silence(self) -> None:
        """The system is asked then, and for a while without asking those before."""
        server, where = self.server()
        server.records = {dns.A: Deferred(), dns.AAAA: Deferred()}
        names = self.of(system=[where], timeout=0.1)
        self.assertEqual(await self.ask(names), (["192.0.2.99"], None))
        asked = len(server.asked)
        self.assertEqual(await self.ask(names), (["192.0.2.99"], None))
        self.assertEqual(len(server.asked), asked)
        self.assertEqual(await self.ask(self.of(where, timeout=0.1)), ([], None))

    async def test_not_reachable(self) -> None:
        """A server that there is no way to is one that is silent, but at once; the next one is asked."""
        server, where = self.server()
        server.records = {dns.A: [dns.Record_A("192.0.2.1", 60)]}
        self.assertEqual(await self.ask(self.of("255.255.255.255", where, timeout=30)), (["192.0.2.1"], 60))
        self.assertEqual(await self.ask(self.of("255.255.255.255", timeout=30)), ([], None))
        ports = [reader for reader in self.reactor.getReaders() if isinstance(reader, udp.Port)]
        self.assertEqual(len(ports), 1, "no port is left open but that of the server")

    async def test_no_servers(self) -> None:
        self.assertEqual(await self.ask(self.of()), (["192.0.2.99"], None))

    async def test_no_name(self) -> None:
        """What cannot be written as a question is the system's matter."""
        self.assertEqual(await self.ask(self.of(system=["127.0.0.1:9"]), "ä" * 70 + ".test"), (["192.0.2.99"], None))
        self.assertEqual(await self.ask(self.of("127.0.0.1:9"), "ä" * 70 + ".test"), ([], None))

    def test_cancelled(self) -> None:
        server, where = self.server()
        finding = Finding()
        self.of(where).resolveHostName(finding, "chat.test", 80)
        finding.resolution.cancel()
        self.assertNoResult(finding.done)

    def test_kinds(self) -> None:
        """Only of those that are wanted."""
        finding = Finding()
        self.hosts.write_text("192.0.2.7 listed.test\n2001:db8::7 listed.test\n", "ascii")
        self.of().resolveHostName(finding, "listed.test", 80, [IPv6Address])
        self.assertEqual(self.successResultOf(finding.done), [IPv6Address("TCP", "2001:db8::7", 80)])
