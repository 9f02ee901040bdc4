"""`gateway.transport.ticket_names`: contexts of OpenSSL's, and clients that come back."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.hello import Hello, read_hello
from gateway.transport.ticket_names import ticket_name
from tests.certificates import TestCA
from tests.handshakes import returning, server_context

VERSIONS = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION
LEAF = TestCA().issue(names=["a.example"])


def shown(server: SSL.Context, version: int) -> bytes:
    """What a client says that has been there before."""
    client = returning(server, version)
    try:
        client.do_handshake()
    except SSL.WantReadError:
        pass
    return (read_hello(client.bio_read(1 << 16)) or Hello()).ticket


class TicketNameTests(SynchronousTestCase):
    """`ticket_name`."""

    def test_what_clients_show(self) -> None:
        """The name is that in all tickets of the context, of whichever version."""
        server = server_context(LEAF)
        for least, most in ((VERSIONS[0], VERSIONS[0]), (VERSIONS[1], VERSIONS[1]), VERSIONS):
            name = ticket_name(server, least, most)
            self.assertEqual(16, len(name))
            self.assertEqual([name, name], [shown(server, version) for version in VERSIONS])

    def test_of_each_its_own(self) -> None:
        self.assertEqual(4, len({ticket_name(server_context(LEAF), *VERSIONS) for _ in range(4)}))

    def test_without_tickets(self) -> None:
        """In TLS 1.3 something is given all the same, which has no name."""
        server = server_context(LEAF)
        server.set_options(SSL.OP_NO_TICKET)
        self.assertEqual([b"", b""], [ticket_name(server, version, version) for version in VERSIONS])

    def test_no_handshake(self) -> None:
        """No certificate, or no version in common."""
        self.assertEqual(b"", ticket_name(SSL.Context(SSL.TLS_METHOD), *VERSIONS))
        server = server_context(LEAF)
        server.set_min_proto_version(VERSIONS[1])
        self.assertEqual(b"", ticket_name(server, VERSIONS[0], VERSIONS[0]))
