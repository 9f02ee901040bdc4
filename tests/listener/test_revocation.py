"""Tests of `gateway.listener.revocation`: when authorities are asked, and what is remembered."""

from __future__ import annotations

import datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from gateway.errors import CertificateRefused
from gateway.fetching import Fetched, FetchFailed
from gateway.listener import revocation
from gateway.listener.revocation import RevocationGate, Revocations
from gateway.transport.tls import ClientCertificate
from gateway.values import Context, Outcome, Peer
from tests.certificates import TestCA, days
from tests.responder import Responder, named

CA = TestCA("Authority")
CLIENT = named(CA, "http://ocsp.test/")
UNKNOWN = "it is not known whether it was revoked"


class RevocationsTests(unittest.SynchronousTestCase):
    """`Revocations` over a responder that answers when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.start = days(0)
        self.responder = Responder(CA)
        self.responder.knows(CLIENT.cert)
        self.asked: list[tuple[str, bytes, Deferred[Fetched]]] = []
        self.revocations = Revocations(self.clock, self.clock.seconds, self.now, self.get)

    def now(self) -> datetime.datetime:
        return self.start + datetime.timedelta(seconds=self.clock.seconds())

    def get(self, reactor: Any, url: str, most: int, wanted: Any) -> Deferred[Fetched]:
        self.assertIs(self.clock, reactor)
        self.assertEqual((65536, "application/ocsp-request", ("application/ocsp-response",), 5.0),
                         (most, wanted.kind, wanted.kinds, wanted.seconds))  # fmt: skip
        answer: Deferred[Fetched] = Deferred()
        self.asked.append((url, wanted.body, answer))
        return answer

    def ask(self, certificate: Any = CLIENT.cert) -> Any:
        return self.revocations.reason(certificate, CA.cert)

    def answer(self) -> None:
        url, question, answer = self.asked[-1]
        self.assertEqual("http://ocsp.test/", url)
        answer.callback(Fetched("application/ocsp-response", self.responder.answer(question)))

    def no_answer(self) -> None:
        self.asked[-1][2].errback(FetchFailed("status 500"))

    def test_remembered(self) -> None:
        """Asked once until there is a newer answer."""
        waiting = [self.ask(), self.ask()]
        self.assertEqual(1, len(self.asked))
        self.answer()
        self.assertEqual(["", ""], [self.successResultOf(each) for each in waiting])
        self.assertEqual("", self.ask())
        self.clock.advance(86000)
        self.assertEqual("", self.ask())
        self.clock.advance(500)
        self.responder.status = "revoked"
        self.responder.this_update, self.responder.next_update = self.now(), self.now() + datetime.timedelta(days=1)
        again = self.ask()
        self.answer()
        self.assertEqual("it has been revoked", self.successResultOf(again))
        self.assertEqual("it has been revoked", self.ask())
        self.assertEqual(2, len(self.asked))

    def test_not_remembered(self) -> None:
        """An answer that does not say how long it is good is good for those that waited for it."""
        self.responder.next_update = None
        for _ in range(2):
            waiting = self.ask()
            self.answer()
            self.assertEqual("", self.successResultOf(waiting))
        self.assertEqual(2, len(self.asked))

    def test_failures(self) -> None:
        """What is not known counts as revoked, and is asked again ten seconds later."""
        waiting = self.ask()
        self.no_answer()
        self.assertEqual(UNKNOWN, self.successResultOf(waiting))
        self.clock.advance(9.9)
        self.assertEqual(UNKNOWN, self.ask())
        self.clock.advance(0.1)
        waiting = self.ask()
        self.answer()
        self.assertEqual("", self.successResultOf(waiting))
        other = CA.issue(common_name="names no responder")
        self.assertEqual(UNKNOWN, self.ask(other.cert))
        self.assertEqual(UNKNOWN, self.revocations.reason(named(CA, "http://x.test/").cert, None))

    def test_unforeseen(self) -> None:
        waiting = self.ask()
        self.asked[-1][2].errback(ZeroDivisionError("a fault"))
        self.assertEqual(UNKNOWN, self.successResultOf(waiting))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_who_leaves(self) -> None:
        """A client that leaves does not stop it for the others; stopping the gateway does."""
        first, second = self.ask(), self.ask()
        first.addErrback(lambda failure: None)
        first.cancel()
        self.answer()
        self.assertEqual("", self.successResultOf(second))
        other = named(CA, "http://ocsp.test/")
        waiting = self.ask(other.cert)
        self.revocations.close()
        self.assertEqual(UNKNOWN, self.successResultOf(waiting))

    def test_bounds(self) -> None:
        """So many at a time, and so many remembered; the oldest are forgotten."""
        self.patch(revocation, "_MOST_ASKED", 2)
        self.patch(revocation, "_MOST_ANSWERS", 2)
        clients = [named(CA, "http://ocsp.test/").cert for _ in range(3)]
        for client in clients:
            self.responder.knows(client)
        self.assertIsInstance(self.ask(clients[0]), Deferred)
        self.answer()
        self.assertIsInstance(self.ask(clients[1]), Deferred)
        self.assertIsInstance(self.ask(clients[2]), Deferred)
        self.assertEqual("too many authorities are being asked at the moment", self.ask())
        for _, question, answer in self.asked[1:]:
            answer.callback(Fetched("application/ocsp-response", self.responder.answer(question)))
        self.assertEqual(["", ""], [self.ask(client) for client in clients[1:]])
        self.assertIsInstance(self.ask(clients[0]), Deferred)

    def test_gate(self) -> None:
        """Who does not count is refused, and the log has the reason."""
        gate = RevocationGate(self.revocations)
        outcome = Outcome(peer=Peer("192.0.2.1", 1), client_certificate=ClientCertificate("p", "SUCCESS", CLIENT.cert,
                                                                                          CA.cert))  # fmt: skip
        context = Context(outcome, None, self.clock.seconds)
        head: Any = None
        waiting = gate.request(head, context)
        assert waiting is not None
        self.answer()
        self.assertIsNone(self.successResultOf(waiting))
        self.assertIsNone(gate.request(head, context))
        self.clock.advance(86401)
        self.responder.status = "revoked"
        self.responder.this_update, self.responder.next_update = self.now(), self.now() + datetime.timedelta(days=1)
        waiting = gate.request(head, context)
        assert waiting is not None
        self.answer()
        self.failureResultOf(waiting, CertificateRefused)
        self.assertEqual("FAILED:it has been revoked", outcome.client_certificate.verdict)  # type: ignore[union-attr]
        self.assertRaises(CertificateRefused, gate.request, head, context)
        outcome.client_certificate = None
        self.assertRaises(CertificateRefused, gate.request, head, context)
