"""Counters and their exposition."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.interfaces import ITally
from gateway.observe import metrics
from gateway.observe.metrics import Metrics
from gateway.observe.sessions import Sessions
from gateway.observe.troubles import Troubles
from gateway.strategies.containment import Accounts, Terms
from gateway.values import Outcome
from tests.observe.examples import SETTINGS, Backend, Pool, Session, outcome, route, websocket

_SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\} (\S+)')
LABELS = 'listener="web",rule="rule",pool="chat",backend="10.0.0.4:80"'


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sessions = Sessions(Clock())
        self.pools = [Pool("chat", SETTINGS, Backend(), Backend("10.0.0.5", state="down"))]
        self.metrics = Metrics(lambda: self.pools, self.sessions)  # type: ignore[arg-type, return-value]

    def samples(self, of: Metrics | None = None) -> dict[str, float]:
        """All samples, name and labels to value; checks every line on the way."""
        found = {}
        family = ""
        for line in (of or self.metrics).exposition().splitlines():
            if line.startswith("# TYPE "):
                family = line.split()[2]
            elif not line.startswith("# HELP "):
                match = _SAMPLE.fullmatch(line)
                assert match is not None, line
                self.assertTrue(match[1].startswith(family))
                key = f"{match[1]}{{{match[2]}}}"
                self.assertNotIn(key, found)
                found[key] = float(match[3])
        return found

    def test_interface(self) -> None:
        self.assertTrue(verifyObject(ITally, self.metrics))

    def test_tally(self) -> None:
        """Counts what an outcome with these numbers would count."""
        other = Metrics(lambda: self.pools, self.sessions)  # type: ignore[arg-type, return-value]
        for status, seconds in ((200, 0.0004), (404, 0.003), (503, 60.0), (999, 0.0)):
            made = outcome(status=status, started=5.0, ended=5.0 + seconds)
            self.metrics.ended(made)
            other.tally(made.route, made.backend, status, made.received_bytes, made.sent_bytes, made.ended - 5.0)
            self.assertEqual(self.metrics.exposition(), other.exposition())

    def test_ends_with_a_line_break(self) -> None:
        self.assertTrue(self.metrics.exposition().endswith("\n"))

    def test_requests(self) -> None:
        for status in (200, 204, 404, 101, 0, 999):
            self.metrics.ended(outcome(status=status))
        samples = self.samples()
        for code, count in (("2xx", 2), ("4xx", 1), ("5xx", 1), ("1xx", 1), ("none", 1)):
            self.assertEqual(samples[f'gateway_requests_total{{{LABELS},code="{code}"}}'], count, code)
        self.assertEqual(samples[f"gateway_received_bytes_total{{{LABELS}}}"], 1800)
        self.assertEqual(samples[f"gateway_sent_bytes_total{{{LABELS}}}"], 30000)

    def test_without_route_or_backend(self) -> None:
        self.metrics.ended(Outcome(listener="web", status=404, cause="no_route"))
        self.metrics.ended(outcome(backend=None, status=502, cause="no_healthy_backend"))
        samples = self.samples()
        self.assertEqual(samples['gateway_requests_total{listener="web",rule="",pool="",backend="",code="4xx"}'], 1)
        self.assertEqual(
            samples['gateway_requests_total{listener="web",rule="rule",pool="chat",backend="",code="5xx"}'], 1
        )
        self.assertEqual(samples['gateway_failures_total{cause="no_route"}'], 1)

    def test_latency(self) -> None:
        for backend, seconds in ((Backend(), 0.001), (Backend("other"), 0.0011), (Backend(), 45.0)):
            self.metrics.ended(outcome(backend=backend, started=0.0, ended=seconds))
        samples = self.samples()
        labels = 'listener="web",rule="rule",pool="chat"'
        for bound, count in (("0.001", 1), ("0.0025", 2), ("30.0", 2), ("+Inf", 3)):
            self.assertEqual(samples[f'gateway_request_seconds_bucket{{{labels},le="{bound}"}}'], count, bound)
        self.assertEqual(samples[f"gateway_request_seconds_count{{{labels}}}"], 3)
        self.assertEqual(samples[f"gateway_request_seconds_sum{{{labels}}}"], 45.0021)

    def test_sessions_are_not_latency(self) -> None:
        self.metrics.ended(websocket())
        self.metrics.ended(websocket(websocket=False))
        samples = self.samples()
        self.assertEqual(samples['gateway_request_seconds_count{listener="web",rule="rule",pool="chat"}'], 0)

    def test_closes(self) -> None:
        for code in (1000, 1000, 1006, None, 3000, 4999, 4000, 5000, 7):
            self.metrics.ended(websocket(close_code=code))
        self.metrics.ended(websocket(close_code=1001, closed_by="gateway", cause="idle_timeout"))
        samples = self.samples()
        for code, count in (("1000", 2), ("1006", 1), ("none", 1), ("3xxx", 1), ("4xxx", 2), ("invalid", 2)):
            self.assertEqual(
                samples[f'gateway_websocket_closes_total{{code="{code}",closed_by="client"}}'], count, code
            )
        self.assertEqual(samples['gateway_websocket_closes_total{code="1001",closed_by="gateway"}'], 1)
        self.assertEqual(samples[f"gateway_websocket_messages_in_total{{{LABELS}}}"], 30)

    def test_open_sessions_are_counted(self) -> None:
        session = Session(received_bytes=10, sent_bytes=20)
        self.sessions.add(session)
        samples = self.samples()
        self.assertEqual(samples[f"gateway_received_bytes_total{{{LABELS}}}"], 10)
        self.assertEqual(samples['gateway_websocket_sessions{pool="chat"}'], 1)
        self.sessions.remove(session)
        self.metrics.ended(session.outcome)
        samples = self.samples()
        self.assertEqual(samples[f"gateway_received_bytes_total{{{LABELS}}}"], 10)
        self.assertEqual(samples[f"gateway_websocket_messages_out_total{{{LABELS}}}"], 4)
        self.assertEqual(samples['gateway_websocket_sessions{pool="chat"}'], 0)

    def test_more_than_are_told_apart(self) -> None:
        """Then backends are not, but what is alerted on is; and at last nothing."""
        self.patch(metrics, "_SERIES", 2)
        for number in range(4):
            self.metrics.ended(outcome(backend=Backend(f"10.0.0.{number}")))
        self.metrics.ended(outcome(backend=None))
        for rule in "abc":
            for _ in range(2):
                self.metrics.ended(outcome(route=route(rule=rule)))
        counts = {
            (match[1], match[2]): value
            for name, value in self.samples().items()
            if (match := re.search('requests_total.*rule="(.*)",pool=".*",backend="(.*)",code="2xx"', name))
        }
        wanted = {
            ("rule", "10.0.0.0:80"): 1, ("rule", "10.0.0.1:80"): 1, ("rule", "other"): 2, ("rule", ""): 1,
            ("other", "other"): 6,
        }  # fmt: skip
        self.assertEqual(wanted, counts)

    def test_sessions_stay_where_they_are(self) -> None:
        """What an open session is counted as does not change when it ends, whatever comes meanwhile."""
        self.patch(metrics, "_SERIES", 2)
        held = [Session(route=route(rule=rule)) for rule in "abcd"]
        for session in held:
            self.sessions.add(session)
        before = {name: value for name, value in self.samples().items() if "received_bytes" in name}
        self.assertEqual({'rule="a"', 'rule="b"', 'rule="c"', 'rule="d"'}, set(re.findall('rule="."', str(before))))
        for number in range(4):
            self.metrics.ended(outcome(backend=Backend(f"10.0.0.{number}"), received_bytes=0))
        for session in held:
            self.sessions.remove(session)
            self.metrics.ended(session.outcome)
        after = self.samples()
        self.assertEqual(before, {name: after[name] for name in before})

    def test_backends(self) -> None:
        self.pools[0].backends[0].active = 7
        self.pools[0].backends[1].ejected = "ejected for 30 s"
        self.pools[0].backends[1].ejections = 3
        samples = self.samples()
        labels = 'pool="chat",settings="fast",backend="10.0.0.%d:80"'
        self.assertEqual(samples[f"gateway_backend_up{{{labels % 4}}}"], 1)
        self.assertEqual(samples[f"gateway_backend_up{{{labels % 5}}}"], 0)
        self.assertEqual(samples[f"gateway_backend_active{{{labels % 4}}}"], 7)
        for number, ejected, ejections in ((4, 0, 0), (5, 1, 3)):
            self.assertEqual(samples[f"gateway_backend_ejected{{{labels % number}}}"], ejected)
            self.assertEqual(samples[f"gateway_backend_ejections_total{{{labels % number}}}"], ejections)
        self.assertEqual(samples['gateway_pool_healthy_backends{pool="chat",settings="fast"}'], 1)

    def test_two_settings_of_one_pool(self) -> None:
        """The gauge of a pool's sessions appears once however many settings use the pool."""
        self.pools.append(Pool("chat", SETTINGS.model_copy(update={"name": "slow"})))
        self.assertIn('gateway_websocket_sessions{pool="chat"}', self.samples())

    def test_troubles(self) -> None:
        troubles = Troubles(lambda: 0.0)
        troubles.refused_connection("web", "")
        troubles.failed_handshake("web", "192.0.2.1", "closed_by_client", "")
        samples = self.samples(Metrics(troubles=troubles))
        self.assertEqual(samples['gateway_connections_refused_total{listener="web"}'], 1)
        name = 'gateway_tls_handshake_failures_total{listener="web",reason="closed_by_client"}'
        self.assertEqual(samples[name], 1)

    def test_serving(self) -> None:
        self.pools[0].candidates = self.pools[0].backends
        samples = self.samples()
        labels = '{pool="chat",settings="fast"}'
        self.assertEqual(samples[f"gateway_pool_healthy_backends{labels}"], 1)
        self.assertEqual(samples[f"gateway_pool_serving_backends{labels}"], 2)

    def test_escaping(self) -> None:
        self.metrics.ended(outcome(route=route(listener='a"b\\c\nd')))
        self.assertIn('listener="a\\"b\\\\c\\nd"', self.metrics.exposition())
        self.samples()

    def test_bounded(self) -> None:
        """Whatever is made up, the page does not grow without end, and nothing is lost from the sums."""
        self.patch(metrics, "_SERIES", 1000)
        for number in range(2100):
            self.metrics.ended(outcome(route=route(rule=f"r{number}"), cause=f"c{number}"))
        for number in range(200):
            self.metrics.ended(websocket(closed_by=f"who{number}"))
        counts: dict[str, Any] = {"gateway_requests_total": 0, "gateway_failures_total": 0}
        lines = dict.fromkeys(counts, 0)
        for key, value in self.samples().items():
            name = key.partition("{")[0]
            if name in counts:
                counts[name] += value
                lines[name] += 1
        self.assertEqual(counts, {"gateway_requests_total": 2300, "gateway_failures_total": 2100})
        self.assertLessEqual(lines["gateway_requests_total"], 2002)
        self.assertLessEqual(lines["gateway_failures_total"], 65)

    def test_without_collaborators(self) -> None:
        self.assertEqual(self.samples(Metrics()), {})

    def test_plugins(self) -> None:
        """By kind and name, over all places; those of the gateway itself only where one has failed."""
        accounts = Accounts(Terms(2, 30, 0.1))
        first, second = [accounts.open("middleware", "acme", place, self, ours=False) for place in ("a", "b")]
        accounts.open("selector", "round-robin", "pool", self, ours=True)
        ours = accounts.open("selector", "weighted", "pool", self, ours=True)
        for _ in range(2):
            first.failed(ValueError())
        ours.failed(ValueError())
        second.measured(lambda: None)()
        second.spent(0.25)
        found = self.samples(Metrics(accounts=accounts))
        plugins = {key: value for key, value in found.items() if key.startswith("gateway_plugin_")}
        acme, weighted = 'kind="middleware",name="acme"', 'kind="selector",name="weighted"'
        self.assertAlmostEqual(0.25, plugins.pop(f"gateway_plugin_seconds_total{{{acme}}}"), places=2)
        expected = {
            f"gateway_plugin_calls_total{{{acme}}}": 1, f"gateway_plugin_failures_total{{{acme}}}": 2,
            f"gateway_plugin_budget_exceeded_total{{{acme}}}": 1, f"gateway_plugin_off{{{acme}}}": 1,
            f"gateway_plugin_calls_total{{{weighted}}}": 0, f"gateway_plugin_failures_total{{{weighted}}}": 1,
            f"gateway_plugin_budget_exceeded_total{{{weighted}}}": 0, f"gateway_plugin_off{{{weighted}}}": 0,
            f"gateway_plugin_seconds_total{{{weighted}}}": 0,
        }  # fmt: skip
        self.assertEqual(expected, plugins)
        accounts.close([first, second])
        after = self.samples(Metrics(accounts=accounts))
        self.assertEqual({**expected, f"gateway_plugin_off{{{acme}}}": 0}, {name: after[name] for name in expected})
