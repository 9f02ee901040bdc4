"""What settles a reference that points nowhere, in the words of the overrides."""

from __future__ import annotations

from gateway.config.draft import Draft
from gateway.config.findings import Finding
from gateway.config.model import Gateway

__all__ = ["remedy"]

_MAKES = {
    "pools": "pools: {{{name}: ['host:port']}}",
    "settings": "settings: {{{name}: {{port: 80}}}}",
    "certificates": "certificates: {{{name}: {{certificateFile: …, keyFile: …}}}}",
    "trusted_roots": "certificates: {{{name}: {{certificateFile: …}}}}",
}


def remedy(finding: Finding, gateway: Gateway, draft: Draft) -> str:
    """What to add to the message of a finding about a document in Azure's spelling; empty for most."""
    if not finding.kind:
        if not gateway.listeners and not finding.location:
            return "; add httpListeners and requestRoutingRules to it, or choose another gateway of the document"
        return ""
    made = _MAKES.get(finding.kind)
    if made is None or not finding.name:
        return "; Azure refuses this too (InvalidResourceReference): correct the id or add what it names"
    return (
        "; Azure refuses this too (InvalidResourceReference): correct the id, add what it names, or let overrides "
        f"'{made.format(name=finding.name)}' make it"
    )
