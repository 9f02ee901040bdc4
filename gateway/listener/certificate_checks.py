"""What is wrong with the certificates of a configuration, before anything starts.

Certificates that cannot be used are errors; those that clients will mind (expired, soon to expire, for
another name) are warnings: the gateway serves what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509

from gateway.config import model
from gateway.errors import ConfigurationError, Problem
from gateway.listener.certificates import ServerCertificate, load, load_root
from gateway.listener.tls import usable

__all__ = ["SOON", "check_certificates", "lifetime_problems"]

SOON = timedelta(days=30)
"""A certificate that ends within this time gets a warning."""

_Item = TypeVar("_Item")
_T = TypeVar("_T")


def check_certificates(gateway: model.Gateway, now: datetime | None = None) -> list[Problem]:
    """Load every certificate, key and trusted root of a configuration and say what is wrong with them.

    What nothing refers to gives warnings only.  ``now`` is aware; default: the present.
    """
    now = now or datetime.now(UTC)
    problems: list[Problem] = []
    shown = {name for listener in gateway.listeners if listener.protocol == "Https" for name in listener.certificates}
    loaded: dict[str, ServerCertificate] = {}
    for certificate in gateway.certificates:
        found = _try(load, certificate, problems, certificate.name in shown)
        if found is not None:
            path = f"sslCertificates[{certificate.name}]"
            loaded[certificate.name] = found
            refusal = usable(found)
            if refusal is not None:
                problems.append(Problem(path, refusal, severity=_severity(certificate.name in shown)))
            problems.extend(lifetime_problems(path, [found.leaf, *found.chain], now))
    trusted = {name for settings in gateway.settings for name in settings.trusted_root_certificates}
    for root in gateway.trusted_roots:
        certificates = _try(load_root, root, problems, root.name in trusted)
        if certificates is not None:
            problems.extend(lifetime_problems(f"trustedRootCertificates[{root.name}]", certificates, now))
    for listener in gateway.listeners:
        if listener.protocol == "Https":
            problems.extend(_name_problems(listener, loaded))
    return problems


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


def _name_problems(listener: model.HttpListener, loaded: Mapping[str, ServerCertificate]) -> list[Problem]:
    certificates = [loaded[name] for name in listener.certificates if name in loaded]
    if not certificates:  # none, or none that could be loaded: that has been said
        return []
    names = ", ".join(name for certificate in certificates for name in certificate.names) or "no name at all"
    return [
        Problem(
            f"httpListeners[{listener.name}].hostNames",
            f"no certificate of this listener is valid for {host}: they are for {names}",
            severity="warning",
        )
        for host in listener.host_names
        if not any(_covers(certificate, host) for certificate in certificates)
    ]


def _covers(certificate: ServerCertificate, host: str) -> bool:
    """Whether it covers a host pattern: the pattern itself, or one host that the pattern stands for."""
    return certificate.covers(host) or certificate.covers(host.replace("*", "x").replace("?", "x"))


def _try(read: Callable[[_Item], _T], item: _Item, problems: list[Problem], used: bool) -> _T | None:
    try:
        return read(item)
    except ConfigurationError as error:
        for problem in error.problems:
            message = problem.message if used else f"{problem.message} (nothing uses it)"
            problems.append(problem._replace(message=message, severity=_severity(used)))
        return None


def _severity(used: bool) -> str:
    return "error" if used else "warning"
