"""TLS as both roads understand it: how to speak it with a backend, what a client has shown, what to say of failures.

How a connection to a TLS port begins is in `gateway.transport.greetings`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cryptography import x509
from OpenSSL import SSL

from gateway.errors import BackendTLSFailed
from gateway.transport.tls_reasons import explain, printable

__all__ = [
    "ClientCertificate", "ClientTLS", "client_certificate", "client_connection", "failed", "reasons", "verify",
]  # fmt: skip


class ClientCertificate(NamedTuple):
    """What a client showed. ``profile``: whose authorities were asked; ``verdict``: ``NONE``, ``SUCCESS`` or
    ``FAILED:reason``; ``certificate``: its own, if any; ``issuer``: the authority's that it was verified with, where
    that is asked whether it was revoked."""

    profile: str
    verdict: str
    certificate: x509.Certificate | None = None
    issuer: x509.Certificate | None = None


def client_certificate(connection: SSL.Connection) -> ClientCertificate | None:
    """The certificate that a client was asked for; ``None`` if it was not asked.

    A context that asks has ``examine(connection) -> ClientCertificate`` as its application data.
    """
    examine = connection.get_context().get_app_data()
    return None if examine is None else examine(connection)


class ClientTLS(NamedTuple):
    """How to speak TLS with a backend.

    ``context``: made once per backend settings; it may verify the chain by itself.
    ``server_name``: SNI to send, never an address; ``None`` for none.
    ``verify``: called with the connection after the handshake; whatever it raises refuses the backend.
    ``preface``: sent before the handshake, in the clear; a few hundred bytes at most.
    """

    context: SSL.Context
    server_name: str | None = None
    verify: Callable[[SSL.Connection], None] | None = None
    preface: bytes = b""


def client_connection(
    tls: ClientTLS, sock: object | None, make: type[SSL.Connection] = SSL.Connection
) -> SSL.Connection:
    """A connection in the client's role over ``sock``, or over memory if that is ``None``."""
    connection = make(tls.context, sock)  # type: ignore[arg-type]
    if tls.server_name:
        connection.set_tlsext_host_name(tls.server_name.encode("idna"))
    connection.set_connect_state()
    return connection


def verify(tls: ClientTLS, connection: SSL.Connection) -> None:
    """Do the check of ``tls`` after the handshake; raises `BackendTLSFailed`."""
    if tls.verify is None:
        return
    try:
        tls.verify(connection)
    except BackendTLSFailed:
        raise
    except Exception as error:
        text = printable(str(error)) or type(error).__name__
        raise BackendTLSFailed(f"the backend's certificate was refused: {text}") from error


def reasons(error: Exception) -> list[str]:
    """What OpenSSL says: the last members of its error tuples, which are stable words such as ``http request``."""
    if isinstance(error, SSL.SysCallError):
        number, text = (*error.args, "", "")[:2]
        return ["unexpected eof while reading" if number == -1 else str(text)]
    first = error.args[0] if error.args else None
    if isinstance(first, (list, tuple)):
        return [str(entry[-1]) for entry in first if entry]
    return [str(error)] if str(error) else []


def failed(connection: SSL.Connection, error: Exception) -> BackendTLSFailed:
    """The error of an endpoint whose handshake failed, in a sentence for the operator."""
    return error if isinstance(error, BackendTLSFailed) else BackendTLSFailed(explain(connection, error))
