"""`gateway.routing.prefix`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import AmbiguousPath
from gateway.routing.prefix import PrefixOptions, factory
from gateway.testing import RouterConformance, request_head
from tests.routing.support import Built

PREFIXES = {"/api": {"pool": "a"}, "/api/v2/": {"pool": "b", "settings": "slow"}, "/Größe": {"pool": "b"}}


class ConformanceTests(RouterConformance, SynchronousTestCase):
    """As every router."""

    listener = "web"

    def make_router(self) -> Any:
        """See `RouterConformance`."""
        return Built(factory, prefixes=PREFIXES).router


class PrefixTests(SynchronousTestCase):
    """The longest one decides."""

    def test_longest(self) -> None:
        built = Built(factory, prefixes=PREFIXES)
        expected = {
            "/api": "a", "/api/": "a", "/api/x": "a", "/api?x=/api/v2": "a", "/API/x": "a", "/api/v22": "a",
            "/api/v2": "b", "/api/v2/": "b", "/api/v2/x/y": "b", "/%61pi/v2": "b", "/api//v2/z": "b",
            "/gr%C3%B6%C3%9Fe/1": "b", "/": "own", "/apix": "own", "/x/api": "own", "*": "own", "/api%2f": "a",
        }  # fmt: skip
        self.assertEqual(expected, {target: built.where(request_head(target)) for target in expected})

    def test_read_differently(self) -> None:
        """A path that is under another prefix to some servers."""
        built = Built(factory, prefixes=PREFIXES)
        for target in ("/api/../x", "/x/..%2fapi", "/api/x/..;/v2/", "/api/v2/..\\x"):
            self.assertRaises(AmbiguousPath, built.where, request_head(target))
        self.assertEqual("a", built.where(request_head("/api/x/../y")))

    def test_root(self) -> None:
        built = Built(factory, prefixes={"/": {"pool": "a"}, "/b": {"pool": "b"}})
        targets = ("/", "/x", "/b", "/bb", "*")
        self.assertEqual(["a", "a", "b", "a", "own"], [built.where(request_head(target)) for target in targets])

    def test_what_matched(self) -> None:
        """A path of the settings replaces it."""
        route = Built(factory, prefixes=PREFIXES).router.route(request_head("/api/v2/x"), "web")
        self.assertEqual(("/api/v2", "/api/v2/", "slow"), (route.matched, route.path_rule, route.settings.name))

    def test_refused(self) -> None:
        for wrong in ({}, {"api": {"pool": "a"}}, {"/a*": {"pool": "a"}}, {"/a": {"pool": "a"}, "/A/": {"pool": "b"}}):
            self.assertRaises(ValidationError, PrefixOptions.model_validate, {"prefixes": wrong})
        self.assertRaises(ValueError, Built, factory, prefixes={"/": {"pool": "none"}})
        self.assertRaises(ValueError, Built, factory, prefixes={"/": {"pool": "a", "settings": "none"}})
