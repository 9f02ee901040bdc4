"""Both roads through the same conformance tests, over TCP and over TLS 1.2 and 1.3."""

from __future__ import annotations

import os
import socket
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost, TimeoutError
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from gateway.errors import BackendTLSFailed
from gateway.listener.handshakes import finding
from gateway.transport import VARIABLE, road, secure
from gateway.transport.pump_road import PumpRoad
from gateway.transport.sockets import Truncated
from gateway.transport.twisted_road import TwistedRoad
from tests.certificates import TestCA
from tests.transport.conformance import RoadConformance
from tests.transport.peers import CA, LEAF, HalfCloser, Recorder, SecureServing, Serving, client_tls, server_tls
from tests.transport.plain import PlainConformance


class OnPump:
    """Mixin: the pump."""

    def make_road(self, reactor: Any) -> Any:
        return PumpRoad(reactor, make_room=lambda: self.make_room())  # type: ignore[attr-defined]


class OnTwisted:
    """Mixin: Twisted's transports."""

    def make_road(self, reactor: Any) -> Any:
        return TwistedRoad(reactor, make_room=lambda: self.make_room())  # type: ignore[attr-defined]


class PumpTests(OnPump, PlainConformance, TestCase):
    """TCP on the pump."""


class TwistedTests(OnTwisted, PlainConformance, TestCase):
    """TCP on Twisted's transports."""


class TLSConformance(RoadConformance):
    """What TLS adds."""

    version: int | None = None
    expected = "TLSv1.3"

    def setUp(self) -> None:
        super().setUp()
        self.server_tls = server_tls(alpn=[b"http/1.1"])
        self.client_tls = client_tls(version=self.version, alpn=[b"http/1.1"])

    async def test_http_on_the_tls_port(self) -> None:
        serving = SecureServing()
        port = await self.listen(serving)
        raw = await _raw(self, port.getHost().port)
        self.ends.append(raw)
        raw.transport.write(b"GET / HTTP/1.1\r\n")
        plain = await serving.plain.next()
        await plain.received(16)
        raw.transport.write(b"Host: x\r\n\r\n")
        self.assertEqual(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", await plain.received(27))
        self.assertEqual(raw.transport.getHost().port, plain.transport.getPeer().port)
        self.assertEqual("", plain.transport.tls_version)
        plain.transport.write(b"not here")
        plain.transport.loseConnection()
        await raw.received(8)
        raw.transport.loseConnection()
        await plain.lost
        self.assertEqual(([], []), (serving.built, serving.failures))

    async def test_http_on_the_tls_port_where_nobody_wants_it(self) -> None:
        serving = SecureServing(lambda: None)
        port = await self.listen(serving)
        raw = await _raw(self, port.getHost().port)
        raw.transport.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await raw.lost
        self.assertEqual(b"", raw.data)

    async def test_failed_handshakes_are_told(self) -> None:
        serving = SecureServing()
        port = await self.listen(serving)
        for sent in (b"", b"\x16\x03\x01", b"\x16" * 100):
            raw = await _raw(self, port.getHost().port)
            if sent:
                raw.transport.write(sent)
            if len(sent) < 100:
                raw.transport.loseConnection()
            await raw.lost
            while not serving.failures:
                await self.turns()
            ((peer, error),) = serving.failures
            serving.failures.clear()
            self.assertEqual("127.0.0.1", peer.host)
            self.assertEqual("closed_by_client" if len(sent) < 100 else "not_tls", finding(error).reason)
        self.assertEqual([], serving.built)

    async def test_too_many_handshakes(self) -> None:
        """The oldest makes room for another; where there is none, nothing is even begun."""
        serving = SecureServing()
        serving.most = 2
        port = await self.listen(serving)
        number = port.getHost().port
        silent = [await _raw(self, number)]
        for _ in range(2):
            await self.turns(0.01)
            silent.append(await _raw(self, number))
        await silent[0].lost
        while not serving.failures:
            await self.turns()
        ((peer, error),) = serving.failures
        self.assertEqual("127.0.0.1", peer.host)
        self.assertEqual("too_many", finding(error).reason)
        self.assertEqual([None, None], [each.reason for each in silent[1:]])
        mine = await self.road.client("127.0.0.1", number, self.client_tls).connect(Serving())
        theirs = await serving.next()
        self.ends += [mine, theirs]
        await silent[1].lost
        silent[2].transport.loseConnection()
        await silent[2].lost
        while len(serving.failures) < 3:
            await self.turns()
        serving.most = 0
        await (await _raw(self, number)).lost
        self.assertEqual(
            ["too_many", "too_many", "closed_by_client", "too_many"],
            [finding(error).reason for _, error in serving.failures],
        )
        self.assertEqual(1, len(serving.built))

    async def test_what_was_agreed(self) -> None:
        mine, theirs = await self.pair()
        for end in (mine, theirs):
            self.assertEqual(self.expected, end.transport.tls_version)
            self.assertIn("AES", end.transport.tls_cipher.upper() + "AES" * ("CHACHA" in end.transport.tls_cipher))
            self.assertEqual(b"http/1.1", end.transport.negotiatedProtocol)
        self.assertEqual(LEAF.cert, mine.transport.getPeerCertificate().to_cryptography())
        self.assertIsNone(theirs.transport.getPeerCertificate())

    async def test_no_alpn(self) -> None:
        self.client_tls = client_tls(version=self.version)
        mine, theirs = await self.pair()
        self.assertIsNone(mine.transport.negotiatedProtocol)
        self.assertIsNone(theirs.transport.negotiatedProtocol)

    async def refused(self, tls: Any, serving: Serving) -> BackendTLSFailed:
        port = await self.listen(serving)
        calling = Serving()
        error = await self.assertFailure(
            self.road.client("127.0.0.1", port.getHost().port, tls).connect(calling), BackendTLSFailed
        )
        self.assertEqual([], calling.built)
        self.assertEqual(0, calling.running)
        await self.turns(0.01)
        for built in serving.built:  # TLS 1.3: the server is through before the client says no
            if built.reason is None:
                await built.lost
        return error

    async def test_untrusted_certificate(self) -> None:
        error = await self.refused(client_tls(TestCA("Another"), self.version), Serving())
        self.assertTrue(str(error))

    async def test_verification_refuses(self) -> None:
        def refuse(connection: SSL.Connection) -> None:
            raise ValueError(f"not you, {connection.get_servername()!r}")

        error = await self.refused(client_tls(CA, self.version, verify=refuse), Serving())
        self.assertIn("not you", str(error))

    async def test_verification_accepts(self) -> None:
        seen: list[Any] = []
        self.client_tls = client_tls(CA, self.version, verify=seen.append)
        await self.pair()
        self.assertEqual(1, len(seen))

    async def test_server_does_not_speak_tls(self) -> None:
        class Plain(Recorder):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.transport.loseConnection()

        self.server_tls = None
        error = await self.refused(self.client_tls, Serving(Plain))
        self.assertIn("does not speak TLS", str(error))

    async def test_server_closes_during_the_handshake(self) -> None:
        class Leaving(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.loseConnection()

        self.server_tls = None
        error = await self.refused(self.client_tls, Serving(Leaving))
        self.assertTrue(str(error))

    async def test_silent_server_times_out(self) -> None:
        self.server_tls = None
        serving = Serving()
        port = await self.listen(serving)
        endpoint = self.road.client("127.0.0.1", port.getHost().port, self.client_tls, timeout=0.1)
        await self.assertFailure(endpoint.connect(Serving()), TimeoutError)
        await serving.built[0].lost

    async def test_cancel_during_the_handshake(self) -> None:
        self.server_tls = None
        serving = Serving()
        port = await self.listen(serving)
        connecting = self.road.client("127.0.0.1", port.getHost().port, self.client_tls).connect(Serving())
        theirs = await serving.next()
        await theirs.received(1)
        connecting.cancel()
        await self.assertFailure(connecting, Exception)
        await theirs.lost

    async def test_truncation(self) -> None:
        """An end without close_notify is noticed."""
        serving = Serving()
        port = await self.listen(serving)
        raw = await _raw(self, port.getHost().port)
        connection = SSL.Connection(self.client_tls.context, None)
        connection.set_connect_state()
        while True:
            try:
                connection.do_handshake()
                break
            except SSL.WantReadError:
                seen = raw.count
                raw.transport.write(connection.bio_read(65536))
                await raw.received(seen + 1)
                connection.bio_write(raw.data)
                raw.data = b""
        connection.send(b"half of it")
        raw.transport.write(connection.bio_read(65536))
        theirs = await serving.next()
        await theirs.received(10)
        await self.turns()
        connection.send(b" and no more")
        raw.transport.write(connection.bio_read(65536))
        raw.transport.loseConnection()
        self.assertIsInstance(await theirs.lost, Truncated)
        self.assertEqual(b"half of it and no more", theirs.data)
        await raw.lost

    async def test_reset_behind_data(self) -> None:
        """It is no truncation, whoever reads it."""
        mine, theirs = await self.pair()
        theirs.transport.pauseProducing()
        mine.transport.write(b"all that there is")
        await self.turns()
        mine.transport.abortConnection()
        await mine.lost
        theirs.transport.resumeProducing()
        self.assertNotIsInstance(await theirs.lost, Truncated)
        self.assertIsInstance(theirs.reason, ConnectionLost)

    async def test_given_up_in_a_pause_behind_a_reset(self) -> None:
        """Whoever has paused for good is told of the end all the same, and of nothing before it."""

        class Pausing(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()

        for way in ("abortConnection", "loseConnection", "stopProducing"):
            mine, theirs = await self.pair(server=Pausing)
            for record in (b"read", b"held"):
                mine.transport.write(record)
            await theirs.received(4)
            await self.turns(0.01)
            mine.transport.abortConnection()
            await mine.lost
            for _ in range(3):
                theirs.transport.write(b"who is not there")  # so that a road that does not read has it from the kernel
                await self.turns(0.01)
            read = theirs.data
            theirs.call(way)
            await theirs.lost
            await self.turns(0.01)
            self.assertEqual((read, False), (theirs.data, theirs.reentered))

    async def test_truncate(self) -> None:
        """All that was written, and no close_notify."""
        mine, theirs = await self.pair(server=HalfCloser, client=HalfCloser)
        theirs.transport.pauseProducing()
        payload = b"0123456789" * 900_000
        mine.transport.write(payload)
        mine.call("truncateConnection")
        self.assertFalse(mine.reentered)
        mine.transport.write(b"too late")
        await self.turns()
        theirs.transport.resumeProducing()
        self.assertIsInstance(await theirs.lost, Truncated)
        self.assertIsInstance(await mine.lost, ConnectionDone)
        self.assertTrue(theirs.data == payload)

    async def test_half_close(self) -> None:
        """close_notify closes one direction (RFC 8446 §6.1)."""
        for by_server in (False, True):
            await self.answered(*await self.half_closed(by_server))

    async def test_half_close_with_the_end_of_tcp(self) -> None:
        """Most who send close_notify close their direction of TCP as well, or all of it."""
        for sides in (False, True):
            mine, theirs = (await self.pair(server=HalfCloser, client=HalfCloser))[:: -1 if sides else 1]
            mine.transport.loseWriteConnection()
            await self.turns(0.01)
            (mine.transport._sock if self.road.name == "pump" else mine.transport._socket()).shutdown(socket.SHUT_WR)
            await theirs.read_lost
            await self.turns(0.01)
            await self.answered(mine, theirs)

    async def test_half_close_while_paused(self) -> None:
        """The end is told behind what came before it, when reading goes on."""
        mine, theirs = await self.pair(server=HalfCloser, client=HalfCloser)
        theirs.transport.pauseProducing()
        mine.transport.write(b"x" * 100_000)
        mine.transport.loseWriteConnection()
        await self.turns(0.01)
        self.assertNotIn("read lost", theirs.events)
        theirs.transport.resumeProducing()
        await theirs.read_lost
        self.assertEqual(100_000, theirs.count)

    async def test_both_halves_closed_is_the_end(self) -> None:
        mine, theirs = await self.pair(server=HalfCloser, client=HalfCloser)
        mine.transport.loseWriteConnection()
        await theirs.read_lost
        theirs.transport.loseWriteConnection()
        for end in (mine, theirs):
            self.assertIsInstance(await end.lost, ConnectionDone)

    async def test_end_without_half_close_ends_the_connection(self) -> None:
        mine, theirs = await self.pair(client=HalfCloser)
        mine.transport.loseWriteConnection()
        self.assertIsInstance(await theirs.lost, ConnectionDone)
        await mine.lost


async def _raw(case: Any, number: int) -> Recorder:
    raw = await case.road.client("127.0.0.1", number).connect(Serving())
    case.ends.append(raw)
    return raw


class PumpTLSTests(OnPump, TLSConformance, TestCase):
    """TLS 1.3 on the pump."""

    async def test_is_a_tls_transport(self) -> None:
        mine, theirs = await self.pair()
        verifyObject(ISSLTransport, mine.transport)
        verifyObject(ISSLTransport, theirs.transport)

    async def test_garbage_on_the_tls_port(self) -> None:
        serving = Serving()
        port = await self.listen(serving)
        raw = await _raw(self, port.getHost().port)
        raw.transport.write(b"\x00" * 100)
        await raw.lost
        self.assertEqual([], serving.built)

    async def test_handshake_deadline(self) -> None:
        from twisted.internet.task import Clock

        from gateway.transport.greetings import Greetings
        from gateway.transport.ports import Port
        from gateway.transport.pump_greeting import server_welcome

        clock = Clock()
        port = Port(
            self.road.pump, self.reactor, "127.0.0.1", 0, Serving(), 5,
            server_welcome(self.server_tls, self.road.pump, clock, Greetings(clock), timeout=10.0),
        )  # fmt: skip
        port.startListening()
        self.addCleanup(port.stopListening)
        raw = await _raw(self, port.getHost().port)
        while not clock.getDelayedCalls():
            await self.turns()
        clock.advance(9.9)
        await self.turns(0.01)
        self.assertIsNone(raw.reason)
        clock.advance(0.2)
        await raw.lost

    async def test_sni_lookup_fails(self) -> None:
        """Twisted's SNI callback aborts the connection through the connection's application data."""

        def lookup(name: bytes | None) -> Any:
            raise ZeroDivisionError("from the look-up")

        self.server_tls = server_tls(contextForServerName=lookup)
        await self.refused(self.client_tls, Serving())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    async def test_context_cannot_be_made(self) -> None:
        class Broken:
            def getContext(self) -> SSL.Context:
                raise ZeroDivisionError("no context")

        self.server_tls = Broken()
        await self.refused(self.client_tls, Serving())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class PumpTLS12Tests(OnPump, TLSConformance, TestCase):
    """TLS 1.2 on the pump."""

    version = SSL.TLS1_2_VERSION
    expected = "TLSv1.2"


class PumpDetachedTests(OnPump, TLSConformance, TestCase):
    """TLS on the native pump, where OpenSSL's functions were not found."""

    def setUp(self) -> None:
        self.patch(secure, "attach", lambda transport, connection: None)
        super().setUp()


class TwistedTLSTests(OnTwisted, TLSConformance, TestCase):
    """TLS 1.3 on Twisted's transports."""


class ChoiceTests(SynchronousTestCase):
    """Which road is taken."""

    def choose(self, name: str = "auto", variable: str | None = None) -> str:
        from twisted.internet import reactor

        if variable is not None:
            self.patch(os, "environ", {VARIABLE: variable})
        return road(reactor, name).name

    def test_by_name(self) -> None:
        self.assertEqual("pump", self.choose("pump"))
        self.assertEqual("twisted", self.choose("twisted"))
        self.assertRaises(ValueError, self.choose, "tram")

    def test_automatic(self) -> None:
        self.assertEqual("pump", self.choose(variable=""))

    def test_environment(self) -> None:
        self.assertEqual("twisted", self.choose(variable="twisted"))
        self.assertEqual("pump", self.choose("pump", variable="twisted"))

    def test_reactor_without_descriptors(self) -> None:
        self.assertEqual("twisted", road(Clock()).name)

    def test_protocols_are_plain_twisted(self) -> None:
        self.assertTrue(issubclass(Recorder, Protocol))
