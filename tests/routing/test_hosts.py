"""`gateway.routing.hosts`."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.routing.hosts import HostMap, HostRule, host_name


def host_map(*rules: tuple[str, int | None]) -> HostMap[str]:
    """A map from texts like ``a.example b.example`` with a priority; the value is the text, or ``any``."""
    return HostMap([HostRule(tuple(names.split()), priority, names or "any") for names, priority in rules])


class HostNameTests(SynchronousTestCase):
    """What counts of a Host field."""

    def test_forms(self) -> None:
        for sent, expected in (
            ("Example.COM", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:443", "example.com"),
            ("[2001:DB8::1]:80", "2001:db8::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("", ""),
            (":80", ""),
            ("[", ""),
        ):
            self.assertEqual(host_name(sent), expected, sent)

    @given(st.text(max_size=40))
    @settings(max_examples=100, deadline=None)
    def test_anything(self, sent: str) -> None:
        """Whatever a client sends has a name or none."""
        self.assertIsInstance(host_name(sent), str)


class HostMapTests(SynchronousTestCase):
    """Which listener answers."""

    def test_exact(self) -> None:
        hosts = host_map(("a.example", None), ("B.Example. c.example", None))
        self.assertEqual(hosts.find("A.EXAMPLE.:8080"), "a.example")
        self.assertEqual(hosts.find("b.example"), "B.Example. c.example")
        self.assertEqual(hosts.find("c.example"), "B.Example. c.example")
        self.assertIsNone(hosts.find("d.example"))
        self.assertIsNone(hosts.find(""))

    def test_addresses(self) -> None:
        hosts = host_map(("2001:db8::1", None), ("[::1]", None), ("192.0.2.1", None))
        self.assertEqual(hosts.find("[2001:DB8::1]:80"), "2001:db8::1")
        self.assertEqual(hosts.find("[::1]"), "[::1]")
        self.assertEqual(hosts.find("192.0.2.1:80"), "192.0.2.1")

    def test_wildcards(self) -> None:
        """The examples of the documentation."""
        for pattern, hits, misses in (
            (
                "*.contoso.com",
                ["a.contoso.com", "customer1.b2b.contoso.com"],
                ["contoso.com", "a.contoso.com.evil", "acontoso.com"],
            ),
            ("*.contoso-*.com", ["a.contoso-eu.com", "a.b.contoso-.com"], ["contoso-eu.com", "a.contoso.com"]),
            ("*.contoso.*", ["a.contoso.de", "a.contoso.co.uk"], ["contoso.de"]),
            ("????.contoso.com", ["abcd.contoso.com"], ["abc.contoso.com", "abcde.contoso.com", "ab.d.contoso.com"]),
            (
                "w??.contoso*.edu.*",
                ["www.contoso.edu.au", "wxy.contoso-2.edu.x"],
                ["www.contoso.com.au", "ww.contoso.edu.au"],
            ),
            ("shop*", ["shop", "shop.example"], ["ashop"]),
            ("a.b*", ["a.bc"], ["axbc"]),
        ):
            hosts = host_map((pattern, None))
            for hit in hits:
                self.assertEqual(hosts.find(hit), pattern, hit)
            for miss in misses:
                self.assertIsNone(hosts.find(miss), miss)

    def test_priority(self) -> None:
        """With priorities the smaller number is tried first, whatever it is."""
        hosts = host_map(("a.example", 30), ("*.example", 20), ("", 40))
        self.assertEqual(hosts.find("a.example"), "*.example")
        hosts = host_map(("*.example", 20), ("a.example", 10), ("", 30))
        self.assertEqual(
            [hosts.find(host) for host in ("a.example", "b.example", "c")], ["a.example", "*.example", "any"]
        )
        hosts = host_map(("a.example", 20), ("", 10))
        self.assertEqual(hosts.find("a.example"), "any")

    def test_without_priorities(self) -> None:
        """Exact before wildcard before none; the longer wildcard first."""
        hosts = host_map(("", None), ("*.example", None), ("*.b.example", None), ("a.b.example", None))
        for host, value in (
            ("a.b.example", "a.b.example"), ("x.b.example", "*.b.example"), ("x.example", "*.example"), ("x", "any"),
        ):  # fmt: skip
            self.assertEqual(hosts.find(host), value)

    def test_mixed(self) -> None:
        """Those with a priority come before those without."""
        hosts = host_map(("a.example", None), ("*.example", 500))
        self.assertEqual(hosts.find("a.example"), "*.example")

    def test_only(self) -> None:
        self.assertEqual(host_map(("", None)).only, "any")
        self.assertEqual(host_map(("", 1), ("a.example", 2)).only, "any")
        self.assertIsNone(host_map(("", None), ("a.example", None)).only)
        self.assertIsNone(host_map(("*", None)).only)
        self.assertIsNone(host_map().only)

    def test_remembered(self) -> None:
        """Each answer is the same the second time, and what is kept of hosts that a peer makes up is bounded."""
        hosts = host_map(("*.a.example", None), ("b.example", None))
        sent = [f"{number}.{name}" for number in range(1500) for name in ("a.example", "c.example")]
        for _ in range(2):
            for host in sent:
                self.assertEqual("*.a.example" if host.endswith("a.example") else None, hosts.find(host))
                self.assertLessEqual(len(hosts._known), 1024)
        hosts.find("x" * 256 + ".a.example")
        self.assertTrue(all(len(host) < 256 for host in hosts._known))

    def test_hostile_hosts(self) -> None:
        """A long host neither matches nor takes long, whatever the pattern."""
        hosts = host_map(("*a*a*a*a*a*b", None))
        begin = time.perf_counter()
        self.assertIsNone(hosts.find("a" * 255))
        self.assertIsNone(hosts.find("a" * 30000))
        self.assertLess(time.perf_counter() - begin, 1.0)
        self.assertEqual(host_map(("", None)).find("a" * 30000), "any")
