"""Redirects: to a listener that a URL can be made from, or to a URL."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding
from gateway.config.model import Gateway, HttpListener, Redirect

__all__ = ["find"]


def find(gateway: Gateway) -> Iterator[Finding]:
    """Redirects with no target or two, and those that cannot work."""
    listeners = {listener.name: listener for listener in gateway.listeners}
    for index, redirect in enumerate(gateway.redirects):
        if (redirect.target_listener is None) == (redirect.target_url is None):
            found = "neither" if redirect.target_url is None else "both"
            message = f"redirect {redirect.name!r} has {found} of 'targetListener' and 'targetUrl'; give exactly one"
            yield Finding(("redirects", index), message)
        listener = listeners.get(redirect.target_listener or "")
        if listener is not None:
            for message in _problems(gateway, redirect, listener):
                yield Finding(("redirects", index, "target_listener"), message)


def _problems(gateway: Gateway, redirect: Redirect, listener: HttpListener) -> Iterator[str]:
    if len(listener.host_names) > 1 or any("*" in host or "?" in host for host in listener.host_names):
        yield (
            f"listener {listener.name!r} has several or wildcard host names, so no URL can be made from it; use "
            "'targetUrl'"
        )
    for rule in gateway.rules:
        if rule.listener == listener.name and rule.redirect == redirect.name:
            yield f"redirect {redirect.name!r} leads listener {listener.name!r} to itself"
