"""The factory behind a port: who is let in, and what a connection knows of its port."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from zope.interface.verify import verifyObject

from gateway.http.forwarded import TrustedProxies
from gateway.http.heads import HeadLimits
from gateway.interfaces import ISecureFactory
from gateway.listener.admission import Admission
from gateway.listener.factory import ListenerFactory
from gateway.testing.wires import Wire
from tests.dialogue import GET, OK, DialogueCase, Party


class ListenerFactoryTests(DialogueCase):
    """`ListenerFactory`."""

    def test_it_knows_who_is_connected_and_tells_who_has_gone(self) -> None:
        gateway = self.gateway()
        first, second = gateway.client(), gateway.client()
        self.assertEqual({first.wire.protocol, second.wire.protocol}, gateway.factory.connections)
        first.closes()
        self.assertEqual({second.wire.protocol}, gateway.factory.connections)
        self.assertEqual([first.wire.protocol], gateway.lost)

    def test_the_connection_that_is_told_of_is_no_longer_counted(self) -> None:
        """Who waits for the last connection to end counts when it is told."""
        counts: list[int] = []
        gateway = self.gateway()
        gateway.factory.lost = lambda connection: counts.append(len(gateway.factory.connections))
        client = gateway.client()
        client.resets()
        self.assertEqual([0], counts)
        gateway.lost.append(client.wire.protocol)

    def test_above_the_limit_clients_get_a_503(self) -> None:
        admission = Admission(lambda: len(gateway.factory.connections))
        admission.most = 2
        gateway = self.gateway(admission=admission)
        first, _ = gateway.client(), gateway.client()
        refused = gateway.client()
        refused.gets("HTTP/1.1 503 Service Unavailable", "Retry-After: 5", "Connection: close", "Content-Length: 0")
        refused.finds("half-closed")
        refused.sends(GET)
        refused.closes()
        refused.finds("closed")
        self.assertEqual(set(), gateway.factory.refused)
        self.assertEqual(2, len(gateway.factory.connections))
        stays = gateway.client()
        stays.gets("HTTP/1.1 503")
        gateway.advance(2.2)
        stays.finds("reset")
        first.closes()
        gateway.client().finds("open")
        self.assertEqual({"web": 2}, gateway.factory.troubles.refused)
        self.assertEqual([], gateway.recorder.outcomes)
        gateway.clients[:] = [client for client in gateway.clients if client not in (refused, stays)]

    def test_who_is_refused_is_limited_too(self) -> None:
        admission = Admission(lambda: 1)
        admission.most = admission.most_refused = 1
        gateway = self.gateway(admission=admission)
        refused = gateway.client()
        self.assertIsNone(gateway.factory.buildProtocol(None))
        refused.gets("HTTP/1.1 503")
        refused.closes()
        self.assertIsNotNone(gateway.factory.buildProtocol(None))
        gateway.clients.clear()

    def test_a_client_that_forgets_the_tls_is_told(self) -> None:
        for request, page in (
            (GET, True),
            (GET.replace(b"GET", b"HEAD"), False),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", True),
        ):
            gateway = self.gateway()
            factory = gateway.factory
            factory.tls, factory.scheme = True, "https"
            wire = Wire(gateway.turn, ("203.0.113.7", 50000), ("10.0.0.254", 8443))
            wire.start(factory.plain.buildProtocol(None))
            client = Party(self, gateway.turn, wire, False)
            gateway.clients.append(client)
            client.sends(request)
            if page:
                self.assertIn(b"This port speaks HTTPS", wire.taken)
                client.gets_page(400, "Connection: close", "Date: <date>")
            else:
                client.gets("HTTP/1.1 400", "Connection: close", "Date: <date>")
            outcome = gateway.recorded("400 http_to_https_port")
            self.assertEqual("ERRORINFO_HTTP_TO_HTTPS_PORT", outcome.error.info)
            self.assertEqual(("http", "/", "203.0.113.7"), (outcome.scheme, outcome.head.target, outcome.peer.host))
            client.sends(GET)
            gateway.connections(0, 0)

    def test_failed_handshakes_are_counted(self) -> None:
        gateway = self.gateway()
        verifyObject(ISecureFactory, gateway.factory)
        peer = IPv4Address("TCP", "203.0.113.7", 50000)
        gateway.factory.handshake_failed(peer, TimeoutError("too long"))
        gateway.factory.handshake_failed(peer, ConnectionLost())
        self.assertEqual(
            {("web", "timeout"): 1, ("web", "closed_by_client"): 1}, gateway.factory.troubles.handshakes
        )

    def test_limits_of_heads_come_from_the_configuration(self) -> None:
        gateway = self.gateway(limits={"max_head_bytes": 2048, "max_fields": 9, "max_target_bytes": 300})
        self.assertEqual(HeadLimits(head=2048, fields=9, target=300), gateway.factory.head_limits)

    def test_a_tls_port_says_https_and_notes_what_was_agreed(self) -> None:
        gateway = self.gateway()
        factory = ListenerFactory("secure", 443, gateway.shared, TrustedProxies(), tls=True)
        wire = Wire(gateway.turn, ("2001:db8::7", 1234), ("2001:db8::1", 8443))
        wire.tls_version, wire.tls_cipher = "TLSv1.3", "TLS_AES_256_GCM_SHA384"  # type: ignore[attr-defined]
        factory.lost = lambda connection: None
        gateway.factory.listener = "web"
        connection = factory.buildProtocol(None)
        assert connection is not None
        connection.listener = "web"
        wire.start(connection)
        wire.arrive(GET)
        gateway.turn.run()
        gateway.backend(0).gets(
            "GET /", "X-Forwarded-For: [2001:db8::7]:1234", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"
        )
        gateway.backend(0).sends(OK)
        outcome = gateway.recorded("200 ok")
        self.assertEqual(
            ("https", 443, "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
            (outcome.scheme, outcome.local_port, outcome.tls_version, outcome.tls_cipher),
        )
        wire.arrive_end()
        gateway.turn.run()
