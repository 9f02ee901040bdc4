"""The factory behind a port: who is let in, and what a connection knows of its port."""

from __future__ import annotations

from gateway.http.heads import HeadLimits
from gateway.listener.factory import ListenerFactory
from gateway.listener.forwarded import TrustedProxies
from gateway.listener.http1 import ClientConnection
from tests.dialogue import GET, OK, DialogueCase
from tests.wires import Wire


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

    def test_above_the_limit_nobody_gets_a_protocol(self) -> None:
        connections: set[ClientConnection] = set()
        gateway = self.gateway(admits=lambda: len(connections) < 2)
        connections = gateway.factory.connections
        first, _ = gateway.client(), gateway.client()
        self.assertIsNone(gateway.factory.buildProtocol(None))
        first.closes()
        gateway.client()
        self.assertIsNone(gateway.factory.buildProtocol(None))

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
