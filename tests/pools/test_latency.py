"""`gateway.pools.latency`."""

from __future__ import annotations

from math import exp

from twisted.trial.unittest import SynchronousTestCase

from gateway.pools.latency import Latency


class LatencyTests(SynchronousTestCase):
    """An average that forgets."""

    def test_first(self) -> None:
        latency = Latency(10.0)
        self.assertIsNone(latency.expected(5.0))
        latency.add(0.2, 5.0)
        self.assertEqual(latency.expected(5.0), 0.2)

    def test_average(self) -> None:
        """After ``decay`` seconds the old average counts for 1/e."""
        latency = Latency(10.0)
        latency.add(1.0, 0.0)
        latency.add(0.0, 10.0)
        self.assertAlmostEqual(latency.mean or 0, exp(-1))

    def test_converges(self) -> None:
        latency = Latency(10.0)
        latency.add(5.0, 0.0)
        for step in range(1, 1000):
            latency.add(0.1, step / 10)
        self.assertLess(abs((latency.mean or 0) - 0.1), 0.001)

    def test_old_news(self) -> None:
        """The handshake of a session that has just ended was long ago."""
        latency = Latency(10.0)
        latency.add(0.2, 100.0)
        latency.add(9.0, 3.0)
        self.assertEqual(latency.mean, 0.2)

    def test_shrinks(self) -> None:
        """Nothing is heard of it, so it may have become fast again; never before its last answer."""
        latency = Latency(10.0)
        latency.add(3.0, 0.0)
        self.assertAlmostEqual(latency.expected(20.0) or 0, 3 * exp(-2))
        self.assertEqual(latency.expected(-5.0), 3.0)

    def test_failed(self) -> None:
        latency = Latency(10.0)
        latency.failed(0.0, 0.001)
        self.assertEqual(latency.mean, 1.0)
        latency.failed(1.0, 1.0)
        self.assertEqual(latency.mean, 2.0)
        latency.failed(1.0, 31.0)
        self.assertEqual(latency.mean, 30.0)
