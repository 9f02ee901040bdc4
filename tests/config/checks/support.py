"""A model that is fine, to be broken, and what is then said of it."""

from __future__ import annotations

from typing import Any

from twisted.trial import unittest

from gateway.config.check import check
from gateway.config.model import BackendSettings, Gateway, HttpListener, Member, Pool, Rule

SETTINGS = BackendSettings(name="s", request_timeout=60)
POOL = Pool(name="p", members=(Member(host="h"),))


def gateway(*listeners: HttpListener, rules: tuple[Rule, ...] | None = None, **members: Any) -> Gateway:
    """A gateway that is complete unless the arguments break it."""
    listeners = listeners or (HttpListener(name="l", port=80),)
    if rules is None:
        rules = tuple(
            Rule(name=f"r{i}", listener=item.name, pool="p", settings="s") for i, item in enumerate(listeners)
        )
    return Gateway(listeners=listeners, rules=rules, **({"pools": (POOL,), "settings": (SETTINGS,)} | members))


def host(name: str, **members: Any) -> HttpListener:
    return HttpListener(name=name, **({"port": 80} | members))


class CheckCase(unittest.SynchronousTestCase):
    """Looks for problems of one severity."""

    def found(self, model: Gateway, severity: str = "error") -> list[str]:
        return [str(problem) for problem in check(model) if problem.severity == severity]

    def says(self, model: Gateway, *messages: str, severity: str = "error") -> None:
        found = self.found(model, severity)
        self.assertEqual(len(found), len(messages), found)
        for text, message in zip(found, messages, strict=True):
            self.assertIn(message, text)
