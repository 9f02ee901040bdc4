"""`gateway.routing.canary`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from gateway.routing.canary import CanaryOptions, factory
from gateway.testing import RouterConformance, request_head
from gateway.values import NeedsAddress
from tests.routing.support import Built


class ConformanceTests(RouterConformance, SynchronousTestCase):
    """As every router, where no address is needed."""

    listener = "web"

    def make_router(self) -> Any:
        """See `RouterConformance`."""
        return Built(factory, pool="a", when=["header:X-Canary"]).router


class CanaryTests(SynchronousTestCase):
    """Who goes to pool ``a``."""

    def test_signs(self) -> None:
        made = Built(
            factory, pool="a", when=["header:X-Canary", "cookie:beta=1", "query:next=yes"], unless=["header:X-Old"]
        )
        cases: list[tuple[str, list[tuple[str, str]], str]] = [
            ("/", [], "own"), ("/", [("X-Canary", "")], "a"), ("/", [("x-canary", "no")], "a"),
            ("/", [("Cookie", "a=b; beta=1")], "a"), ("/", [("Cookie", "beta=2")], "own"), ("/?next=yes", [], "a"),
            ("/?next=no", [], "own"), ("/?next=yes", [("X-Old", "1")], "own"),
        ]  # fmt: skip
        for target, fields, expected in cases:
            self.assertEqual(expected, made.where(request_head(target, fields=fields)), (target, fields))

    def chosen(self, weight: float, pool: str = "a") -> set[int]:
        """Which of 20,000 clients."""
        made = Built(factory, pool=pool, weight=weight, key="cookie:id")
        heads = [request_head("/", fields=[("Cookie", f"id={number}")]) for number in range(20000)]
        return {number for number, head in enumerate(heads) if made.where(head) == pool}

    def test_share(self) -> None:
        """The share is the weight; a larger weight keeps those that were there; another pool takes others."""
        five, ten = self.chosen(5), self.chosen(10)
        self.assertLess(abs(1000 - len(five)), 150)  # five standard deviations
        self.assertLess(abs(2000 - len(ten)), 210)
        self.assertLess(five, ten)
        self.assertEqual(five, self.chosen(5))
        self.assertLess(abs(50 - len(five & self.chosen(5, "b"))), 40)
        self.assertEqual((0, 20000), (len(self.chosen(1e-9)), len(self.chosen(100))))

    def by_address(self, made: Built, address: str, **head: Any) -> str:
        found = made.router.route(request_head("/", **head), "web")
        self.assertIsInstance(found, NeedsAddress)
        return str(found.decide(address).pool.name)

    def test_address(self) -> None:
        """Also for those that have no cookie. An IPv6 client may be anywhere in its /64."""
        for made in Built(factory, pool="a", weight=50), Built(factory, pool="a", weight=50, key="cookie:id"):
            found = [self.by_address(made, f"192.0.2.{number}") for number in range(256)]
            self.assertLess(abs(128 - found.count("a")), 45)
            self.assertEqual(found, [self.by_address(made, f"192.0.2.{number}") for number in range(256)])
            for number in range(16):
                network = [self.by_address(made, f"2001:db8:0:{number:x}::{host:x}") for host in (1, 2, 0xFFFF)]
                self.assertEqual(1, len(set(network)))

    def test_a_forged_field_is_not_believed(self) -> None:
        made = Built(factory, pool="a", weight=50)
        found = {
            self.by_address(made, "192.0.2.1", fields=[("X-Forwarded-For", f"10.0.0.{number}")]) for number in range(50)
        }
        self.assertEqual(1, len(found))

    def test_refused(self) -> None:
        for wrong in (
            {}, {"weight": 101}, {"weight": 5, "key": "user"}, {"when": ["address"]}, {"when": ["header:"]},
            {"when": ["host"]}, {"unless": ["header:X"]},
        ):  # fmt: skip
            self.assertRaises(ValidationError, CanaryOptions.model_validate, {"pool": "a", **wrong})
