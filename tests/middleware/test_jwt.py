"""`gateway.middleware.jwt`, `jwt_keys` and `tokens`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from gateway.middleware.jwt import factory
from gateway.middleware.jwt_keys import pem_keys, secret_keys, set_keys
from gateway.middleware.tokens import source
from gateway.values import RequestHead
from tests.certificates import TestCA
from tests.middleware.support import MiddlewareCase, request_head, response_head

SECRET = "0123456789abcdef0123456789abcdef"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    claims = {"sub": "ann", "exp": int(time.time()) + 100, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers=headers)


def bearer(text: str) -> RequestHead:
    return request_head(fields=[("Authorization", f"Bearer {text}"), ("X-User", "eve")])


def jwk(key: Any, kind: str, **more: Any) -> dict[str, Any]:
    algorithms: Any = {
        "RSA": jwt.algorithms.RSAAlgorithm,
        "EC": jwt.algorithms.ECAlgorithm,
        "OKP": jwt.algorithms.OKPAlgorithm,
    }
    return {**algorithms[kind].to_jwk(key.public_key(), as_dict=True), **more}


class SourceTests(SynchronousTestCase):
    """Where tokens are found, and the request without them."""

    def test_authorization(self) -> None:
        found = source("authorization")(bearer("abc"))
        assert found is not None
        self.assertEqual(("abc", None), (found.text, found.rest.get("authorization")))
        for value in "Basic abc", "Bearer", "Bearer ", "":
            self.assertIsNone(source("authorization")(request_head(fields=[("Authorization", value)])))
        self.assertIsNone(source("authorization")(request_head()))

    def test_header(self) -> None:
        found = source("header:X-Token")(request_head(fields=[("x-token", "abc")]))
        assert found is not None
        self.assertEqual(("abc", None), (found.text, found.rest.get("x-token")))
        self.assertIsNone(source("header:X-Token")(request_head()))

    def test_cookie(self) -> None:
        find = source("cookie:session")
        found = find(request_head(fields=[("Cookie", 'a=1; session="abc"'), ("Cookie", "b=2; xsession=3")]))
        assert found is not None
        self.assertEqual(("abc", "a=1; b=2; xsession=3"), (found.text, found.rest.get("cookie")))
        found = find(request_head(fields=[("Cookie", "session=abc")]))
        assert found is not None
        self.assertIsNone(found.rest.get("cookie"))
        self.assertIsNone(find(request_head(fields=[("Cookie", "xsession=abc; session=")])))

    def test_query(self) -> None:
        find = source("query:t")
        for target, text, rest in (
            ("/a?t=abc", "abc", "/a"), ("/a?x=1&t=a%2Eb&y=2", "a.b", "/a?x=1&y=2"), ("/?t=a&t=b&%74=c&z", "a", "/?z"),
        ):  # fmt: skip
            found = find(request_head(target))
            assert found is not None
            self.assertEqual((text, rest), (found.text, found.rest.target))
        for target in "/a", "/a?", "/t=abc", "/a?tt=1", "/a?t=":
            self.assertIsNone(find(request_head(target)))

    def test_subprotocol(self) -> None:
        find = source("subprotocol:access_token")
        for value, rest, marker in (
            ("access_token, abc", None, "access_token"), ("chat, access_token, abc", "chat", ""),
            ("access_token,abc,chat", "chat", ""),
        ):  # fmt: skip
            found = find(request_head(fields=[("Sec-WebSocket-Protocol", value)], upgrade="websocket"))
            assert found is not None
            self.assertEqual(
                ("abc", rest, marker), (found.text, found.rest.get("sec-websocket-protocol"), found.marker)
            )
        for value in "chat", "access_token", "abc, access_token":
            self.assertIsNone(find(request_head(fields=[("Sec-WebSocket-Protocol", value)], upgrade="websocket")))
        self.assertIsNone(find(request_head(fields=[("Sec-WebSocket-Protocol", "access_token, abc")])))


class KeyTests(SynchronousTestCase):
    """Files of keys."""

    def test_kinds_do_not_mix(self) -> None:
        rsa_keys, ec_keys, secret = pem_keys(pem(RSA_KEY)), pem_keys(pem(EC_KEY)), secret_keys(SECRET.encode() + b"\n")
        self.assertIsNotNone(rsa_keys.find("RS256", None))
        self.assertIsNotNone(rsa_keys.find("PS512", "any"))
        self.assertIsNone(rsa_keys.find("ES256", None))
        self.assertIsNone(rsa_keys.find("HS256", None))
        self.assertIsNotNone(ec_keys.find("ES256", None))
        self.assertIsNone(ec_keys.find("ES384", None))
        self.assertIsNone(secret.find("RS256", None))
        self.assertEqual(SECRET.encode(), secret.find("HS512", None))

    def test_pem(self) -> None:
        self.assertIsNotNone(pem_keys(TestCA().issue(["localhost"]).cert_pem).find("ES256", None))
        private = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        for data in b"", b"rubbish", private, pem(small):
            self.assertRaises(ValueError, pem_keys, data)

    def test_secret(self) -> None:
        for data in b"short", pem(RSA_KEY):
            self.assertRaises(ValueError, secret_keys, data)

    def test_set(self) -> None:
        keys = set_keys(
            json.dumps(
                {
                    "keys": [
                        jwk(RSA_KEY, "RSA", kid="r", use="sig"), jwk(EC_KEY, "EC", kid="e"), jwk(ED_KEY, "OKP"),
                        jwk(RSA_KEY, "RSA", kid="enc", use="enc"), {"kty": "oct", "k": "AAAA", "kid": "o"},
                        {"kty": "odd"}, "rubbish", jwk(RSA_KEY, "RSA", kid="only", alg="PS256"),
                    ]
                }
            ).encode()
        )  # fmt: skip
        self.assertIsInstance(keys.find("RS256", "r"), rsa.RSAPublicKey)
        self.assertIsInstance(keys.find("ES256", "e"), ec.EllipticCurvePublicKey)
        self.assertIsInstance(keys.find("EdDSA", "any"), ed25519.Ed25519PublicKey)
        for algorithm, key_id in ("RS256", "e"), ("RS256", "enc"), ("HS256", "o"), ("RS256", "only"), ("ES256", "x"):
            self.assertIsNone(keys.find(algorithm, key_id), key_id)
        self.assertIsNone(keys.find("PS256", None), "two that could be meant")
        for data in b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": 1}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}':
            self.assertRaises(ValueError, set_keys, data)


class JwtTests(MiddlewareCase):
    """Requests."""

    factory = factory

    def file(self, data: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(data)
        return str(path)

    def made(self, **options: Any) -> Any:
        return self.make(**{"algorithms": ["HS256"], "secretFile": self.file(SECRET.encode()), **options})

    def test_good(self) -> None:
        made = self.made(headers={"X-User": "sub", "X-Tenant": "t.id", "X-Roles": "roles", "X-None": "none"})
        text = token(t={"id": 7}, roles=["a", "b"])
        context = self.context()
        head = bearer(text)
        found = self.passes(made, head._replace(fields=[*head.fields, ("X-None", "eve")]), context)
        shown = {name: found.get(name.lower()) for name in ("X-User", "X-Tenant", "X-Roles", "X-None", "Authorization")}
        self.assertEqual(
            {"X-User": "ann", "X-Tenant": "7", "X-Roles": "a,b", "X-None": None, "Authorization": f"Bearer {text}"},
            shown,
        )
        self.assertEqual("ann", context.user)
        assert context.ends_at is not None
        self.assertTrue(1105 <= context.ends_at <= 1111, context.ends_at)
        self.assertEqual(4401, context.end_code)

    def test_each_algorithm(self) -> None:
        for algorithm, key in ("RS256", RSA_KEY), ("PS384", RSA_KEY), ("ES256", EC_KEY), ("EdDSA", ED_KEY):
            made = self.make(algorithms=[algorithm], keyFile=self.file(pem(key)))
            self.passes(made, bearer(token(key, algorithm)))
        made = self.make(algorithms=["RS256", "ES256"], jwksFile=self.file(
            json.dumps({"keys": [jwk(RSA_KEY, "RSA", kid="r"), jwk(EC_KEY, "EC", kid="e")]}).encode()))  # fmt: skip
        self.passes(made, bearer(token(RSA_KEY, "RS256", {"kid": "r"})))
        self.passes(made, bearer(token(EC_KEY, "ES256", {"kid": "e"})))
        self.refuses(made, bearer(token(RSA_KEY, "PS256", {"kid": "r"})), 401, "unauthorized")
        self.refuses(made, bearer(token(RSA_KEY, "RS256", {"kid": "x"})), 401, "unauthorized")

    def test_bad(self) -> None:
        made = self.made(issuer="me", audience=["us"])
        good = {"iss": "me", "aud": ["us", "them"]}
        self.passes(made, bearer(token(**good)))
        now = int(time.time())
        none = token(**good).split(".")
        wrong = [
            token(**{**good, "iss": "you"}), token(**{**good, "aud": "them"}), token(iss="me"), token(aud="us"),
            token(**good, exp=None), token(**{**good, "exp": now - 11}), token(**good, nbf=now + 60),
            token("x" * 32, **good), token(SECRET * 2, "HS512", **good), token(**good)[:-2], token(**good) + "x",
            jwt.encode(good, None, "none"), f"eyJhbGciOiJub25lIn0.{none[1]}.", "rubbish", "a.b.c", "\xe4.b.c",
            "x" * 9000,
            token(**{**good, "exp": "soon"}), token(**good, headers={"crit": ["x"], "x": 1}),
            "eyJhbGciOiJIUzI1NiJ9." + "W" * 4000 + ".x",
        ]  # fmt: skip
        for text in wrong:
            reply = self.refuses(made, bearer(text), 401, "unauthorized")
            self.assertIn(("WWW-Authenticate", 'Bearer error="invalid_token"'), reply.fields)
        self.passes(made, bearer(token(**{**good, "exp": now - 5})))

    def test_a_public_key_is_no_secret(self) -> None:
        """The classic: HS256 with the public key as the secret (RFC 8725 §2.1)."""
        made = self.make(algorithms=["RS256"], keyFile=self.file(pem(RSA_KEY)))
        import base64
        import hashlib
        import hmac

        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (
            {"alg": "HS256", "typ": "JWT"}, {"sub": "eve", "exp": int(time.time()) + 100})]  # fmt: skip
        signature = base64.urlsafe_b64encode(hmac.digest(pem(RSA_KEY), b".".join(parts), hashlib.sha256)).rstrip(b"=")
        self.refuses(made, bearer(b".".join([*parts, signature]).decode()), 401, "unauthorized")

    def test_none(self) -> None:
        made = self.made()
        reply = self.refuses(made, request_head(), 401, "unauthorized")
        self.assertIn(("WWW-Authenticate", "Bearer"), reply.fields)
        made = self.made(optional=True, headers={"X-User": "sub"})
        head = self.passes(made, request_head(fields=[("X-User", "eve")]))
        self.assertIsNone(head.get("x-user"))
        self.refuses(made, bearer("rubbish"), 401, "unauthorized")

    def test_claims(self) -> None:
        made = self.made(claims={"scope": "read", "realm.roles": ["admin", "owner"]}, userClaim="realm.name")
        for scope in "read write", ["read"], "read":
            context = self.context()
            self.passes(made, bearer(token(scope=scope, realm={"roles": ["x", "owner"], "name": "böb\n"})), context)
            self.assertEqual("bÃ¶b?", context.user)
        for claims in (
            {},
            {"scope": "read"},
            {"scope": "reading", "realm": {"roles": ["admin"]}},
            {"scope": "read", "realm": 1},
        ):
            self.refuses(made, bearer(token(**claims)), 403, "forbidden")

    def test_sources(self) -> None:
        made = self.made(sources=["authorization", "query:t", "cookie:c"])
        text = token()
        head = request_head(f"/a?x=1&t={text}")
        context = self.context(head)
        found = self.passes(made, head, context)
        self.assertEqual(("/a?x=1", f"Bearer {text}"), (found.target, found.get("authorization")))
        self.assertEqual("/a?x=1&t=-", self.outcome.head and self.outcome.head.target)
        found = self.passes(
            self.made(sources=["cookie:c"], forward=False), request_head(fields=[("Cookie", f"c={text}")])
        )
        self.assertEqual((None, None), (found.get("cookie"), found.get("authorization")))

    def test_subprotocol(self) -> None:
        made = self.made(sources=["subprotocol:access_token"])
        for offered, chosen, expected in (
            (f"access_token, {token()}", None, "access_token"), (f"chat, access_token, {token()}", None, None),
            (f"chat, access_token, {token()}", "chat", "chat"),
        ):  # fmt: skip
            request = request_head(fields=[("Sec-WebSocket-Protocol", offered)], upgrade="websocket")
            fields = [("Sec-WebSocket-Protocol", chosen)] if chosen else []
            head = self.answered(made, request, response_head(101, fields=fields))
            self.assertEqual(expected, head.get("sec-websocket-protocol"))

    def test_numbers_without_end(self) -> None:
        made = self.made(requireExpiry=False)
        context = self.context()
        self.passes(made, bearer(token(exp=None)), context)
        self.assertIsNone(context.ends_at)
        self.passes(made, bearer(token(exp=10**40)), context)
        assert context.ends_at is not None
        self.assertLess(context.ends_at, 1e9)

    def test_the_keys_change(self) -> None:
        path = self.file(SECRET.encode())
        made = self.make(algorithms=["HS256"], secretFile=path)
        other = SECRET[::-1] + "x"
        self.refuses(made, bearer(token(other)), 401, "unauthorized")
        Path(path).write_text(other)
        self.clock.advance(3)
        self.passes(made, bearer(token(other)))
        self.refuses(made, bearer(token()), 401, "unauthorized")

    def test_options(self) -> None:
        path = self.file(SECRET.encode())
        self.refused_options("exactly one", algorithms=["HS256"])
        self.refused_options("exactly one", algorithms=["HS256"], secretFile=path, keyFile=path)
        self.refused_options("cannot be mixed", algorithms=["HS256", "RS256"], secretFile=path)
        self.refused_options("HS algorithms go with", algorithms=["RS256"], secretFile=path)
        self.refused_options("HS algorithms go with", algorithms=["HS256"], keyFile=path)
        self.refused_options("algorithms", algorithms=["none"], keyFile=path)
        self.refused_options("no public key", algorithms=["RS256"], keyFile=path)
        self.refused_options("sources", algorithms=["HS256"], secretFile=path, sources=["body:x"])
        self.refused_options("at least 64 bytes", algorithms=["HS512", "HS256"], secretFile=path)
        self.refused_options("cannot be read", algorithms=["HS256"], secretFile="/none/such")
