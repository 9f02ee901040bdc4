"""`gateway.middleware.basic_auth`, `passwords` and `files`."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import bcrypt
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gateway.middleware import basic_auth
from gateway.middleware.basic_auth import factory
from gateway.middleware.passwords import hash_fault, hash_password, read_users, verify
from gateway.values import RequestHead
from tests.middleware.support import MiddlewareCase, request_head

SCRYPT = "$scrypt$ln=10,r=8,p=1$YWFhYWFhYWFhYWFhYWFhYQ$"
WRONG = SCRYPT + "A" * 43


def quick_bcrypt(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def with_credentials(text: str, scheme: str = "Basic") -> RequestHead:
    encoded = base64.b64encode(text.encode()).decode()
    return request_head(fields=[("Authorization", f"{scheme} {encoded}"), ("X-User", "eve")])


class PasswordTests(SynchronousTestCase):
    """Hashes."""

    def test_both_kinds(self) -> None:
        for hashed in quick_bcrypt("secret"), hash_password(b"secret"):
            self.assertEqual("", hash_fault(hashed))
            self.assertTrue(verify(b"secret", hashed))
            for wrong in b"", b"Secret", b"secret\0", b"secret" * 20, b"x" * 5000:
                self.assertFalse(verify(wrong, hashed))
        self.assertNotEqual(hash_password(b"secret"), hash_password(b"secret"))

    def test_faults(self) -> None:
        for hashed in (
            "secret", "{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=", "$apr1$a$b", quick_bcrypt("a").replace("$04$", "$31$"),
            WRONG.replace("ln=10", "ln=30"), WRONG.replace("r=8", "r=64"), WRONG.replace("p=1", "p=9"), WRONG + "A",
        ):  # fmt: skip
            fault = hash_fault(hashed)
            self.assertTrue(fault)
            self.assertNotIn(hashed, fault)
        self.assertEqual("", hash_fault(WRONG))

    def test_read_users(self) -> None:
        self.assertEqual({"ann": WRONG, "böb": WRONG}, read_users(f"# users\n\nann:{WRONG}\nböb:{WRONG} \n".encode()))
        error = self.assertRaises(ValueError, read_users, b"ann:" + WRONG.encode() + b"\nbob:plain\n")
        self.assertIn("line 2 has neither a bcrypt hash", str(error))
        self.assertRaises(ValueError, read_users, b"ann\n")


class BasicAuthTests(MiddlewareCase):
    """Requests. Without a thread pool hashes are computed at once."""

    factory = factory

    def counted(self) -> list[str]:
        """What is computed from now on."""
        calls: list[str] = []

        def count(password: bytes, hashed: str) -> bool:
            calls.append(hashed)
            return verify(password, hashed)

        self.patch(basic_auth, "verify", count)
        return calls

    def test_right(self) -> None:
        made = self.make(users={"ann": quick_bcrypt("a:b")}, userHeader="X-User", realm="here")
        context = self.context()
        head = self.passes(made, with_credentials("ann:a:b"), context)
        self.assertEqual(("ann", None, "ann"), (head.get("x-user"), head.get("authorization"), context.user))
        made = self.make(users={"ann": quick_bcrypt("a")}, forwardCredentials=True)
        head = with_credentials("ann:a", "bASIC")
        self.assertIs(head, self.passes(made, head))

    def test_wrong(self) -> None:
        made = self.make(users={"ann": quick_bcrypt("a")}, realm="here")
        for head in (
            request_head(), with_credentials("ann:b"), with_credentials("bob:a"), with_credentials("ann"),
            with_credentials("ann:a", "Bearer"), request_head(fields=[("Authorization", "Basic !!!")]),
            request_head(fields=[("Authorization", "Basic \xe4")]), with_credentials("ann:" + "x" * 5000),
        ):  # fmt: skip
            reply = self.refuses(made, head, 401, "unauthorized")
            self.assertIn(("WWW-Authenticate", 'Basic realm="here", charset="UTF-8"'), reply.fields)

    def test_a_name_that_nobody_has_takes_as_long(self) -> None:
        calls = self.counted()
        hashed = quick_bcrypt("a")
        made = self.make(users={"ann": hashed})
        self.refuses(made, with_credentials("bob:a"), 401, "unauthorized")
        self.assertEqual([hashed], calls)

    def test_right_ones_are_remembered(self) -> None:
        calls = self.counted()
        made = self.make(users={"ann": quick_bcrypt("a")}, cacheSeconds=10)
        for _ in range(3):
            self.passes(made, with_credentials("ann:a"))
        self.assertEqual(1, len(calls))
        self.clock.advance(11)
        self.passes(made, with_credentials("ann:a"))
        self.assertEqual(2, len(calls))
        for _ in range(2):
            self.refuses(made, with_credentials("ann:b"), 401, "unauthorized")
        self.assertEqual(4, len(calls))
        self.assertNotIn(b"ann", repr(made._right).encode())

    def test_what_is_remembered_is_bounded(self) -> None:
        self.patch(basic_auth, "verify", lambda password, hashed: True)
        made = self.make(users={f"u{number}": WRONG for number in range(1500)})
        for number in range(1500):
            self.passes(made, with_credentials(f"u{number}:a"))
        self.assertEqual(1024, len(made._right))

    def test_the_same_question_is_asked_once(self) -> None:
        made = self.make(users={"ann": quick_bcrypt("a")})
        asked: list[Deferred[bool]] = []
        made._in_thread = lambda password, hashed: asked.append(Deferred()) or asked[-1]
        answers: list[Any] = [made.request(with_credentials("ann:a"), self.context()) for _ in range(3)]
        answers[1].addErrback(lambda _: "gone").cancel()
        self.assertEqual(1, len(asked))
        asked[0].callback(True)
        self.assertIsInstance(self.successResultOf(answers[0]), RequestHead)
        self.assertEqual("gone", self.successResultOf(answers[1]))
        self.assertIsInstance(self.successResultOf(answers[2]), RequestHead)
        broken: Any = made.request(with_credentials("ann:b"), self.context())
        asked[1].errback(MemoryError())
        self.failureResultOf(broken, MemoryError)

    def test_what_waits_is_bounded(self) -> None:
        made = self.make(users={"ann": WRONG})
        asked: list[Deferred[bool]] = []
        made._in_thread = lambda password, hashed: asked.append(Deferred()) or asked[-1]
        for number in range(64):
            made.request(with_credentials(f"ann:{number}"), self.context())
        self.assertEqual(2, len(asked))
        reply = self.refuses(made, with_credentials("ann:65"), 503, "overloaded")
        self.assertIn(("Retry-After", "1"), reply.fields)
        for number in range(64):
            asked[number].callback(False)
        self.assertEqual({}, made._waiting)

    def test_a_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f"ann:{quick_bcrypt('a')}\n")
        made = self.make(file=str(path), users={"bob": quick_bcrypt("b")})
        self.passes(made, with_credentials("ann:a"))
        self.passes(made, with_credentials("bob:b"))
        path.write_text(f"ann:{quick_bcrypt('new password')}\n")
        os.utime(path, (1, 1))
        self.clock.advance(3)
        self.refuses(made, with_credentials("ann:a"), 401, "unauthorized")
        self.passes(made, with_credentials("ann:new password"))

    def test_options(self) -> None:
        self.refused_options("`file`")
        self.refused_options("user 'ann' has neither", users={"ann": "plain"})
        self.refused_options("a colon in the name", users={"a:b": WRONG})
        self.refused_options("cannot be read", file="/none/such")
        self.refused_options("realm", users={"ann": WRONG}, realm='a"b')
        self.refused_options("userHeader", users={"ann": WRONG}, userHeader="Content-Length")
