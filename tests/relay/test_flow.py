"""Backpressure: who does not take bytes holds the leg that feeds it, and nobody stays held."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.relay.flow import BUSY, CONNECTING, FEEDING, FlowProtocol
from gateway.testing.wires import Turn, Wire
from tests.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING, Dialogue, DialogueCase, Party, frame

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
UPLOAD = POST[:-5].replace(b": 5", b": 100")
MOVED = b"GET /moved/a HTTP/1.1\r\nHost: example.com\r\n\r\n"


class Leg(FlowProtocol):
    """One leg. ``source`` feeds it."""

    source: FlowProtocol | None = None

    def feeder(self) -> FlowProtocol | None:
        """See `FlowProtocol`."""
        return self.source


class FlowProtocolTests(SynchronousTestCase):
    """`FlowProtocol` alone."""

    def setUp(self) -> None:
        self.turn = Turn()
        self.legs = [self.leg(), self.leg()]
        self.legs[1].source = self.legs[0]

    def leg(self) -> Any:
        leg = Leg()
        Wire(self.turn, ("192.0.2.1", 1), ("192.0.2.2", 2)).start(leg)
        return leg

    def test_it_is_what_transports_expect(self) -> None:
        verifyObject(IPushProducer, self.legs[0])
        verifyObject(IHalfCloseableProtocol, self.legs[0])

    def test_reading_goes_on_when_the_last_reason_is_gone(self) -> None:
        leg = self.legs[0]
        for reason in (BUSY, CONNECTING, FEEDING):
            leg.hold(reason)
            leg.hold(reason)
        for reason in (CONNECTING, BUSY, BUSY):
            leg.let(reason)
            self.assertTrue(leg.transport.paused)
        leg.let(FEEDING)
        self.assertFalse(leg.transport.paused)

    def test_what_was_not_held_is_not_let(self) -> None:
        self.legs[0].let(BUSY)
        self.assertEqual(0, self.legs[0].held)

    def test_a_full_queue_holds_the_feeder_until_it_has_drained(self) -> None:
        source, target = self.legs
        target.transport.stalled = True
        target.transport.write(b"a" * 10)
        self.assertEqual((True, FEEDING, True), (target.stuck, source.held, source.transport.paused))
        target.transport.take(9)
        self.assertTrue(source.transport.paused)
        target.transport.take()
        self.assertEqual((False, 0, False), (target.stuck, source.held, source.transport.paused))

    def test_a_leg_that_nobody_feeds_holds_nobody(self) -> None:
        source = self.legs[0]
        source.transport.stalled = True
        source.transport.write(b"a")
        source.transport.take()
        self.assertFalse(source.stuck)

    def test_a_lost_leg_is_left_alone(self) -> None:
        leg = self.legs[0]
        leg.lost = True
        leg.transport = None
        leg.hold(BUSY)
        leg.let(BUSY)
        self.assertEqual(0, leg.held)

    def test_unexpected_bytes_and_half_closes_end_nothing_by_themselves(self) -> None:
        leg = self.legs[0]
        leg.dataReceived(b"a")
        leg.writeConnectionLost()
        leg.stopProducing()
        self.assertTrue(leg.transport.connected)
        leg.readConnectionLost()
        self.assertFalse(leg.transport.connected)


class ResponseTests(DialogueCase):
    """A client that does not read its response."""

    def begins(self, response: bytes = LONG, backends: int = 1) -> tuple[Dialogue, Party, Party]:
        gateway = self.gateway(backends)
        client = gateway.client()
        client.sends(GET)
        backend = gateway.backend(0)
        backend.gets("GET")
        backend.sends(response)
        client.gets("HTTP/1.1 200 OK")
        return gateway, client, backend

    def test_it_holds_the_backend_and_lets_it_go_on(self) -> None:
        gateway, client, backend = self.begins()
        client.stalls()
        backend.sends(b"a" * 10)
        backend.is_held()
        client.is_read()
        backend.sends(b"b" * 10)
        self.assertEqual(10, client.wire.queued)
        client.takes()
        backend.is_read()
        client.gets(b"a" * 10 + b"b" * 10)
        backend.sends(b"c" * 80)
        client.gets(b"c" * 80)
        gateway.recorded("200 ok")

    def test_it_holds_the_backend_from_the_head_on(self) -> None:
        gateway = self.gateway(1)
        client = gateway.client()
        client.stalls()
        client.sends(GET)
        backend = gateway.backend(0)
        backend.gets("GET")
        backend.sends(LONG)
        backend.is_held()
        client.takes()
        client.gets("HTTP/1.1 200 OK")
        backend.is_read()
        backend.sends(b"c" * 100)
        client.gets(b"c" * 100)
        gateway.recorded("200 ok")

    def test_a_client_that_is_stuck_gets_no_further_responses(self) -> None:
        gateway = self.gateway(1)
        client = gateway.client()
        client.stalls()
        client.sends(GET * 3)
        backend = gateway.backend(0)
        backend.gets("GET")
        backend.sends(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        backend.sends(OK)
        backend.gets_nothing()
        client.takes()
        client.gets("HTTP/1.1 103")
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        for _ in range(2):
            backend.gets("GET")
            backend.sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok", "200 ok", "200 ok")

    def test_a_connection_is_not_held_when_its_exchange_is_over(self) -> None:
        """Whether the last bytes found the client stuck, or the exchange broke off."""
        gateway, client, backend = self.begins()
        client.stalls()
        backend.sends(b"a" * 100)
        backend.is_read()
        other = gateway.client()
        other.sends(GET)
        gateway.connections(1)
        backend.gets("GET")
        backend.sends(OK)
        other.gets("HTTP/1.1 200 OK", body=b"hello")
        client.takes()
        client.gets(b"a" * 100)
        gateway.recorded("200 ok", "200 ok")

    def test_a_stuck_client_does_not_hold_the_connection_it_used_before(self) -> None:
        gateway, client, backend = self.begins()
        backend.sends(b"a" * 100)
        client.gets(b"a" * 100)
        client.stalls()
        client.sends(MOVED)
        other = gateway.client()
        other.sends(GET)
        backend.gets("GET")
        backend.sends(LONG)
        backend.is_read()
        client.takes()
        client.gets_page(301)
        backend.sends(b"b" * 100)
        other.gets("HTTP/1.1 200 OK", body=b"b" * 100)
        gateway.recorded("200 ok", "301 redirect", "200 ok")


    def test_a_client_that_is_stuck_already_holds_its_response(self) -> None:
        gateway = self.gateway(1)
        client = gateway.client()
        client.sends(GET)
        backend = gateway.backend(0)
        backend.gets("GET")
        client.stalls()
        backend.sends(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        backend.is_read()
        backend.sends(LONG)
        backend.is_held()
        client.takes()
        client.gets("HTTP/1.1 103")
        client.gets("HTTP/1.1 200 OK")
        backend.is_read()
        backend.sends(b"a" * 100)
        client.gets(b"a" * 100)
        gateway.recorded("200 ok")

    def test_what_a_transport_had_read_before_it_was_held_is_not_lost(self) -> None:
        """TLS in memory may deliver a little after it was paused."""
        gateway, client, backend = self.begins()
        client.stalls()
        backend.sends(b"a" * 50)
        backend.is_held()
        gateway.run(backend.wire.protocol.dataReceived, b"b" * 50)
        backend.is_read()
        client.takes()
        client.gets(b"a" * 50 + b"b" * 50)
        gateway.recorded("200 ok")


class RequestTests(DialogueCase):
    """A backend that does not take its request."""

    def begins(self) -> tuple[Dialogue, Party, Party]:
        gateway = self.gateway(1)
        client = gateway.client()
        client.sends(UPLOAD)
        backend = gateway.backend(0)
        backend.gets("POST", "Content-Length: 100")
        return gateway, client, backend

    def test_it_holds_the_client_and_lets_it_go_on(self) -> None:
        gateway, client, backend = self.begins()
        backend.stalls()
        client.sends(b"a" * 10)
        client.is_held()
        backend.is_read()
        client.sends(b"b" * 10)
        self.assertEqual(10, backend.wire.queued)
        backend.takes()
        client.is_read()
        backend.gets(b"a" * 10 + b"b" * 10)
        client.sends(b"c" * 80)
        backend.gets(b"c" * 80)
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_the_next_request_is_read_although_the_last_is_not_sent_completely(self) -> None:
        """A backend may answer before it has taken everything that the gateway has."""
        for behind, causes in ((b"", ["200 ok"]), (MOVED, ["200 ok", "301 redirect"])):
            gateway, client, backend = self.begins()
            backend.stalls()
            client.sends(b"a" * 100 + behind)
            client.is_held()
            backend.sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            if behind:
                client.gets_page(301)
            client.is_read()
            gateway.recorded(*causes)

    def test_a_connection_that_is_stuck_is_not_used_again(self) -> None:
        """It may never take the rest; idle, it could not even be closed, for closing waits for the queue."""
        gateway, client, backend = self.begins()
        backend.stalls()
        client.sends(b"a" * 100)
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        backend.finds("reset")
        client.is_read()
        other = gateway.client()
        other.sends(GET)
        gateway.connections(2)
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(OK)
        other.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok", "200 ok")

    def test_an_early_refusal_lets_the_client_go_on(self) -> None:
        gateway, client, backend = self.begins()
        backend.stalls()
        client.sends(b"a" * 10)
        client.is_held()
        backend.sends(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        client.gets("HTTP/1.1 413", "Connection: close")
        client.is_read()
        client.half_closes()
        client.finds("closed")
        gateway.recorded("413 ok")


class TunnelTests(DialogueCase):
    """Both ways at once, after a 101."""

    def test_each_side_holds_the_other(self) -> None:
        gateway = self.gateway(1)
        client, backend = gateway.opens_websocket()
        inbound, outbound = frame(2, b"a" * 50, mask=True), frame(2, b"b" * 50)
        client.stalls()
        backend.stalls()
        client.sends(inbound)
        backend.sends(outbound)
        client.is_held()
        backend.is_held()
        client.takes()
        client.gets(outbound)
        backend.is_read()
        client.is_held()
        backend.takes()
        backend.gets(inbound)
        client.is_read()
        client.sends(frame(8, b"", mask=True))
        backend.gets(frame(8, b"", mask=True))
        backend.sends(frame(8))
        client.gets(frame(8))
        gateway.recorded("101 ok")

    def test_what_was_stuck_before_the_101_is_still_known(self) -> None:
        gateway = self.gateway(1)
        client = gateway.client()
        client.sends(GET)
        backend = gateway.backend(0)
        backend.gets("GET")
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")
        backend.stalls()
        client.stalls()
        client.sends(HANDSHAKE)
        client.is_held()
        backend.sends(SWITCHING)
        client.is_held()
        backend.is_held()
        backend.takes()
        backend.gets("GET /chat")
        client.is_read()
        backend.is_held()
        client.takes()
        client.gets("HTTP/1.1 101")
        backend.is_read()
        client.closes()
        backend.gets_close(1001)
        backend.closes()
        gateway.recorded("101 client_gone")
