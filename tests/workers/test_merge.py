"""`gateway.workers.merge`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.workers.merge import counters_of, merged

_OWN = """\
# HELP gateway_requests_total Exchanges.
# TYPE gateway_requests_total counter
# HELP gateway_backend_up 1 if healthy.
# TYPE gateway_backend_up gauge
gateway_backend_up{backend="a:1"} 1
"""

_WORKER = """\
# HELP gateway_requests_total Exchanges.
# TYPE gateway_requests_total counter
gateway_requests_total{code="2xx",path="a b"} 3
# HELP gateway_backend_up 1 if healthy.
# TYPE gateway_backend_up gauge
gateway_backend_up{backend="a:1"} 1
# HELP gateway_sessions Open sessions.
# TYPE gateway_sessions gauge
gateway_sessions{pool="p"} 2
# HELP gateway_seconds Latency.
# TYPE gateway_seconds histogram
gateway_seconds_sum{} 0.25
"""


class MergedTests(SynchronousTestCase):
    """Pages of several processes."""

    def test_added_up(self) -> None:
        """Samples with the same labels are added, each family keeps its heads, once."""
        page = merged(_OWN, [_WORKER, _WORKER])
        self.assertIn('gateway_requests_total{code="2xx",path="a b"} 6\n', page)
        self.assertIn('gateway_sessions{pool="p"} 4\n', page)
        self.assertIn("gateway_seconds_sum{} 0.5\n", page)
        self.assertEqual(1, page.count("# TYPE gateway_requests_total counter\n"))

    def test_own(self) -> None:
        """What one process knows for all is not added up."""
        self.assertIn('gateway_backend_up{backend="a:1"} 1\n', merged(_OWN, [_WORKER, _WORKER]))

    def test_counters(self) -> None:
        """What is kept of a process that is gone: counters and histograms, not gauges."""
        kept = counters_of(_WORKER)
        self.assertIn("gateway_requests_total{", kept)
        self.assertIn("gateway_seconds_sum", kept)
        self.assertNotIn("gateway_sessions", kept)
        self.assertNotIn("gateway_backend_up", kept)

    def test_nothing(self) -> None:
        """No pages, no samples."""
        self.assertEqual("", merged("", []))
