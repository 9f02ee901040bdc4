"""Certificates and trusted roots that are named and not there."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding
from gateway.config.kinds import ONE
from gateway.config.model import Certificate, Gateway, TrustedRoot

__all__ = ["find"]


def find(gateway: Gateway) -> Iterator[Finding]:
    """Each that is absent: an error where it is needed, unless the document says itself why it is not there."""
    secure = [listener for listener in gateway.listeners if listener.secure]
    verified = [settings for settings in gateway.settings if settings.secure]
    needed = {
        "certificates": {name for listener in secure for name in listener.certificates},
        "trusted_roots": {name for settings in verified for name in settings.trusted_root_certificates},
    }
    for kind, names in needed.items():
        for index, item in enumerate(getattr(gateway, kind)):
            message = _absence(kind, item)
            if message:
                error = item.name in names and item.unavailable is None
                yield Finding((kind, index), message, "error" if error else "warning")


def _absence(kind: str, item: Certificate | TrustedRoot) -> str | None:
    """What is to be said of a certificate or root that is not there; ``None`` where there is one."""
    root = isinstance(item, TrustedRoot)
    file = item.file if isinstance(item, TrustedRoot) else item.certificate_file
    if item.unavailable is None and (item.data or file):
        return None
    files = "certificateFile: …" if root else "certificateFile: …, keyFile: …"
    settle = f"give files with overrides 'certificates: {{{item.name}: {{{files}}}}}'"
    title = f"{ONE[kind]} {item.name!r}"
    if item.unavailable is not None:
        what = "backends that are verified against it are down" if root else "HTTPS handshakes that need it fail"
        return f"{title} is not there: {item.unavailable}; until it is, {what}; {settle}"
    if item.key_vault_secret_id:
        return f"{title} is in a Key Vault, which cannot be asked here; {settle}"
    return f"{title} has neither data nor files; {settle}"
