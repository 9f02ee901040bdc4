"""TLS transports whose bytes the native pump takes from OpenSSL, and gives to it, without Python in between.

pyOpenSSL has no public way to its ``SSL *`` and to OpenSSL's functions.  Where one of those used here is missing,
nothing is attached, and the transports do it all in Python.
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

__all__ = ["attach", "detach"]

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
