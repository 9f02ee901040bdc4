"""`gateway.config.hosts`: what is found among many listeners is what trying each with each finds."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.config.hosts import Neighbours, Patterns, Wide, clash_of
from gateway.config.model import HttpListener

HOSTS = st.lists(st.text("ab.*?", min_size=1, max_size=6), max_size=3)
LISTENERS = st.lists(
    st.builds(
        lambda address, protocol, port, hosts: HttpListener(
            name="l", port=port, address=address, protocol=protocol, host_names=tuple(hosts)
        ),
        st.sampled_from(["", "", "127.0.0.1", "127.0.0.2", "0.0.0.0", "::", "::1"]),
        st.sampled_from(["Http", "Http", "Https", "Tls"]),
        st.sampled_from([80, 81]), st.lists(st.sampled_from(["a.test", "A.test", "*.test", "b.test"]), max_size=2),
    ),
    max_size=8,
)  # fmt: skip


def named(listeners: list[HttpListener]) -> list[HttpListener]:
    return [item.model_copy(update={"name": f"l{index}"}) for index, item in enumerate(listeners)]


class NeighboursTests(unittest.SynchronousTestCase):
    """`Neighbours`"""

    @settings(max_examples=400, deadline=None)
    @given(LISTENERS)
    def test_like_each_with_each(self, made: list[HttpListener]) -> None:
        before, seen = Neighbours(), list[HttpListener]()
        for listener in named(made):
            others = [other for other in seen if other.port == listener.port]
            clashes = [clash for other in others if (clash := clash_of(other, listener))]
            self.assertEqual(before.clash(listener), clashes[0] if clashes else None)
            twins = [
                other for other in others if other.protocol == listener.protocol and other.address == listener.address
                and clash_of(other, listener)
            ]  # fmt: skip
            self.assertEqual(before.twin(listener), twins[0] if twins else None)
            before.add(listener)
            seen.append(listener)


class AddressesTests(unittest.SynchronousTestCase):
    """`clash_of` for two addresses on one port: what the kernel would refuse to bind."""

    def clash(self, a: str, b: str) -> str | None:
        one, two = named([HttpListener(name="l", port=80, address=address) for address in (a, b)])
        self.assertEqual(clash_of(one, two) is None, clash_of(two, one) is None)
        found = clash_of(one, two)
        return None if found is None else f"{found[0]}: {found[1].partition(': ')[2].partition(';')[0]}"

    def test_all(self) -> None:
        """``0.0.0.0`` and ``::`` stand for all of one family, in whatever spelling, and nothing for both."""
        for a, b, family in (
            ("127.0.0.1", "", ""), ("::1", "", ""), ("0.0.0.0", "", ""), ("::", "", ""),
            ("127.0.0.1", "0.0.0.0", "IPv4 "), ("::1", "::", "IPv6 "), ("::1", "0:0:0:0:0:0:0:0", "IPv6 "),
        ):  # fmt: skip
            self.assertEqual(f"address: one of them takes all {family}addresses", self.clash(a, b), (a, b))

    def test_spelled_differently(self) -> None:
        self.assertEqual("address: their addresses are one", self.clash("::1", "0:0:0:0:0:0:0:1"))

    def test_apart(self) -> None:
        for a, b in ("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "::"), ("0.0.0.0", "::"), ("0.0.0.0", "::1"):
            self.assertIsNone(self.clash(a, b), (a, b))


class PatternsTests(unittest.SynchronousTestCase):
    """`Patterns`"""

    @settings(max_examples=400, deadline=None)
    @given(st.lists(HOSTS, max_size=8))
    def test_like_each_with_each(self, made: list[list[str]]) -> None:
        listeners = named([HttpListener(name="l", port=80, host_names=tuple(hosts)) for hosts in made])
        wides = [Wide(listener) for listener in listeners]
        patterns = Patterns(pattern for wide in wides for pattern in wide.patterns)
        for order, (listener, wide) in enumerate(zip(listeners, wides, strict=True)):
            hiding = [number for number in range(order) if wides[number].patterns and wides[number].hides(listener)]
            self.assertEqual(patterns.first(listener.host_names), hiding[0] if hiding else None)
            for pattern in wide.patterns:
                patterns.add(pattern, order)

    def test_thousands(self) -> None:
        """Alike at one end, or in the middle: few of them are tried."""
        began = time.monotonic()
        for form in ("*.h{:04}.test", "h{:04}*.company.test", "*.h{:04}.*", "a?.h{:04}.*"):
            made = [form.format(number) for number in range(5000)]
            patterns = Patterns(made)
            for order, pattern in enumerate(made):
                patterns.add(pattern, order)
            self.assertTrue(all(patterns.first([pattern]) == order for order, pattern in enumerate(made)))
        self.assertLess(time.monotonic() - began, 20)  # alone about one; trying each with each takes minutes
