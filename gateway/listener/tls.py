"""TLS of a bound port: one context for it, and by server name (SNI) the certificate that is shown.

The context is plain OpenSSL, so it serves a connection on a socket (the pump) as well as one on memory
(Twisted's transports).  Versions and suites are those of the listener's terms, ALPN is ``http/1.1`` or ``http/1.0``
(none for listeners of plain TLS); no compression, no renegotiation, session tickets.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from socket import socket
from typing import NamedTuple
from weakref import WeakKeyDictionary

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from zope.interface import implementer

from gateway.config import model
from gateway.listener.certificates import ServerCertificate
from gateway.listener.terms import Terms
from gateway.transport.hello import Hello
from gateway.transport.ticket_names import ticket_name

__all__ = ["ALPN", "ServerTLS", "usable"]

ALPN = (b"http/1.1", b"http/1.0")
"""The protocols that listeners agree on, the better one first (RFC 7301 §6)."""

_SESSION_ID = hashlib.sha256(b"gateway listener").digest()
_LONGEST_NAME = 253  # RFC 1035 §2.3.4 as text
_USUAL = Terms()
_FORBIDDING = (
    (SSL.TLS1_3_VERSION, SSL.OP_NO_TLSv1_3),
    (SSL.TLS1_2_VERSION, SSL.OP_NO_TLSv1_2),
    (SSL.TLS1_1_VERSION, SSL.OP_NO_TLSv1_1),
    (SSL.TLS1_VERSION, SSL.OP_NO_TLSv1),
)


class _Shown(NamedTuple):
    """What a server name leads to: a certificate (``None``: handshakes fail), and the terms of its listener."""

    certificate: ServerCertificate | None
    terms: Terms


_Beginning = tuple["_Table", Callable[[SSL.Connection, "_Shown"], None]]


@implementer(IOpenSSLContextFactory)
class ServerTLS:
    """What a listening endpoint needs for TLS: ``getContext()``, asked for each new connection.

    ``listeners``: the HTTPS listeners that share the port, in rule order.  ``certificates`` are those that could be
    loaded, by name; where the port has none of its own, its handshakes fail.  ``terms``: those of the listeners by
    name, where they are not the usual ones.  The certificate for a server name is that of the listener whose host names
    match it, exact ones first; else any that is valid for the name; else the first listener's first, as for clients
    that send no name.  Raises ``ValueError`` if no listener names a certificate or OpenSSL refuses one.
    ``wants_offers``: the suites that clients offer are to be known.  ``elsewhere``: see `server_welcome`.
    """

    elsewhere: Callable[[Hello, socket], bool] | None = None

    def __init__(
        self,
        listeners: Sequence[model.HttpListener],
        certificates: Mapping[str, ServerCertificate],
        terms: Mapping[str, Terms] | None = None,
        wants_offers: bool = False,
    ) -> None:
        self.wants_offers = wants_offers
        self._table: _Table
        self._base: SSL.Context
        # By the context that a connection begins with: it goes on as it has begun, whatever the port is then.
        self._began: WeakKeyDictionary[SSL.Context, _Beginning] = WeakKeyDictionary()
        self._named: tuple[SSL.Context, bytes] | None = None
        self.replace(listeners, certificates, terms)

    def become(self, other: ServerTLS) -> None:
        """Be as ``other`` for connections that begin from now on.

        Where both show the same on the same terms no context changes, so that tickets stay good.
        """
        self.wants_offers = other.wants_offers
        if not self._table.equals(other._table):
            self._table, self._base = other._table, other._base
            self._began.update(other._began)

    def replace(
        self,
        listeners: Sequence[model.HttpListener],
        certificates: Mapping[str, ServerCertificate],
        terms: Mapping[str, Terms] | None = None,
    ) -> None:
        """Use other listeners, certificates and terms for connections that begin from now on.

        All or nothing: where it raises, the old ones stay.
        """
        table = _Table(listeners, certificates, terms or {})
        # The version is agreed on before the name is looked at: the port's context takes all that any listener takes.
        least, most = table.least, table.most
        http = not listeners[0].layer4  # else clients agree on whatever they like, with the backend
        contexts = {shown: _context(shown, least, most, http) for shown in table.all}
        context = contexts[table.default]
        refusing = _context(_Shown(None, _USUAL), least, most)
        # `choose` must not keep the context that keeps it: nothing but a full collection would find them.
        others = {shown: made for shown, made in contexts.items() if made is not context}

        def switch(connection: SSL.Connection, shown: _Shown) -> None:
            # OpenSSL calls `choose` of the context that the connection began with, and again for a second hello, when
            # the port may have another context already: so the connection keeps the first one.
            vars(connection).setdefault("first_context", connection.get_context())
            authorities = shown.terms.authorities
            if shown in others:
                connection.set_context(others[shown])
                if authorities is not None:
                    authorities.ask_on(connection)
                elif table.default.terms.authorities is not None:
                    connection.set_verify(SSL.VERIFY_NONE, None)

        def choose(connection: SSL.Connection) -> None:
            # OpenSSL calls this also for clients that send no name; an exception would be lost.
            shown = table.asked(connection.get_servername())
            switch(connection, shown)
            if not shown.terms.minimum <= connection.get_protocol_version() <= shown.terms.maximum:
                connection.set_context(refusing)

        context.set_tlsext_servername_callback(choose)
        self._table = table
        self._base = context
        self._began[context] = table, switch

    @property
    def listens(self) -> bool:
        """Whether `meet` is to be called."""
        return self.wants_offers or self._table.varies

    def meet(self, connection: SSL.Connection, hello: Hello) -> bytes:
        """A client has said what it wants, and OpenSSL has not heard it: it gets its listener's versions and suites.

        OpenSSL agrees on the version and on a suite of TLS 1.3 before it looks at the name; which signatures it allows,
        and so whether TLS 1.0 and 1.1, goes with the context.  Returns the suites that are to be remembered.
        """
        table, switch = self._began[connection.get_context()]
        if table.varies:
            shown = table.asked(hello.name)
            switch(connection, shown)
            for version, option in _FORBIDDING:
                if not shown.terms.minimum <= version <= shown.terms.maximum:
                    connection.set_options(option)
        return hello.suites if self.wants_offers else b""

    def getContext(self) -> SSL.Context:
        """The context for a new connection."""
        return self._base

    def ticket_name(self) -> bytes:
        """What tickets of the context for new connections begin with, see `gateway.transport.ticket_names`.

        Empty if it gives none.  Takes a millisecond for each context.
        """
        named = self._named
        if named is None or named[0] is not self._base:
            terms = self._table.default.terms
            self._named = named = self._base, ticket_name(self._base, terms.minimum, terms.maximum)
        return named[1]

    def certificate_for(self, name: str | None) -> ServerCertificate | None:
        """The certificate that a client gets which sends this server name (``None``: sends none); ``None`` for none."""
        return self._table.asked(name.encode("ascii", "replace") if name else None).certificate


class _Table:
    """Which certificate, and whose terms, for which server name."""

    def __init__(
        self,
        listeners: Sequence[model.HttpListener],
        certificates: Mapping[str, ServerCertificate],
        terms: Mapping[str, Terms],
    ) -> None:
        self._exact: dict[str, Sequence[_Shown]] = {}
        self._patterns: list[tuple[Callable[[str], object], Sequence[_Shown]]] = []
        self._by_subject: dict[str, _Shown] = {}
        every: dict[_Shown, None] = {}
        self._listed = [(each.host_names, each.certificates, each.layer4) for each in listeners]
        for listener in listeners:
            own = [
                _Shown(certificates[name], terms.get(listener.name, _USUAL))
                for name in listener.certificates
                if name in certificates
            ]
            every.update(dict.fromkeys(own))
            for host in listener.host_names if own else ():
                self._add_host(host.lower().rstrip("."), own)
        if not any(listener.certificates for listener in listeners):
            raise ValueError("an HTTPS port needs at least one certificate")
        self.all = tuple(every) or (_Shown(None, _USUAL),)
        self.default = self.all[0]
        self.least = min(shown.terms.minimum for shown in self.all)
        self.most = max(shown.terms.maximum for shown in self.all)
        # What OpenSSL settles before it looks at the name.
        self.varies = len({(each.terms.minimum, each.terms.maximum, each.terms.suites13) for each in self.all}) > 1
        for shown in every:
            for name in shown.certificate.names if shown.certificate is not None else ():
                self._by_subject.setdefault(name, shown)

    def equals(self, other: _Table) -> bool:
        """Whether both give the same for every name. Terms with authorities for clients are never the same."""
        return (self._listed, self._seen()) == (other._listed, other._seen())

    def _seen(self) -> list[object]:
        """What clients see: two objects of one certificate, or of its key, are not equal."""
        return [
            (None if shown.certificate is None else (shown.certificate.leaf, shown.certificate.chain), shown.terms)
            for shown in self.all
        ]

    def _add_host(self, host: str, own: Sequence[_Shown]) -> None:
        if "*" in host or "?" in host:
            pattern = re.escape(host).replace(r"\*", ".*").replace(r"\?", ".")
            self._patterns.append((re.compile(pattern).fullmatch, own))
        else:
            self._exact.setdefault(host, own)

    def asked(self, server_name: bytes | None) -> _Shown:
        """What a client gets which sends this name, or none."""
        return self.find(server_name) if server_name else self.default

    def find(self, server_name: bytes) -> _Shown:
        if len(server_name) > _LONGEST_NAME:
            return self.default
        name = server_name.decode("latin-1").lower().rstrip(".")
        own = self._exact.get(name)
        if own is None:
            own = next((shown for matches, shown in self._patterns if matches(name)), None)
        if own is not None:
            return next((shown for shown in own if shown.certificate and shown.certificate.covers(name)), own[0])
        found = self._by_subject.get(name) or self._by_subject.get("*." + name.partition(".")[2])
        return found or self.default


def usable(certificate: ServerCertificate) -> str | None:
    """Why OpenSSL refuses a certificate, a sentence for the operator; ``None`` if it takes it."""
    try:
        _context(_Shown(certificate, _USUAL), _USUAL.minimum, _USUAL.maximum)
    except ValueError as error:
        return str(error)
    return None


def _context(shown: _Shown, least: int, most: int, http: bool = True) -> SSL.Context:
    """The context that shows a certificate; without one every handshake fails."""
    certificate, terms = shown
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(least)
    context.set_max_proto_version(most)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # pyOpenSSL has set partial writes and moving write buffers; idle connections give their 34 KiB back
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # tickets resume sessions without memory here; OpenSSL wants an id context all the same
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(_SESSION_ID)
    if http:
        context.set_alpn_select_callback(_select_protocol)
    if certificate is None:
        return context
    context.set_cipher_list(terms.ciphers.encode())
    if terms.suites13:
        context.set_tls13_ciphersuites(terms.suites13.encode())
    if terms.authorities is not None:
        terms.authorities.ask(context)
        context.set_app_data(terms.authorities.examine)
    try:
        context.use_certificate(certificate.leaf)
        context.use_privatekey(certificate.key)
        for intermediate in certificate.chain:
            context.add_extra_chain_cert(intermediate)
        context.check_privatekey()
    except SSL.Error as error:
        reasons = "; ".join(reason for _, _, reason in error.args[0]) if error.args else "no reason given"
        raise ValueError(f"OpenSSL refuses the certificate or its key: {reasons}") from None
    return context


def _select_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    for protocol in ALPN:
        if protocol in offered:
            return protocol
    # an exception becomes the fatal alert no_application_protocol (RFC 7301 §3.2); pyOpenSSL raises it again
    # from do_handshake, where it must look like any other failed handshake
    raise SSL.Error([("SSL routines", "", "no application protocol")])
