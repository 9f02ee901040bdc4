"""What pyOpenSSL has no public way to: its ``SSL *``, and OpenSSL's own functions.

With them the native pump takes the bytes of TLS transports from OpenSSL, and gives them to it, without Python in
between.  Where one of those used here is missing, nothing is attached, the transports do it all in Python, and suites
have no names.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from gateway import _native

_lib: Any = None
_ffi: Any = None
try:
    from cryptography.hazmat.bindings._rust import _openssl
except ImportError:
    pass
else:
    _lib, _ffi = _openssl.lib, _openssl.ffi

if TYPE_CHECKING:
    from OpenSSL import SSL

__all__ = ["attach", "cipher_name", "detach"]

_FUNCTIONS = ("SSL_read", "SSL_write", "SSL_get_error", "ERR_clear_error")


def attach(transport: Any, connection: SSL.Connection) -> None:
    """From now on the bytes of ``transport`` go through ``connection``, which must live until `detach`."""
    handle = getattr(connection, "_ssl", None)
    if handle is not None and _found():
        transport._secure(int(_ffi.cast("uintptr_t", handle)))


def detach(transport: Any) -> None:
    """Leave everything to the methods in Python. Idempotent."""
    if _found():
        transport._secure(0)


def cipher_name(connection: SSL.Connection, suite: bytes) -> str:
    """OpenSSL's name of the suite with these two bytes (SSL_CIPHER_get_name(3)); empty where it has none."""
    handle = getattr(connection, "_ssl", None)
    if handle is None or not (hasattr(_lib, "SSL_CIPHER_find") and hasattr(_lib, "SSL_CIPHER_get_name")):
        return ""
    found = _lib.SSL_CIPHER_find(handle, suite)
    return "" if found == _ffi.NULL else _ffi.string(_lib.SSL_CIPHER_get_name(found)).decode("ascii")


@cache
def _found() -> bool:
    """Whether the native pump knows OpenSSL's functions; tells it at the first call."""
    if not hasattr(_native.pump, "openssl"):
        return False
    try:
        places = [int(_ffi.cast("uintptr_t", _ffi.addressof(_lib, name))) for name in _FUNCTIONS]
    except (AttributeError, TypeError):
        return False
    _native.pump.openssl(*places)
    return True
