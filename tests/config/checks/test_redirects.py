"""`gateway.config.checks.redirects`."""

from __future__ import annotations

from typing import Any

from gateway.config.model import Gateway, HttpListener, Redirect, Rule
from tests.config.checks.support import CheckCase, gateway, host


class RedirectTests(CheckCase):
    """Their targets."""

    def test_redirects(self) -> None:
        def redirected(listener: HttpListener, **members: Any) -> Gateway:
            rules = (
                Rule(name="r", listener="from", redirect="d"),
                Rule(name="q", listener="to", pool="p", settings="s"),
            )
            return gateway(host("from", port=81), listener, rules=rules, redirects=(Redirect(name="d", **members),))

        self.says(redirected(host("to"), target_listener="to"))
        self.says(redirected(host("to")), "has neither of 'targetListener' and 'targetUrl'")
        self.says(redirected(host("to"), target_listener="to", target_url="http://x"), "has both")
        self.says(redirected(host("to"), target_url="/x"), "a target is an absolute URL")
        self.says(redirected(host("to", host_names=("*.a",)), target_listener="to"), "several or wildcard host names")
        self.says(redirected(host("to"), target_listener="from"), "leads listener 'from' to itself")
