"""The keys that tokens are verified with. They come from files only: a configuration is shown to many."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

__all__ = ["ALGORITHMS", "Keys", "pem_keys", "secret_keys", "set_keys"]

ALGORITHMS: Final[Mapping[str, type | tuple[type, str]]] = {
    "HS256": bytes, "HS384": bytes, "HS512": bytes,
    "RS256": RSAPublicKey, "RS384": RSAPublicKey, "RS512": RSAPublicKey,
    "PS256": RSAPublicKey, "PS384": RSAPublicKey, "PS512": RSAPublicKey,
    "ES256": (EllipticCurvePublicKey, "secp256r1"), "ES384": (EllipticCurvePublicKey, "secp384r1"),
    "ES512": (EllipticCurvePublicKey, "secp521r1"), "EdDSA": Ed25519PublicKey,
}  # fmt: skip
"""The kind of key that each algorithm takes (RFC 7518 §3, RFC 8037): a token that says another finds no key."""

_LEAST_RSA_BITS = 2048
_MOST_KEYS = 64

_Find = Callable[[str, str | None], Any]


class Keys:
    """Keys with their ids; ``find(algorithm, key_id)`` gives the one that fits, or ``None``."""

    def __init__(self, keys: list[tuple[str | None, str | None, Any]]) -> None:
        self._keys = keys

    def find(self, algorithm: str, key_id: str | None) -> Any:
        """By id where the token names one and the keys have ids; otherwise the only one of the right kind."""
        fitting = [
            (known, key) for known, only, key in self._keys if only in (None, algorithm) and _fits(algorithm, key)
        ]
        named = [key for known, key in fitting if known is not None and known == key_id]
        if named:
            return named[0]
        nameless = [key for known, key in fitting if known is None or key_id is None]
        return nameless[0] if len(nameless) == 1 else None


def _fits(algorithm: str, key: Any) -> bool:
    wanted = ALGORITHMS[algorithm]
    if isinstance(wanted, tuple):
        return isinstance(key, wanted[0]) and key.curve.name == wanted[1]  # type: ignore[attr-defined]
    return isinstance(key, wanted)


def secret_keys(data: bytes, least: int = 32) -> Keys:
    """A shared secret of ``least`` bytes or more, as it stands in the file; white space around it does not count."""
    secret = data.strip()
    if len(secret) < least:
        raise ValueError(f"the secret needs at least {least} bytes (RFC 7518 §3.2), it has {len(secret)}")
    if b"-----BEGIN" in secret:
        raise ValueError("this is a PEM file, not a shared secret: name it as `keyFile`")
    return Keys([(None, None, secret)])


def pem_keys(data: bytes) -> Keys:
    """One public key or certificate in PEM."""
    try:
        if b"BEGIN CERTIFICATE" in data:
            key: Any = load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except Exception:
        raise ValueError("no public key and no certificate in PEM (a private key does not belong here)") from None
    _check(key)
    return Keys([(None, None, key)])


def set_keys(data: bytes) -> Keys:
    """The public keys of a JWK set (RFC 7517 §5); keys for encryption and of unknown kinds are left aside."""
    try:
        listed = json.loads(data)["keys"]
    except (ValueError, TypeError, KeyError):
        raise ValueError("not a JWK set: an object with `keys`") from None
    keys: list[tuple[str | None, str | None, Any]] = []
    for item in listed if isinstance(listed, list) else ():
        if not isinstance(item, dict) or item.get("kty") == "oct" or item.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(item).key
        except (jwt.PyJWTError, ValueError):
            continue
        _check(key)
        name, only = item.get("kid"), item.get("alg")
        keys.append((name if isinstance(name, str) else None, only if isinstance(only, str) else None, key))
    if not keys or len(keys) > _MOST_KEYS:
        raise ValueError(f"{len(keys)} public keys for signatures; there must be 1 to {_MOST_KEYS}")
    return Keys(keys)


def _check(key: Any) -> None:
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits; at least {_LEAST_RSA_BITS} are needed (RFC 7518 §3.3)")
    if not isinstance(key, (RSAPublicKey, EllipticCurvePublicKey, Ed25519PublicKey)):
        raise ValueError("not a public key for RSA, ECDSA or Ed25519")
