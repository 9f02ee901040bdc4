"""`gateway.transport.openssl`."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gateway import _native
from gateway.transport import openssl


class _Secured:
    def __init__(self) -> None:
        self.places: list[int] = []

    def _secure(self, place: int) -> None:
        self.places.append(place)


class OpenSSLTests(SynchronousTestCase):
    """What is attached, and what is left to Python."""

    def setUp(self) -> None:
        openssl._found.cache_clear()
        self.addCleanup(openssl._found.cache_clear)

    def attached(self, connection: Any) -> list[int]:
        secured = _Secured()
        openssl.attach(secured, connection)
        openssl.detach(secured)
        return secured.places

    def test_attached(self) -> None:
        if _native.pump is None:
            raise SkipTest("the native code was not built or is switched off")
        place, nowhere = self.attached(SSL.Connection(SSL.Context(SSL.TLS_METHOD), None))
        self.assertNotEqual(0, place)
        self.assertEqual(0, nowhere)

    def test_another_pyopenssl(self) -> None:
        """Without the private attribute nothing is attached."""
        self.assertEqual([], [place for place in self.attached(object()) if place])

    def test_another_cryptography(self) -> None:
        """Without the functions nothing is attached."""
        self.patch(openssl, "_lib", None)
        self.assertEqual([], self.attached(SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)))

    def test_without_native_code(self) -> None:
        self.patch(_native, "pump", None)
        self.assertEqual([], self.attached(SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)))
