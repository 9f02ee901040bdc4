"""Certificates that an ARM document names and does not have, and why."""

from __future__ import annotations

from typing import Any

from gateway.config.draft import Draft

__all__ = ["is_placeholder", "note_absence"]

_PLACEHOLDER = 256


def note_absence(draft: Draft) -> None:
    """Say why a certificate or trusted root is not there, if it is not."""
    unknown = sorted(draft.unknown & {"data", "password"})
    if draft.get("certificate_file") or draft.get("file") or draft.failed:
        return
    if is_placeholder(draft.get("data")):
        reason = "its data is a placeholder and no certificate"
    elif unknown:
        reason = f"its {' and '.join(unknown)} {'are' if len(unknown) > 1 else 'is'} not known here"
    elif draft.get("data"):
        return
    elif draft.get("key_vault_secret_id"):
        reason = "it is in a Key Vault, which cannot be asked here"
    else:
        reason = "it has no data"
    draft.pop("data", None)
    draft.pop("password", None)
    draft["unavailable"] = reason


def is_placeholder(data: Any) -> bool:
    """Whether what stands for a certificate is none at all, as in templates that get theirs when they are deployed.

    A short text that neither is PEM nor begins as PKCS#12 in base64 does (``MI``).
    """
    if not isinstance(data, str):
        return False
    text = data.strip()
    return len(text) <= _PLACEHOLDER and not text.startswith("MI") and "-----BEGIN" not in text
