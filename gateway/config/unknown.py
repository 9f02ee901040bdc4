"""What becomes of a part of a template whose value only a deployment has.

Nothing is made up where it decides where traffic goes, how it is secured or what it means: an object whose value in
`UNUSABLE` is not known is left out, and what leads to it answers 502 (`gateway.config.salvage`).  A host is a name
under ``.invalid``, which never resolves and nobody asks for (RFC 6761 §6.4); it says what it stands for, and can be
mapped.  Everything else is as if it was not given.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["HOSTS", "TRUSTED", "UNUSABLE", "Needed", "stand_in_host"]


class Needed(NamedTuple):
    """``word``: for an object; ``attributes``: what it cannot be used without; ``and_then``: what follows from that."""

    word: str
    attributes: frozenset[str]
    and_then: str = ""


_502 = ", and what leads to it answers 502"
UNUSABLE = {
    "listeners": Needed("listener", frozenset({"port", "protocol"}), ", and its rule"),
    "settings": Needed("settings", frozenset({"port", "protocol", "path"}), _502),
    "probes": Needed("probe", frozenset({"protocol", "path", "port"}), ", and the default probe is used"),
    "redirects": Needed(
        "redirect", frozenset({"redirect_type", "target_url", "include_path", "include_query_string"}), _502
    ),
    "path_rules": Needed("path rule", frozenset({"paths"})),
    "condition_sets": Needed("condition set", frozenset({"conditions"})),
    "rewriterule": Needed("rewrite rule", frozenset({"conditions"})),
    "header": Needed("this header action", frozenset({"name", "value", "matcher"})),
    "errorpage": Needed("this error page", frozenset({"status", "url"})),
    "distributiontarget": Needed("this target", frozenset({"pool"})),
}
"""For each collection of the model, and each kind of object in lists inside of others."""

HOSTS = frozenset({"host_name", "sni_name", "host"})
"""Attributes that hold the name of one host."""

TRUSTED = frozenset({"ssl_profile", "trusted_client_certificates", "trusted_root_certificates"})
"""Attributes that name who is trusted: a name that is not known is one that nothing has, not the lack of a name."""

_ODD = re.compile(r"[^a-z0-9.-]+")
_LABEL = 63
_LABELS = 4


def stand_in_host(text: str) -> str:
    """A host name for what is not known: ``AppService.host`` gives ``appservice.host.invalid``."""
    labels = [label.strip("-")[:_LABEL].strip("-") for label in _ODD.sub("-", text.casefold()).split(".")]
    return ".".join([*[label for label in labels if label][:_LABELS], "invalid"])
