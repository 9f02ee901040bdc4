"""`gateway.config.difference`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.difference import difference
from gateway.config.model import Gateway


def gateway(**parts: Any) -> Gateway:
    return Gateway.model_validate(parts)


class DifferenceTests(SynchronousTestCase):
    """What it says."""

    def test_nothing(self) -> None:
        parts = {"pools": [{"name": "a", "members": [{"host": "h"}]}]}
        self.assertEqual([], difference(gateway(**parts), gateway(**parts)))

    def test_names(self) -> None:
        old = gateway(pools=[{"name": "a"}, {"name": "b"}], settings=[{"name": "s"}])
        new = gateway(pools=[{"name": "c"}, {"name": "a", "selector": "hash"}], settings=[{"name": "s"}])
        self.assertEqual(["pools: +c, -b, ~a"], difference(old, new))

    def test_members(self) -> None:
        old = gateway(pools=[{"name": "a", "members": [{"host": "h"}, {"host": "fe80::1", "port": 80}]}])
        new = gateway(pools=[{"name": "a", "members": [{"host": "h"}, {"host": "i", "port": 81}]}])
        self.assertEqual(["pools: ~a (+i:81, -[fe80::1]:80)"], difference(old, new))

    def test_order(self) -> None:
        old, new = [[{"name": name} for name in names] for names in ("ab", "ba")]
        self.assertEqual(["pools: another order"], difference(gateway(pools=old), gateway(pools=new)))

    def test_without_names(self) -> None:
        """Values are not shown: they may be secrets."""
        old = gateway(limits={"keep_alive_timeout": 5}, middleware=[{"strategy": "cors"}])
        self.assertEqual(["limits: changed", "middleware: changed"], difference(old, gateway()))

    def test_many(self) -> None:
        new = gateway(pools=[{"name": f"p{number}"} for number in range(12)])
        (line,) = difference(gateway(), new)
        self.assertTrue(line.endswith("+p7, and 4 more"), line)
