"""TLS of a bound port: one context for it, and by server name (SNI) the certificate that is shown.

The context is plain OpenSSL, so it serves a connection on a socket (the pump) as well as one on memory
(Twisted's transports).  TLS 1.2 and 1.3, ciphers after Mozilla's "intermediate" recommendation without
finite-field DH, ALPN ``http/1.1``, no compression, no renegotiation, session tickets.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from zope.interface import implementer

from gateway.config import model
from gateway.listener.certificates import ServerCertificate

__all__ = ["ALPN", "CIPHERS", "ServerTLS", "usable"]

ALPN = b"http/1.1"
"""The protocol that listeners agree on (RFC 7301 §6)."""

CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""For TLS 1.2, in order of preference; TLS 1.3 has its own and they are all good."""

_SESSION_ID = hashlib.sha256(b"gateway listener").digest()
_LONGEST_NAME = 253  # RFC 1035 §2.3.4 as text


@implementer(IOpenSSLContextFactory)
class ServerTLS:
    """What a listening endpoint needs for TLS: ``getContext()``, asked for each new connection.

    ``listeners``: the HTTPS listeners that share the port, in rule order.  ``certificates`` are those that could be
    loaded, by name; where the port has none of its own, its handshakes fail.  The certificate for a server name is that
    of the listener whose host names match it, exact ones first; else any that is valid for the name; else the first
    listener's first, as for clients that send no name.  Raises ``ValueError`` if no listener names a certificate or
    OpenSSL refuses one.
    """

    def __init__(self, listeners: Sequence[model.HttpListener], certificates: Mapping[str, ServerCertificate]) -> None:
        self.replace(listeners, certificates)

    def replace(self, listeners: Sequence[model.HttpListener], certificates: Mapping[str, ServerCertificate]) -> None:
        """Use other listeners and certificates for connections that begin from now on.

        All or nothing: where it raises, the old ones stay.
        """
        table = _Table(listeners, certificates)
        context = _context(table.default)
        contexts: dict[ServerCertificate | None, SSL.Context] = {table.default: context}

        def choose(connection: SSL.Connection) -> None:
            # OpenSSL calls this also for clients that send no name; an exception would end the handshake
            name = connection.get_servername()
            chosen = contexts[table.find(name)] if name else context
            if chosen is not context:
                connection.set_context(chosen)

        context.set_tlsext_servername_callback(choose)
        for certificate in table.certificates:
            if certificate not in contexts:
                contexts[certificate] = _context(certificate)
        self._table = table
        self._base = context

    def getContext(self) -> SSL.Context:
        """The context for a new connection."""
        return self._base

    def certificate_for(self, name: str | None) -> ServerCertificate | None:
        """The certificate that a client gets which sends this server name (``None``: sends none); ``None`` for none."""
        return self._table.find(name.encode("ascii", "replace")) if name else self._table.default


class _Table:
    """Which certificate for which server name."""

    def __init__(self, listeners: Sequence[model.HttpListener], certificates: Mapping[str, ServerCertificate]) -> None:
        self._exact: dict[str, Sequence[ServerCertificate]] = {}
        self._patterns: list[tuple[Callable[[str], object], Sequence[ServerCertificate]]] = []
        self._by_subject: dict[str, ServerCertificate] = {}
        every: dict[ServerCertificate, None] = {}
        for listener in listeners:
            own = [certificates[name] for name in listener.certificates if name in certificates]
            every.update(dict.fromkeys(own))
            for host in listener.host_names if own else ():
                self._add_host(host.lower().rstrip("."), own)
        if not any(listener.certificates for listener in listeners):
            raise ValueError("an HTTPS port needs at least one certificate")
        self.certificates = tuple(every)
        self.default = self.certificates[0] if every else None
        for certificate in self.certificates:
            for name in certificate.names:
                self._by_subject.setdefault(name, certificate)

    def _add_host(self, host: str, own: Sequence[ServerCertificate]) -> None:
        if "*" in host or "?" in host:
            pattern = re.escape(host).replace(r"\*", ".*").replace(r"\?", ".")
            self._patterns.append((re.compile(pattern).fullmatch, own))
        else:
            self._exact.setdefault(host, own)

    def find(self, server_name: bytes) -> ServerCertificate | None:
        if len(server_name) > _LONGEST_NAME:
            return self.default
        name = server_name.decode("latin-1").lower().rstrip(".")
        own = self._exact.get(name)
        if own is None:
            own = next((certificates for matches, certificates in self._patterns if matches(name)), None)
        if own is not None:
            return next((certificate for certificate in own if certificate.covers(name)), own[0])
        found = self._by_subject.get(name) or self._by_subject.get("*." + name.partition(".")[2])
        return found or self.default


def usable(certificate: ServerCertificate) -> str | None:
    """Why OpenSSL refuses a certificate, a sentence for the operator; ``None`` if it takes it."""
    try:
        _context(certificate)
    except ValueError as error:
        return str(error)
    return None


def _context(certificate: ServerCertificate | None) -> SSL.Context:
    """The context that shows a certificate; with ``None`` every handshake fails."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # pyOpenSSL has set partial writes and moving write buffers; idle connections give their 34 KiB back
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # tickets resume sessions without memory here; OpenSSL wants an id context all the same
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(_SESSION_ID)
    context.set_alpn_select_callback(_select_protocol)
    if certificate is None:
        return context
    try:
        context.use_certificate(certificate.leaf)
        context.use_privatekey(certificate.key)
        for intermediate in certificate.chain:
            context.add_extra_chain_cert(intermediate)
        context.check_privatekey()
    except SSL.Error as error:
        reasons = "; ".join(reason for _, _, reason in error.args[0]) if error.args else "no reason given"
        raise ValueError(f"OpenSSL refuses the certificate or its key: {reasons}") from None
    context.set_cipher_list(CIPHERS)
    return context


def _select_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    if ALPN in offered:
        return ALPN
    # an exception becomes the fatal alert no_application_protocol (RFC 7301 §3.2); pyOpenSSL raises it again
    # from do_handshake, where it must look like any other failed handshake
    raise SSL.Error([("SSL routines", "", "no application protocol")])
