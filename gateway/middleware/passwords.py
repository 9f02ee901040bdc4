"""Hashes of passwords: bcrypt as ``htpasswd -B`` makes it, and scrypt.

``python -m gateway.middleware.passwords`` asks for a password and prints its scrypt hash.  What a peer may make the
gateway compute is bounded by what is in the file: costs are checked when it is read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

import bcrypt

__all__ = ["hash_fault", "hash_password", "read_users", "verify"]

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_SCRYPT = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{16,88})\$([A-Za-z0-9+/]{43})"
)
_MOST_BCRYPT = 14
_MOST_SCRYPT = 17
_LONGEST = 1024


def hash_fault(hashed: str) -> str:
    """What is wrong with a hash; empty if it can be used. The hash is not quoted."""
    found = _BCRYPT.fullmatch(hashed)
    if found is not None:
        return "" if 4 <= int(found[1]) <= _MOST_BCRYPT else f"a bcrypt cost other than 4 to {_MOST_BCRYPT}"
    found = _SCRYPT.fullmatch(hashed)
    if found is not None:
        usable = 10 <= int(found[1]) <= _MOST_SCRYPT and 1 <= int(found[2]) <= 16 and 1 <= int(found[3]) <= 4
        return "" if usable else f"scrypt parameters other than ln=10 to {_MOST_SCRYPT}, r=1 to 16, p=1 to 4"
    return "neither a bcrypt hash (htpasswd -B) nor a scrypt hash (python -m gateway.middleware.passwords)"


def hash_password(password: bytes) -> str:
    """A scrypt hash with a fresh salt; takes about 50 ms and 16 MiB to compute."""
    salt = os.urandom(16)
    return f"$scrypt$ln=14,r=8,p=1${_text(salt)}${_text(_scrypt(password, salt, 14, 8, 1))}"


def verify(password: bytes, hashed: str) -> bool:
    """Whether ``password`` has this hash. Slow on purpose: call it in a thread."""
    if len(password) > _LONGEST or b"\0" in password:
        # HMAC, of which scrypt is made, takes a key with zeros at its end for the same key.
        return False
    found = _SCRYPT.fullmatch(hashed)
    if found is None:
        # bcrypt looks at 72 bytes; more could not have been set.
        return len(password) <= 72 and bcrypt.checkpw(password, hashed.encode("ascii"))
    cost, r, p = int(found[1]), int(found[2]), int(found[3])
    return hmac.compare_digest(_scrypt(password, _bytes(found[4]), cost, r, p), _bytes(found[5]))


def read_users(data: bytes) -> dict[str, str]:
    """Users and hashes of a file with lines ``name:hash``, as ``htpasswd`` writes it. Raises ``ValueError``."""
    users: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, hashed = line.partition(":")
        fault = hash_fault(hashed.strip()) if colon and name else "not name:hash"
        if fault:
            raise ValueError(f"line {number} has {fault}")
        users[name] = hashed.strip()
    return users


def _scrypt(password: bytes, salt: bytes, cost: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=1 << cost, r=r, p=p, maxmem=(128 * r << cost) + (1 << 20) * 16, dklen=32
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


if __name__ == "__main__":
    from getpass import getpass

    print(hash_password(getpass().encode("utf-8")))
