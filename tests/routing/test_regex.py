"""`gateway.routing.regex`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import AmbiguousPath
from gateway.routing.regex import RegexOptions, factory
from gateway.testing import RouterConformance, request_head
from tests.routing.support import Built


def built(*patterns: Any) -> Built:
    return Built(factory, patterns=patterns)


class ConformanceTests(RouterConformance, SynchronousTestCase):
    """As every router."""

    listener = "web"

    def make_router(self) -> Any:
        """See `RouterConformance`."""
        return built({"pattern": r"^/x", "pool": "a"}).router


class RegexTests(SynchronousTestCase):
    """The first that matches decides."""

    def test_in_order(self) -> None:
        made = built({"pattern": r"\.png$", "pool": "a"}, {"pattern": r"^/img/", "pool": "b"})
        targets = ("/img/a.png", "/img/a.gif", "/a.png?x", "/A.PNG", "//img/%61", "/")
        expected = ["a", "b", "a", "own", "b", "own"]
        self.assertEqual(expected, [made.where(request_head(target)) for target in targets])

    def test_read_differently(self) -> None:
        """A path that matches something else to some servers; of the target as it was sent nobody can tell."""
        made = built({"pattern": r"\.png$", "pool": "a"}, {"pattern": r"^/img/", "pool": "b"})
        for target in ("/img/../x", "/x/%2e%2e/img/%61", "/img/..%5cx", "/img/../x.png;/.."):
            self.assertRaises(AmbiguousPath, made.where, request_head(target))
        self.assertEqual("a", made.where(request_head("/img/../x.png")))
        by_target = built({"pattern": "^/img/", "subject": "target", "pool": "a"})
        self.assertEqual("a", by_target.where(request_head("/img/../x")))

    def test_subjects(self) -> None:
        made = built(
            {"pattern": r"[?&]beta=1(&|$)", "subject": "target", "pool": "a"},
            {"pattern": r"^eu\.", "subject": "host", "pool": "b"},
            {"pattern": "größe", "ignoreCase": True, "pool": "b"},
        )
        cases = {
            ("/?beta=1", "a"): "a", ("/?beta=12", "a"): "own", ("/", "EU.example"): "b", ("/gr%C3%B6%C3%9Fe", "a"): "b",
        }  # fmt: skip
        self.assertEqual(
            list(cases.values()), [made.where(request_head(target, host=host)) for target, host in cases]
        )

    def test_cannot_run_for_ever(self) -> None:
        """What would take a backtracking engine longer than the universe."""
        made = built({"pattern": r"^/(a+)+$", "pool": "a"})
        self.assertEqual("own", made.where(request_head("/" + "a" * 10000 + "b")))

    def test_refused(self) -> None:
        for wrong in "(", r"(a)\1", "(?=a)", "":
            wanted = {"patterns": [{"pattern": wrong, "pool": "a"}]}
            self.assertRaises(ValidationError, RegexOptions.model_validate, wanted)
