"""TLS towards backends: which name is sent and verified, which authorities are trusted, and what went wrong.

The rules are those of the reference: the name is the settings' ``sniName``, else their ``hostName``, else the
member's with ``pickHostNameFromBackendAddress``, else the one the client asked for.  The chain is verified by
OpenSSL against the trusted roots of the settings, or the platform's where they name none; the identity by
service-identity (RFC 9525: subject alternative names only).  Contexts are shared by all connections that
trust the same authorities.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address

import idna
from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address

from gateway.config import model
from gateway.errors import BackendTLSFailed
from gateway.transport.tls import ClientTLS
from gateway.transport.tls_reasons import mismatch, note_finding, printable

__all__ = ["Roots", "backend_tls", "client_names", "forget", "probe_tls", "traffic_name"]

Roots = Mapping[str, Sequence[x509.Certificate]]
"""Trusted roots by name, as `gateway.listener.certificate_checks.load_used` gives them."""

_LONGEST_NAME = 253  # RFC 1035 §2.3.4 as text
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_PROBE_HOST = "127.0.0.1"  # the default probe's Host field; it says nothing about a certificate


def backend_tls(settings: model.BackendSettings, member_host: str, client_host: str, roots: Roots) -> ClientTLS:
    """TLS for requests.

    ``member_host``: the member of the pool as configured.  ``client_host``: Host as the client sent it,
    perhaps with a port, perhaps empty.  The same arguments give the same object (within bounds).
    """
    return _client_tls(settings, traffic_name(settings, member_host, client_host), roots)


def traffic_name(settings: model.BackendSettings, member_host: str, client_host: str) -> str:
    """The name that is sent (unless it is an address) and verified; arguments as in `backend_tls`."""
    name = settings.sni_name or settings.host_name
    if not name:
        name = member_host if settings.pick_host_name_from_backend_address else client_host or member_host
    return name


def client_names(settings: model.BackendSettings) -> bool:
    """Whether `traffic_name` is what the client says, or leaves out."""
    return not (settings.sni_name or settings.host_name or settings.pick_host_name_from_backend_address)


def probe_tls(settings: model.BackendSettings, probe: model.Probe | None, member_host: str, roots: Roots) -> ClientTLS:
    """TLS for health probes; ``probe`` is ``None`` for the default probe.

    The name is the settings' ``sniName``, else the probe's ``host``, else the settings' ``hostName``, else
    the member's.
    """
    name = settings.sni_name
    if not name and probe is not None and not probe.pick_host_name_from_backend_http_settings:
        name = probe.host if probe.host != _PROBE_HOST else None
    return _client_tls(settings, name or settings.host_name or member_host, roots)


def forget() -> None:
    """Drop cached contexts, so that the platform's authorities are read again. For reloads."""
    _context.cache_clear()
    _named.cache_clear()


def _client_tls(settings: model.BackendSettings, name: str, roots: Roots) -> ClientTLS:
    trusted = tuple(root for key in settings.trusted_root_certificates for root in roots[key])
    context = _context(settings.validate_cert_chain_and_expiry, trusted, not settings.trusted_root_certificates)
    return _named(context, _bare(name), settings.validate_sni)


@lru_cache(maxsize=256)
def _named(context: SSL.Context, name: str, check: bool) -> ClientTLS:
    server_name = None if _is_address(name) else _ascii(name)
    return ClientTLS(context, server_name, _Identity(name, server_name) if check else None)


@lru_cache(maxsize=64)
def _context(verify: bool, trusted: tuple[x509.Certificate, ...], platform: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # No ALPN: HTTP/1.1 is what a server speaks without it, and Twisted's refuses an offer that it has no answer to.
    if not verify:
        context.set_verify(SSL.VERIFY_NONE)
        return context
    context.set_verify(SSL.VERIFY_PEER, note_finding)
    if platform:  # not where roots are named and unavailable: nothing is trusted then
        context.set_default_verify_paths()
        return context
    store = context.get_cert_store()
    assert store is not None
    # what an operator names is trusted as it stands: an intermediate or a self-signed leaf as well as a root
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for certificate in trusted:
        store.add_cert(crypto.X509.from_cryptography(certificate))
    return context


class _Identity:
    """Verifies that a backend's certificate is for a name or an address; called after the handshake."""

    def __init__(self, name: str, server_name: str | None) -> None:
        self._name = name
        self._server_name = server_name

    def __call__(self, connection: SSL.Connection) -> None:
        """Raises `BackendTLSFailed`."""
        try:
            if self._server_name is not None:
                verify_hostname(connection, self._server_name)
            elif _is_address(self._name):
                verify_ip_address(connection, self._name)
            else:
                raise BackendTLSFailed(
                    f"the backend's certificate cannot be checked, because {printable(self._name)!r} is no host name"
                )
        except (VerificationError, CertificateError, ValueError) as error:
            raise BackendTLSFailed(mismatch(connection, self._name, error)) from None


def _bare(host: str) -> str:
    """A host without its port and brackets, lower case, without the root dot."""
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    return host.lower().rstrip(".")


def _ascii(name: str) -> str | None:
    """The name as it goes over the wire; ``None`` if it can be no host name."""
    try:
        text = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
    return text if len(text) <= _LONGEST_NAME and _HOST_NAME.fullmatch(text) else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
