"""`gateway.routing.conditions`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import ConditionSet
from gateway.errors import AmbiguousPath
from gateway.routing.conditions import Conditions
from gateway.testing import request_head


def conditions(*listed: dict[str, Any]) -> Conditions:
    return Conditions(ConditionSet.model_validate({"name": "set", "conditions": listed}))


class ConditionTests(SynchronousTestCase):
    """Each type, by values and by pattern."""

    def check(self, condition: dict[str, Any], *cases: tuple[Any, bool], client: str = "192.0.2.7") -> None:
        made = conditions(condition)
        for head, expected in cases:
            self.assertIs(made.hold(head, client), expected, (condition, head))
            self.assertIs(made.failing(head, client) is None, expected)

    def test_header(self) -> None:
        self.check(
            {"type": "Header", "name": "X-Region", "values": ["emea", "caf\xe9"]},
            (request_head(fields=[("x-REGION", "emea")]), True),
            (request_head(fields=[("X-Region", "EMEA")]), False),
            (request_head(fields=[("X-Region", "caf\xc3\xa9")]), True),
            (request_head(), False),
        )
        self.check({"type": "Header", "name": "Host", "values": ["a.test"]}, (request_head(host="a.test"), True))

    def test_header_pattern(self) -> None:
        matcher = {"pattern": "mobile", "ignore_case": True}
        self.check(
            {"type": "Header", "name": "User-Agent", "matcher": matcher},
            (request_head(fields=[("User-Agent", "A Mobile B")]), True),
            (request_head(fields=[("User-Agent", "desktop")]), False),
            (request_head(), False),
        )
        self.check(
            {"type": "Header", "name": "User-Agent", "matcher": {**matcher, "negate": True}},
            (request_head(fields=[("User-Agent", "A Mobile B")]), False),
            (request_head(), True),
        )

    def test_query(self) -> None:
        """One of its values, decoded; other parameters do not count."""
        self.check(
            {"type": "QueryString", "name": "v", "values": ["2 x", ""]},
            (request_head("/?a=1&v=2+x"), True),
            (request_head("/?v=1&v=2%20x"), True),
            (request_head("/?%76=2%20x"), True),
            (request_head("/?v"), True),
            (request_head("/?v=3"), False),
            (request_head("/?w=2+x"), False),
            (request_head("/"), False),
        )
        self.check(
            {"type": "QueryString", "name": "v", "matcher": {"pattern": "^[0-9]+$"}},
            (request_head("/?v=x&v=12"), True),
            (request_head("/?v=x"), False),
        )

    def test_path(self) -> None:
        """As in path maps: in one spelling, without case, a final star."""
        self.check(
            {"type": "Path", "values": ["/api/*", "/one"]},
            (request_head("/API/x?y"), True),
            (request_head("//%61pi/x"), True),
            (request_head("/one"), True),
            (request_head("/one/two"), False),
        )
        self.check(
            {"type": "Path", "matcher": {"pattern": "^/api/v[0-9]+/", "ignore_case": True}},
            (request_head("/Api//v2/x"), True),
            (request_head("/api/v/x"), False),
            (request_head("/api/v2/../v3/"), True),
        )

    def test_path_read_differently(self) -> None:
        """Refused where that decides, and nothing else has done so."""
        path = {"type": "Path", "values": ["/api/*", "/v1/*"]}
        pattern = {"type": "Path", "matcher": {"pattern": "^/api/", "negate": True}}
        post = {"type": "Method", "values": ["POST"]}
        for condition in (path, pattern):
            for target in ("/api/../x", "/x/..;/api/x", "/api/..%5Cx"):
                self.assertRaises(AmbiguousPath, conditions(condition).hold, request_head(target), "192.0.2.1")
                self.assertFalse(conditions(condition, post).hold(request_head(target), "192.0.2.1"))
        self.assertTrue(conditions(path).hold(request_head("/api/../v1/x"), "192.0.2.1"))

    def test_client(self) -> None:
        condition = {"type": "ClientIP", "values": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]}
        self.assertTrue(conditions(condition).about_client)
        self.assertFalse(conditions({"type": "Method", "values": ["GET"]}).about_client)
        for client, expected in (
            ("10.1.2.3", True), ("192.0.2.7", True), ("192.0.2.8", False), ("2001:db8::1", True), ("::1", False),
            ("::ffff:10.0.0.1", True), ("fe80::1%eth0", False), ("", False),
        ):  # fmt: skip
            self.check(condition, (request_head(), expected), client=client)

    def test_method(self) -> None:
        condition = {"type": "Method", "values": ["get", "HEAD"]}
        self.check(condition, (request_head(), True), (request_head(method="POST"), False))

    def test_all(self) -> None:
        """Every one has to hold; the first that does not is named."""
        made = conditions({"type": "Method", "values": ["GET"]}, {"type": "Header", "name": "A", "values": ["1", "2"]})
        self.assertTrue(made.hold(request_head(fields=[("A", "2")]), ""))
        self.assertEqual(made.failing(request_head(fields=[("A", "3")]), ""), "Header A is '1' or '2'")
        made = conditions({"type": "Path", "matcher": {"pattern": "^/a", "negate": True}})
        self.assertEqual(made.failing(request_head("/a"), ""), "Path does not match '^/a'")
