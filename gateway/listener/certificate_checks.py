"""What is wrong with the certificates of a configuration, before anything starts.

Certificates that cannot be used are errors; those that clients will mind (expired, soon to expire, for
another name) are warnings: the gateway serves what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509

from gateway.config import model
from gateway.errors import ConfigurationError, Problem
from gateway.listener.certificates import ServerCertificate, load, load_authorities, load_root
from gateway.listener.terms import Terms, terms_of
from gateway.listener.tls import usable

__all__ = [
    "SOON", "check_certificates", "lifetime_problems", "load_asked", "load_roots", "load_shown", "load_terms",
    "load_usable", "minded",
]  # fmt: skip

SOON = timedelta(days=30)
"""A certificate that ends within this time gets a warning."""

_Item = TypeVar("_Item")
_T = TypeVar("_T")


def check_certificates(gateway: model.Gateway, now: datetime | None = None) -> list[Problem]:
    """Load every certificate, key and trusted root of a configuration and say what is wrong with them.

    Paths are those of the model, ``certificates[0].password``.  What nothing refers to gives warnings only; what has
    neither data nor files, or is unavailable, is reported by `gateway.config.check`.  ``now`` is aware; default: the
    present.
    """
    now = now or datetime.now(UTC)
    problems: list[Problem] = []
    shown, trusted = _shown(gateway), _trusted(gateway)
    loaded: dict[str, ServerCertificate] = {}
    for number, certificate in enumerate(gateway.certificates):
        if certificate.unavailable is not None or not (certificate.certificate_file or certificate.data):
            continue
        path, used = f"certificates[{number}]", certificate.name in shown
        found = _try(load_usable, certificate, path, problems, used)
        if found is not None:
            loaded[certificate.name] = found
    problems.extend(minded(gateway, loaded, loaded, now))
    for number, root in enumerate(gateway.trusted_roots):
        path = f"trustedRoots[{number}]"
        if root.unavailable is None and (root.file or root.data):
            roots = _try(load_root, root, path, problems, root.name in trusted)
            problems.extend(lifetime_problems(f"{path}.{'file' if root.file else 'data'}", roots or (), now))
    for number, authority in enumerate(gateway.trusted_client_certificates):
        path = f"trustedClientCertificates[{number}]"
        if authority.unavailable is None and (authority.file or authority.data):
            found_there = _try(load_authorities, authority, path, problems, authority.name in _asked(gateway))
            problems.extend(lifetime_problems(f"{path}.{'file' if authority.file else 'data'}", found_there or (), now))
    return problems


def minded(
    gateway: model.Gateway, loaded: Mapping[str, ServerCertificate], which: Container[str], now: datetime | None = None
) -> list[Problem]:
    """Warnings for what clients will mind of the certificates ``which``, names: when they end, and whom they are for.

    ``loaded``: all of them, by name.  ``now`` as of `check_certificates`.
    """
    now = now or datetime.now(UTC)
    problems: list[Problem] = []
    for number, certificate in enumerate(gateway.certificates):
        if certificate.name in which:
            path = _source(f"certificates[{number}]", certificate)
            problems.extend(lifetime_problems(path, loaded[certificate.name].sent, now))
    for number, listener in enumerate(gateway.listeners):
        if listener.secure and any(name in which for name in listener.certificates):
            problems.extend(_name_problems(f"listeners[{number}].hostNames", listener, loaded))
    return problems


def load_shown(gateway: model.Gateway, problems: list[Problem]) -> dict[str, ServerCertificate]:
    """The certificates that HTTPS listeners show, by name. Of those that cannot be loaded ``problems`` gets errors.

    What is unavailable is left out, and what nothing uses.
    """
    shown = _shown(gateway)
    return {
        certificate.name: found
        for number, certificate in enumerate(gateway.certificates)
        if certificate.name in shown and certificate.unavailable is None
        if (found := _try(load_usable, certificate, f"certificates[{number}]", problems, True)) is not None
    }


def load_roots(gateway: model.Gateway, problems: list[Problem]) -> dict[str, tuple[x509.Certificate, ...]]:
    """The trusted roots by name; one that is unavailable has no certificates.

    ``problems`` gets errors of those that cannot be loaded, and warnings where nothing uses them.
    """
    trusted = _trusted(gateway)
    roots: dict[str, tuple[x509.Certificate, ...]] = {}
    for number, root in enumerate(gateway.trusted_roots):
        if root.unavailable is not None:
            roots[root.name] = ()
            continue
        read = _try(load_root, root, f"trustedRoots[{number}]", problems, root.name in trusted)
        if read is not None:
            roots[root.name] = read
    return roots


def load_asked(gateway: model.Gateway, problems: list[Problem]) -> dict[str, tuple[x509.Certificate, ...]]:
    """The authorities that listeners trust, by name; ``problems`` as of `load_shown`."""
    asked = _asked(gateway)
    return {
        authority.name: found
        for number, authority in enumerate(gateway.trusted_client_certificates)
        if authority.name in asked and authority.unavailable is None
        if (found := _try(load_authorities, authority, f"trustedClientCertificates[{number}]", problems, True))
        is not None
    }


def load_terms(gateway: model.Gateway, asked: Mapping[str, tuple[x509.Certificate, ...]]) -> dict[str, Terms]:
    """What each listener asks of its clients, by its name. ``asked``: what `load_asked` has found."""
    return terms_of(
        gateway,
        {
            profile.name: [asked[name] for name in profile.trusted_client_certificates if name in asked]
            for profile in gateway.ssl_profiles
        },
    )


def load_usable(certificate: model.Certificate, path: str = "") -> ServerCertificate:
    """As `gateway.listener.certificates.load`, and OpenSSL has taken it and its key. Raises `ConfigurationError`."""
    found = load(certificate, path)
    refusal = usable(found)
    if refusal is not None:
        raise ConfigurationError([Problem(_source(path or f"certificates[{certificate.name}]", certificate), refusal)])
    return found


def _shown(gateway: model.Gateway) -> set[str]:
    """Names of the certificates that are needed."""
    return {name for listener in gateway.listeners if listener.secure for name in listener.certificates}


def _trusted(gateway: model.Gateway) -> set[str]:
    """Names of the trusted roots that are needed."""
    return {
        name
        for settings in gateway.settings
        if settings.secure
        for name in settings.trusted_root_certificates
    }


def _asked(gateway: model.Gateway) -> set[str]:
    """Names of the client certificates that listeners trust."""
    profiles = {listener.ssl_profile for listener in gateway.listeners if listener.secure}
    return {
        name
        for profile in gateway.ssl_profiles
        if profile.name in profiles
        for name in profile.trusted_client_certificates
    }


def _source(path: str, certificate: model.Certificate) -> str:
    """Where the certificate itself comes from."""
    return f"{path}.{'certificateFile' if certificate.certificate_file is not None else 'data'}"


def lifetime_problems(path: str, certificates: Iterable[x509.Certificate], now: datetime) -> list[Problem]:
    """Warnings for certificates that are not valid now, or will not be for long."""
    problems = []
    for certificate in certificates:
        subject = certificate.subject.rfc4514_string() or "the certificate"
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if end < now:
            message = f"{subject} expired on {end:%Y-%m-%d %H:%M} UTC: renew it"
        elif start > now:
            message = f"{subject} is valid only from {start:%Y-%m-%d %H:%M} UTC on: check it, and this machine's clock"
        elif end < now + SOON:
            message = f"{subject} expires in {(end - now).days} days, on {end:%Y-%m-%d %H:%M} UTC: renew it"
        else:
            continue
        problems.append(Problem(path, message, severity="warning"))
    return problems


def _name_problems(path: str, listener: model.HttpListener, loaded: Mapping[str, ServerCertificate]) -> list[Problem]:
    certificates = [loaded[name] for name in listener.certificates if name in loaded]
    if not certificates:  # none, or none that could be loaded: that has been said
        return []
    names = ", ".join(name for certificate in certificates for name in certificate.names) or "no name at all"
    return [
        Problem(
            path,
            f"no certificate of this listener is valid for {host}: they are for {names}",
            severity="warning",
        )
        for host in listener.host_names
        if not any(_covers(certificate, host) for certificate in certificates)
    ]


def _covers(certificate: ServerCertificate, host: str) -> bool:
    """Whether it covers a host pattern: the pattern itself, or one host that the pattern stands for."""
    return certificate.covers(host) or certificate.covers(host.replace("*", "x").replace("?", "x"))


def _try(read: Callable[[_Item, str], _T], item: _Item, path: str, problems: list[Problem], used: bool) -> _T | None:
    """What ``read`` makes of an item; its problems are added, as warnings where nothing uses the item."""
    try:
        return read(item, path)
    except ConfigurationError as error:
        for problem in error.problems:
            if used:
                problems.append(problem)
            else:
                message = f"{problem.message} (nothing uses it)"
                problems.append(problem._replace(message=message, severity="warning"))
        return None
