"""Words and sentences for handshakes that fail, from what OpenSSL says here."""

from __future__ import annotations

import errno

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.listener.certificates import load
from gateway.listener.handshakes import finding
from gateway.listener.tls import ServerTLS
from tests.certificates import TestCA

CA = TestCA()


def failure(client: SSL.Context) -> Exception:
    """How a listener's handshake with such a client fails."""
    named = model.Certificate.model_validate(CA.issue(names=["a.example"]).certificate("a"))
    listener = model.HttpListener(name="web", port=443, protocol="Https", certificates=("a",))
    context = ServerTLS([listener], {"a": load(named)}).getContext()
    ends = SSL.Connection(context, None), SSL.Connection(client, None)
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    for _ in range(10):
        for mine, other in (ends[::-1], ends):
            try:
                mine.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                if mine is ends[0]:
                    return error
            try:
                other.bio_write(mine.bio_read(65536))
            except SSL.WantReadError:
                pass
    raise AssertionError("the handshake does not fail")


class FindingTests(SynchronousTestCase):
    """`finding`."""

    def test_old_client(self) -> None:
        client = SSL.Context(SSL.TLS_METHOD)
        client.set_cipher_list(b"ALL:@SECLEVEL=0")
        client.set_min_proto_version(SSL.TLS1_VERSION)
        client.set_max_proto_version(SSL.TLS1_1_VERSION)
        self.assertEqual("protocol_version", finding(failure(client)).reason)

    def test_no_common_cipher(self) -> None:
        client = SSL.Context(SSL.TLS_METHOD)
        client.set_max_proto_version(SSL.TLS1_2_VERSION)
        client.set_cipher_list(b"AES256-SHA")
        self.assertEqual("no_common_cipher", finding(failure(client)).reason)

    def test_no_common_protocol(self) -> None:
        client = SSL.Context(SSL.TLS_METHOD)
        client.set_alpn_protos([b"h2"])
        self.assertEqual("no_common_protocol", finding(failure(client)).reason)

    def test_client_that_does_not_trust(self) -> None:
        client = SSL.Context(SSL.TLS_METHOD)
        client.set_max_proto_version(SSL.TLS1_2_VERSION)
        client.set_verify(SSL.VERIFY_PEER)
        self.assertEqual("certificate_refused", finding(failure(client)).reason)

    def test_ends(self) -> None:
        eof = SSL.SysCallError(-1, "Unexpected EOF")
        broken = [SSL.SysCallError(number, errno.errorcode[number]) for number in (errno.ECONNRESET, errno.EPIPE)]
        for error in (ConnectionDone(), ConnectionLost(), SSL.ZeroReturnError(), eof, *broken):
            self.assertEqual("closed_by_client", finding(error).reason, error)
        self.assertEqual(("timeout", "too late"), finding(TimeoutError("too late")))

    def test_certificates_of_clients(self) -> None:
        for said, reason in (
            ("peer did not return a certificate", "no_client_certificate"),
            ("certificate verify failed", "client_certificate_refused"),
        ):
            self.assertEqual(reason, finding(SSL.Error([("SSL routines", "", said)])).reason)

    def test_unforeseen(self) -> None:
        self.assertEqual(("other", "made up"), finding(SSL.Error([("SSL routines", "", "made up")])))
        self.assertEqual(("other", "ValueError"), finding(ValueError()))
        self.assertEqual(("other", "KeyboardInterrupt"), finding(KeyboardInterrupt()))
